/**
 * One timer for all deadlines of a channel.
 *
 * It is set for the earliest deadline it was told of and fires once for it; the sweep then ends whatever has expired
 * and returns the next earliest. With the usual order (equal deadlines, so later calls expire later) a call that is
 * answered in time costs one comparison. A deadline is noticed at most CLIENT_SWEEP_MS_MIN late.
 */
import { CLIENT_DEADLINE_MS_LIMIT, CLIENT_SWEEP_MS_MIN } from '../protocol/limits.ts'

/** Ends what has expired at `now`; returns the earliest deadline that is left, or Infinity. */
export type Sweep = (now: number) => number

export class DeadlineSweep {
  readonly #sweep: Sweep
  #timer: NodeJS.Timeout | undefined
  #due = Number.POSITIVE_INFINITY

  constructor(sweep: Sweep) {
    this.#sweep = sweep
  }

  watch(deadline: number): void {
    if (deadline < this.#due) this.#set(deadline, 1)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#due = Number.POSITIVE_INFINITY
  }

  #set(deadline: number, delayMin: number): void {
    clearTimeout(this.#timer)
    this.#due = deadline
    const delay = Math.max(delayMin, Math.ceil(deadline - performance.now()))
    // the sockets keep a process alive that waits for an answer, not this timer
    this.#timer = setTimeout(this.#fire, Math.min(delay, CLIENT_DEADLINE_MS_LIMIT)).unref()
  }

  readonly #fire = (): void => {
    this.#due = Number.POSITIVE_INFINITY
    const next = this.#sweep(performance.now())
    if (next < this.#due) this.#set(next, CLIENT_SWEEP_MS_MIN)
  }
}
