/**
 * The `travertine` command as users have it: a real process, its output, its exit code. Ended by its own pid with the test.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'

export const MAIN = fileURLToPath(new URL('../../tools/main.js', import.meta.url))
const HOST = '127.0.0.1'

/** What is needed of a test: to be told when it ends. */
interface Teardown {
  teardown(handler: () => unknown): unknown
}

export interface Ended {
  /** null: ended by `signal`. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Another entry file than this clone's. */
  readonly main?: string
  /** A shell's text that runs the words, as `"$@"`, in an environment of its own. */
  readonly shell?: string
}

export class Command {
  stdout = ''
  stderr = ''
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  readonly #waiting = new Set<() => void>()
  #hasEnded = false

  constructor(t: Teardown, words: readonly string[], { env = {}, cwd, main = MAIN, shell }: StartOptions = {}) {
    const line = [process.execPath, main, ...words]
    const [program = '', ...rest] = shell === undefined ? line : ['/bin/sh', '-c', shell, 'sh', ...line]
    // npm starts the tests: it must not look as if it had started the command
    const { npm_lifecycle_event: _, NO_COLOR: __, FORCE_COLOR: ___, ...inherited } = process.env
    this.#child = spawn(program, rest, { stdio: 'pipe', env: { ...inherited, ...env }, cwd })
    this.#child.stdin?.on('error', () => undefined)
    this.#child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text
      this.#look()
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text
      this.#look()
    })
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        this.#hasEnded = true
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
        this.#look()
      })
    })
    t.teardown(() => {
      if (!this.#hasEnded) this.#child.kill('SIGKILL')
      return this.ended
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  type(text: string): void {
    this.#child.stdin?.write(text)
  }

  writeStdin(text: string): void {
    this.#child.stdin?.write(text)
  }

  endStdin(): void {
    this.#child.stdin?.end()
  }

  /** The reader of a stream goes away. */
  closeReader(stream: 'stdout' | 'stderr'): void {
    this.#child[stream]?.destroy()
  }

  /** Waits until the stream matches; throws if the process ends without. */
  async has(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[stream])
      if (match !== null) return match
      if (this.#hasEnded) throw new Error(`ended without ${pattern} on ${stream}:\n${this.stdout}\n${this.stderr}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #look(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

export const start = (t: Teardown, words: readonly string[], options?: StartOptions): Command =>
  new Command(t, words, options)

export const run = (t: Teardown, words: readonly string[], options?: StartOptions): Promise<Ended> =>
  start(t, words, options).ended

/** The object on the last line of stdout. */
export function lastObject({ stdout }: { readonly stdout: string }): Record<string, unknown> {
  const line = stdout.trimEnd().split('\n').at(-1) ?? ''
  return JSON.parse(line) as Record<string, unknown> // whoever asks expects one, and looks into it
}

/** `error.code` of an error object. */
export function errorCode(object: Record<string, unknown>): unknown {
  const { ok, error } = object
  return ok === false && typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits for a condition of which nobody tells us, such as the end of a process that is not our child. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** The port of a listener that stands between two free ones: who wants several in a row meets nobody else. */
export async function occupiedPort(t: Teardown): Promise<number> {
  for (;;) {
    const port = 1 + (await freePorts(3))
    const server = await listen(port)
    if (server === undefined) continue
    t.teardown(() => server.close())
    return port
  }
}

/** Below the ports that the system gives out by itself, and those of the torture: whoever stops finds its own free again. */
const [PORT_MIN, PORT_MAX] = [11_000, 30_000]

/** `count` ports in a row that are free now. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = randomInt(PORT_MIN, PORT_MAX - count)
    const servers: (Server | undefined)[] = []
    for (let port = first; port < first + count; port++) servers.push(await listen(port))
    await Promise.all(servers.map((server) => new Promise((resolve) => (server ? server.close(resolve) : resolve(0)))))
    if (!servers.includes(undefined)) return first
  }
}

/** undefined: taken. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, HOST, () => resolve(server))
  })
}
