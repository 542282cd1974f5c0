/**
 * The processes that the bench starts. Each lives no longer than its parent, speaks to it by IPC, and leaves Ctrl-C to it:
 * a terminal sends SIGINT to all of them, and the parent has to end its children before it removes the scratch directory.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { asError } from '../protocol/errors.ts'

/** A node that has been told to end and has not is killed after this time. */
const END_MS_MAX = 15_000

const children = new Set<ChildProcess>()

/** In the child. @param close what has to be done before the end */
export function endWithParent(close?: () => Promise<void>): void {
  const end = async (): Promise<void> => {
    await close?.()
    process.exit(0)
  }
  process.on('disconnect', () => void end())
  process.on('SIGINT', () => {})
}

/** In the child. */
export function tellParent(message: Readonly<Record<string, unknown>>): void {
  if (process.send === undefined)
    throw new Error('Cannot run alone: found no IPC channel, expected the bench as parent')
  process.send(message)
}

/**
 * Starts a module in a process of its own. What it prints goes to stderr, to keep stdout for the report.
 *
 * @param profileDirectory where to leave CPU profiles of all its threads; none are made without it
 */
export function startChild(module: URL, args: readonly string[], profileDirectory: string | undefined): ChildProcess {
  const profiling = profileDirectory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`]
  const child = fork(fileURLToPath(module), args, { stdio: ['ignore', 2, 2, 'ipc'], execArgv: profiling })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/**
 * All threads of a child get processor time that nobody else wants, and give it up to anybody who wakes (SCHED_IDLE).
 * Threads that are started later inherit it. Linux, with chrt of util-linux.
 */
export function yieldProcessors({ pid }: ChildProcess): void {
  try {
    execFileSync('chrt', ['--all-tasks', '--idle', '--pid', '0', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (thrown) {
    throw new Error(`Cannot have a process yield the processors: ${asError(thrown).message}`, { cause: thrown })
  }
}

/** The next message of a child. @throws if it ends first, or says nothing for `msMax` */
export function nextMessage(child: ChildProcess, what: string, msMax: number): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      finish()
    }
    const onMessage = (message: unknown) => settle(() => resolve(message as Record<string, unknown>)) // of `tellParent`
    const onExit = (code: number | null, signal: string | null) =>
      settle(() => reject(new Error(`Cannot go on: ${what} ended with ${signal ?? `exit code ${code}`}`)))
    const timer = setTimeout(
      () => settle(() => reject(new Error(`Cannot go on: ${what} said nothing for ${msMax / 1000} s`))),
      msMax,
    )
    child.once('message', onMessage)
    child.once('exit', onExit)
  })
}

/** Ends a child in good order; returns when it is gone. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS_MAX)
  if (child.connected) child.disconnect()
  else child.kill('SIGKILL')
  await gone
  clearTimeout(timer)
}

/** For Ctrl-C and failures: nobody is asked, and what they wrote is about to be removed. */
export function killChildren(): void {
  for (const child of children) child.kill('SIGKILL')
}
