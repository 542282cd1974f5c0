/** What a process has used, from /proc. Null where there is no /proc (the figures are then left out of the report). */
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { KIB } from '../protocol/limits.ts'

/** Unit of the times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

/** Seconds of CPU that all threads of `pids` together have used, in user and in system mode. */
export function cpuSeconds(pids: readonly number[]): number | null {
  return combined(pids.map(cpuSecondsOf), (sum, seconds) => sum + seconds)
}

/** @returns what tells the seconds of CPU that a child has used since now */
export function cpuMeter({ pid = 0 }: ChildProcess): () => number | null {
  const before = cpuSeconds([pid])
  return () => {
    const now = cpuSeconds([pid])
    return now === null || before === null ? null : now - before
  }
}

/** The largest resident set that any of `pids` has ever had. */
export function peakMemoryBytes(pids: readonly number[]): number | null {
  return combined(pids.map(peakMemoryBytesOf), Math.max)
}

function combined(figures: readonly (number | null)[], combine: (a: number, b: number) => number): number | null {
  return figures.reduce((a, b) => (a === null || b === null ? null : combine(a, b)), 0)
}

function cpuSecondsOf(pid: number): number | null {
  const text = readProc(pid, 'stat')
  if (text === null) return null
  // The second field is the program's name in brackets, and may hold blanks: count from behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function peakMemoryBytesOf(pid: number): number | null {
  const kilobytes = readProc(pid, 'status')?.match(/^VmHWM:\s+(\d+) kB$/m)?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) * KIB
}

function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return null
  }
}
