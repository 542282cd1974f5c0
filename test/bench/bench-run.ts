/** A bench as a user starts it, what it prints, and what it leaves running. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Teardown } from '../temp-directory.ts'

export interface Run {
  readonly child: ChildProcess
  stdout: string
  stderr: string
}

export function startBench(t: Teardown, main: URL, args: readonly string[]): Run {
  const child = spawn(process.execPath, [fileURLToPath(main), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const run: Run = { child, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    run.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    run.stderr += text
  })
  t.teardown(() => child.kill('SIGKILL'))
  return run
}

/** Ids of the processes that were told to work in `directory`. */
export function processesIn(directory: string): string[] {
  return readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && commandLine(name).includes(`${directory}/`))
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return '' // it has ended meanwhile
  }
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20)
}

/** @throws if it ends before it says so on stderr */
export async function untilSaid(run: Run, text: string): Promise<void> {
  await until(() => run.stderr.includes(text) || run.child.exitCode !== null)
  if (!run.stderr.includes(text)) throw new Error(`found the end of the bench, expected "${text}":\n${run.stderr}`)
}
