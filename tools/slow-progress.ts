/** Progress of work that is mostly quick: nothing is shown before it has taken a while. */
import { type Progress, type ProgressOptions, startProgress } from './progress.ts'

/** People begin to wonder after about this time. */
const QUIET_MS = 2_000

export class SlowProgress {
  readonly #unit: string
  readonly #startedAt = performance.now()
  #shown: Progress | undefined

  /** @param unit what is counted */
  constructor(unit: string) {
    this.#unit = unit
  }

  update(done: number, total: number, note: string): void {
    if (this.#shown === undefined && performance.now() - this.#startedAt < QUIET_MS) return
    const options: ProgressOptions = { unit: this.#unit, total }
    this.#shown ??= startProgress(options)
    this.#shown.update(done, note)
  }

  stop(): void {
    this.#shown?.stop()
  }
}
