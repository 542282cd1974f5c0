/**
 * The files of a node as a torture run looks at them: its log by the naive reader, and what was cut off it and kept.
 *
 * A log may lose what nobody was answered for, but not without a trace: frames that were seen at some moment and are gone
 * later must be in divergent/, byte by byte.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { NodeDisk } from '../../wal/node-disk.ts'
import { type NaiveFrame, type NaiveLog, readNaively } from '../sim/naive-reader.ts'

export const readLog = (directory: string): NaiveLog => readNaively(new NodeDisk(), directory)

/** Per channel: what lies below `end`, the end of the last whole epoch, was level once, and must stay as it is. */
export type Settled = readonly { readonly end: number; readonly crc: number }[]

export function settledOf(log: NaiveLog): Settled {
  const last = log.whole.at(-1) ?? 0n
  return log.frames.map((frames) => {
    const count = 1 + frames.findLastIndex(({ kind, epoch }) => kind === 2 && epoch <= last)
    const whole = frames.slice(0, count)
    return { end: endOf(whole), crc: crcOf(whole) }
  })
}

export function changedSince(settled: Settled, name: string, now: NaiveLog): string[] {
  return settled.flatMap(({ end, crc }, channel) => {
    const frames = (now.frames[channel] ?? []).filter(({ position }) => position < end)
    return endOf(frames) === end && crcOf(frames) === crc
      ? []
      : [`${name} has changed on channel ${channel} below position ${end}, where all logs were level`]
  })
}

const crcOf = (frames: readonly NaiveFrame[]): number => frames.reduce((crc, { bytes }) => crc32(bytes, crc), 0)

function endOf(frames: readonly NaiveFrame[]): number {
  const last = frames.at(-1)
  return last === undefined ? 0 : last.position + last.bytes.length
}

/** A log without what is settled. */
export function unsettled(log: NaiveLog, settled: Settled): NaiveLog {
  const frames = log.frames.map((of, channel) => of.filter(({ position }) => position >= (settled[channel]?.end ?? 0)))
  return { ...log, frames }
}

/** What was seen in a log, and is gone from it now: so many frames, and in words those that are not in divergent/ either. */
export function lostSince(directory: string, seen: NaiveLog, now: NaiveLog): { cut: number; untraced: string[] } {
  const kept = new Map(now.frames.flatMap((of, channel) => of.map((f) => [`${channel}/${f.position}`, f.bytes])))
  const gone = seen.frames.flat().filter(({ channel, position, bytes }) => {
    return kept.get(`${channel}/${position}`)?.equals(bytes) !== true
  })
  const files = gone.length === 0 ? [] : divergentFiles(directory)
  const untraced = gone
    .filter((frame) => !files.some((file) => holds(file, frame)))
    .map(
      ({ channel, position, kind, epoch, term }) =>
        `${directory} has lost the frame at channel ${channel}, position ${position} (kind ${kind}, epoch ${epoch}, term ${term}), and divergent/ does not have it`,
    )
  return { cut: gone.length, untraced }
}

interface DivergentFile {
  readonly channel: number
  readonly from: number
  readonly bytes: Buffer
}

function divergentFiles(directory: string): DivergentFile[] {
  const folder = join(directory, 'divergent')
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((name) => {
    const match = /^before-\d+-(\d\d)-([0-9a-f]{16})\.wal$/.exec(name)
    if (match === null) return []
    return [{ channel: Number(match[1]), from: Number(`0x${match[2]}`), bytes: readFileSync(join(folder, name)) }]
  })
}

function holds({ channel, from, bytes }: DivergentFile, frame: NaiveFrame): boolean {
  const at = frame.position - from
  return channel === frame.channel && at >= 0 && bytes.subarray(at, at + frame.bytes.length).equals(frame.bytes)
}
