/**
 * A node in a process of its own, started by this one: `travertine run` of the same program.
 *
 * It never outlives us: it watches its stdin, whose other end we hold, so that even our crash ends it. It leads a process
 * group of its own, because Ctrl-C in a terminal reaches the whole group of ours, and the order of the end is ours to say.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { fromWireError, isWireError, TravertineError } from '../protocol/errors.ts'
import { DRAIN_MS_MAX } from '../protocol/limits.ts'
import type { ReadyLine } from './run.ts'

/** A node drains, then closes; only one that hangs needs more. */
const END_MS_MAX = DRAIN_MS_MAX + 10_000

export interface NodeProcessOptions {
  readonly directory: string
  readonly port: number
  readonly adminPort: number
  /** How it is called in texts: master. */
  readonly name: string
  /** Hears what the node says at `warn` and above. */
  readonly onLog: (text: string) => void
}

export class NodeProcess {
  readonly name: string
  /** Resolves when the process has gone, with the reason. Never rejects. */
  readonly ended: Promise<TravertineError>
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #onLog: (text: string) => void
  readonly #listening: Promise<ReadyLine>
  #onReady!: (ready: ReadyLine) => void
  #error: TravertineError | undefined
  #hasEnded = false
  #stopping = false

  constructor({ directory, port, adminPort, name, onLog }: NodeProcessOptions) {
    const main = fileURLToPath(new URL('./main.js', import.meta.url))
    const ports = ['--port', String(port), '--admin-port', String(adminPort)]
    const words = ['run', directory, ...ports, '--json', '--log-format', 'json', '--stop-with-stdin']
    this.name = name
    this.#onLog = onLog
    this.#child = spawn(process.execPath, [main, ...words], { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    this.#child.stdin.on('error', () => undefined) // it has gone: `ended` says so
    this.#listening = new Promise((resolve) => {
      this.#onReady = resolve
    })
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#result(line))
    createInterface({ input: this.#child.stderr }).on('line', (line) => this.#log(line))
    this.ended = new Promise((resolve) => {
      const gone = (how: string, cause?: unknown): void => {
        this.#hasEnded = true
        resolve(this.#error ?? endedError(name, how, cause))
      }
      this.#child.once('error', (cause) => gone(cause.message, cause))
      this.#child.once('close', (code, signal) => gone(signal ?? `exit code ${code}`))
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** @throws why it cannot run, as it said itself */
  ready(): Promise<ReadyLine> {
    const failed = this.ended.then((error): never => {
      throw error
    })
    return Promise.race([this.#listening, failed])
  }

  /** In good order; one that does not end within its limit is killed. */
  async stop(): Promise<void> {
    this.#stopping = true
    if (!this.#hasEnded) this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.kill(), END_MS_MAX)
    await this.ended
    clearTimeout(timer)
  }

  kill(): void {
    if (!this.#hasEnded) this.#child.kill('SIGKILL')
  }

  /** A line of `run --json`: it is ready, or why it is not. */
  #result(line: string): void {
    const value = parseObject(line)
    if (value?.['ok'] === true)
      this.#onReady(value as unknown as ReadyLine) // run.ts prints nothing else
    else if (isWireError(value?.['error'])) this.#error = fromWireError(value['error'])
  }

  #log(line: string): void {
    const value = parseObject(line)
    const level = value?.['level']
    // while it stops, that a peer has gone is no news
    if (level === 'info' || (level === 'warn' && this.#stopping)) return
    this.#onLog(value === undefined ? line : `${String(level)} ${String(value['text'])}`)
  }
}

function endedError(name: string, how: string, cause: unknown): TravertineError {
  return new TravertineError('CONNECTION_LOST', `Cannot go on: the ${name} has ended with ${how}`, {
    hint: `what the ${name} said is above`,
    cause,
  })
}

/** A crash of Node itself is not JSON. */
function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined // just checked
  } catch {
    return undefined
  }
}
