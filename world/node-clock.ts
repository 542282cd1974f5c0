/** The clock door on Node's timers. */
import type { Clock, Timer } from '../protocol/clock.ts'

class NodeTimer implements Timer {
  readonly #timeout: NodeJS.Timeout

  constructor(timeout: NodeJS.Timeout) {
    this.#timeout = timeout
  }

  cancel(): void {
    clearTimeout(this.#timeout) // of an interval too
  }
}

export const nodeClock: Clock = {
  now: () => performance.now(),
  wallClockMs: () => Date.now(),
  after: (delayMs, act) => new NodeTimer(setTimeout(act, delayMs)),
  afterInBackground: (delayMs, act) => new NodeTimer(setTimeout(act, delayMs).unref()),
  every: (intervalMs, act) => new NodeTimer(setInterval(act, intervalMs)),
  nextTurn: (act) => {
    setImmediate(act)
  },
  endOfTurn: (act) => process.nextTick(act),
}
