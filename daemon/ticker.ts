/**
 * The node's own tick: often while epochs move, since readers and status wait for it, seldom while nothing happens.
 * Waking up is most of what an idle node does, and on a virtual machine it is dear.
 */
import type { Clock, Timer } from '../protocol/clock.ts'

const TICK_MS = 50
/** Time limits of sessions are seconds. */
const IDLE_TICK_MS = 250
/** So many ticks in a row without a movement: the next ones come seldom. */
const QUIET_TICKS = 20

export class Ticker {
  readonly #clock: Pick<Clock, 'after'>
  readonly #tick: () => boolean
  #timer: Timer
  #quiet = 0

  /** @param tick returns whether anything has moved since the last one */
  constructor(clock: Pick<Clock, 'after'>, tick: () => boolean) {
    this.#clock = clock
    this.#tick = tick
    this.#timer = this.#arm()
  }

  stop(): void {
    this.#timer.cancel()
  }

  #arm(): Timer {
    return this.#clock.after(this.#quiet < QUIET_TICKS ? TICK_MS : IDLE_TICK_MS, () => {
      this.#timer = this.#arm() // first, so that a tick may stop it
      this.#quiet = this.#tick() ? 0 : this.#quiet + 1
    })
  }
}
