/**
 * The wish to stop, from wherever it comes: a signal, the end of stdin, a parent that has gone.
 *
 * The first wish is kept as a promise, for an end in good order. A second signal means "now": it ends the process at
 * once, with the exit code of that signal. SIGHUP stops a command that belongs to a terminal; a node ignores it.
 */
import { ExitCode, exitCodeOfSignal, InterruptedError, type StopReason } from './exit-codes.ts'

export interface StopOptions {
  /** Stop when stdin ends: whoever holds the other end has gone. */
  readonly withStdin?: boolean
  /** Stop when another process becomes the parent: ours has gone without a word. */
  readonly withParent?: boolean
  /** What a closed terminal means. */
  readonly hangUp: 'stop' | (() => void)
  /** Before the end at once. Must not wait. */
  readonly beforeExit?: () => void
}

const PARENT_LOOK_MS = 250

export class StopRequest {
  /** Resolves with the first wish. */
  readonly requested: Promise<StopReason>
  readonly #options: StopOptions
  #resolve!: (reason: StopReason) => void
  #reason: StopReason | undefined

  constructor(options: StopOptions) {
    this.#options = options
    this.requested = new Promise((resolve) => {
      this.#resolve = resolve
    })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#signalled(signal))
    const { hangUp } = options
    process.on('SIGHUP', () => (hangUp === 'stop' ? this.#signalled('SIGHUP') : hangUp()))
    if (options.withStdin === true) this.#watchStdin()
    if (options.withParent === true) this.#watchParent()
  }

  /** The first wish, if there was one. */
  get reason(): StopReason | undefined {
    return this.#reason
  }

  /** @throws INTERRUPTED if the wish to stop comes before `work` is done; `work` itself goes on, unheard */
  async during<T>(work: Promise<T>, what: string): Promise<T> {
    work.catch(() => undefined)
    return Promise.race([
      work,
      this.requested.then((reason): never => {
        throw new InterruptedError(what, reason)
      }),
    ])
  }

  #signalled(signal: NodeJS.Signals): void {
    const exitCode = exitCodeOfSignal(signal)
    if (this.#reason !== undefined) {
      this.#options.beforeExit?.()
      process.exit(exitCode)
    }
    this.#request({ text: signal, exitCode })
  }

  #request(reason: StopReason): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#resolve(reason)
  }

  #watchStdin(): void {
    const ended = (): void => this.#request({ text: 'the end of stdin', exitCode: ExitCode.TERMINATED })
    process.stdin.on('end', ended).on('close', ended).on('error', ended).resume()
  }

  #watchParent(): void {
    const parent = process.ppid
    const timer = setInterval(() => {
      if (process.ppid !== parent) this.#request({ text: 'the end of its parent', exitCode: ExitCode.TERMINATED })
    }, PARENT_LOOK_MS)
    timer.unref()
  }
}
