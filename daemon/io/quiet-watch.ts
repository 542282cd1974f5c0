/**
 * Tells a channel when it has been quiet for a while, once, until it is busy again. Costs a counter per flush, and one
 * timer per IDLE_MARK_MS while there is something to do; a quiet channel has no timer at all.
 */
import { IDLE_MARK_MS } from '../../protocol/limits.ts'

export class QuietWatch {
  readonly #onQuiet: () => void
  #touches = 0
  #timer: NodeJS.Timeout | undefined

  constructor(onQuiet: () => void) {
    this.#onQuiet = onQuiet
  }

  /** Something has happened. */
  touch(): void {
    this.#touches++
    if (this.#timer === undefined) this.#arm()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(): void {
    const seen = this.#touches
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#touches === seen) this.#onQuiet()
      else this.#arm()
    }, IDLE_MARK_MS)
  }
}
