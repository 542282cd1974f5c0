/**
 * Tells a channel when it has been quiet for a while, once, until it is busy again. Costs a counter per flush, and one
 * timer per IDLE_MARK_MS while there is something to do; a quiet channel has no timer at all.
 */
import type { Clock, Timer } from '../../protocol/clock.ts'
import { IDLE_MARK_MS } from '../../protocol/limits.ts'

export class QuietWatch {
  readonly #clock: Clock
  readonly #onQuiet: () => void
  #touches = 0
  #timer: Timer | undefined

  constructor(clock: Clock, onQuiet: () => void) {
    this.#clock = clock
    this.#onQuiet = onQuiet
  }

  /** Something has happened. */
  touch(): void {
    this.#touches++
    if (this.#timer === undefined) this.#arm()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #arm(): void {
    const seen = this.#touches
    this.#timer = this.#clock.after(IDLE_MARK_MS, () => {
      this.#timer = undefined
      if (this.#touches === seen) this.#onQuiet()
      else this.#arm()
    })
  }
}
