/** Progress of work that is mostly quick: nothing is shown before it has taken a while. */
import { type Progress, type ProgressOptions, startProgress } from './progress.ts'

/** People begin to wonder after about this time. */
const QUIET_MS = 2_000

export class SlowProgress {
  readonly #unit: string
  readonly #stream: NodeJS.WriteStream
  readonly #now: () => number
  readonly #startedAt: number
  #shown: Progress | undefined

  /**
   * @param unit what is counted
   * @param world for tests: stderr, and milliseconds on a clock that never goes back
   */
  constructor(unit: string, world: { readonly stream?: NodeJS.WriteStream; readonly now?: () => number } = {}) {
    this.#unit = unit
    this.#stream = world.stream ?? process.stderr
    this.#now = world.now ?? (() => performance.now())
    this.#startedAt = this.#now()
  }

  update(done: number, total: number, note: string): void {
    if (this.#shown === undefined && this.#now() - this.#startedAt < QUIET_MS) return
    const options: ProgressOptions = { unit: this.#unit, total }
    this.#shown ??= startProgress(options, this.#stream)
    this.#shown.update(done, note)
  }

  stop(): void {
    this.#shown?.stop()
  }
}
