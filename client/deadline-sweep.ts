/**
 * One timer for all deadlines of a channel.
 *
 * It is set for the earliest deadline it was told of and fires once for it; the sweep then ends whatever has expired
 * and returns the next earliest. With the usual order (equal deadlines, so later calls expire later) a call that is
 * answered in time costs one comparison. A deadline is noticed at most CLIENT_SWEEP_MS_MIN late.
 */
import type { Clock, Timer } from '../protocol/clock.ts'
import { CLIENT_DEADLINE_MS_LIMIT, CLIENT_SWEEP_MS_MIN } from '../protocol/limits.ts'

/** Ends what has expired at `now`; returns the earliest deadline that is left, or Infinity. */
export type Sweep = (now: number) => number

export class DeadlineSweep {
  readonly #clock: Clock
  readonly #sweep: Sweep
  #timer: Timer | undefined
  #due = Number.POSITIVE_INFINITY

  constructor(clock: Clock, sweep: Sweep) {
    this.#clock = clock
    this.#sweep = sweep
  }

  watch(deadline: number): void {
    if (deadline < this.#due) this.#set(deadline, 1)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#due = Number.POSITIVE_INFINITY
  }

  #set(deadline: number, delayMin: number): void {
    this.#timer?.cancel()
    this.#due = deadline
    const delay = Math.max(delayMin, Math.ceil(deadline - this.#clock.now()))
    // the sockets keep a process alive that waits for an answer, not this timer
    this.#timer = this.#clock.afterInBackground(Math.min(delay, CLIENT_DEADLINE_MS_LIMIT), this.#fire)
  }

  readonly #fire = (): void => {
    this.#due = Number.POSITIVE_INFINITY
    const next = this.#sweep(this.#clock.now())
    if (next < this.#due) this.#set(next, CLIENT_SWEEP_MS_MIN)
  }
}
