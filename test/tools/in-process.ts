/**
 * The `travertine` command without a process of its own, for cases in which a process adds nothing but its start: refusals,
 * and commands that ask or read. Exit code and output are those of the whole command, errors included.
 *
 * What a command writes is told from what the test itself prints by where it was called from (AsyncLocalStorage). Exit code
 * and environment are this process's, so one line runs after the other. Not for what is ended by
 * a signal or reads stdin: those are processes (travertine.ts), and every command is one at least once.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { runTravertine } from '../../tools/travertine.ts'
import type { Ended } from './travertine.ts'

type StreamName = 'stdout' | 'stderr'
type Output = Record<StreamName, string>

const output = new AsyncLocalStorage<Output>()

for (const name of ['stdout', 'stderr'] as const) {
  const stream = process[name]
  const write: (...words: unknown[]) => boolean = stream.write.bind(stream) as never // two signatures, handed on as they came
  const divided = (chunk: unknown, ...rest: unknown[]): boolean => {
    const of = output.getStore()
    if (of === undefined) return write(chunk, ...rest)
    of[name] += String(chunk)
    const done = rest.at(-1)
    if (typeof done === 'function') process.nextTick(() => done())
    return true
  }
  // a command looks at it for colours and bars, and finds a pipe where it is a process
  Object.assign(stream, { write: divided, isTTY: false })
}

/** Of which a process would stop listening with its end. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGXFSZ'] as const

let last: Promise<unknown> = Promise.resolve()

/** Like `run` of travertine.ts. */
export function runHere(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const ended = last.then(() => runLine(words, env))
  last = ended
  return ended
}

async function runLine(words: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const before = { ...process.env }
  const listeners = SIGNALS.map((signal) => process.listeners(signal))
  const written: Output = { stdout: '', stderr: '' }
  Object.assign(process.env, env)
  process.exitCode = undefined
  try {
    const code = await output.run(written, () => runTravertine(words))
    return { code, signal: null, ...written }
  } finally {
    process.exitCode = undefined
    SIGNALS.forEach((signal, i) => {
      for (const listener of process.listeners(signal))
        if (listeners[i]?.includes(listener) !== true) process.off(signal, listener)
    })
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}
