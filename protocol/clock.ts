/**
 * The door to time. Whatever waits or measures asks a clock that it is given: production has one on Node's timers
 * (world/node-clock.ts), the simulator one of its own.
 *
 * What is *not* promised: that something runs on time (a thread may be busy or paused for long; look at `now()` again
 * after any wait); that two clocks agree, or run equally fast; that `wallClockMs` ascends. Nothing runs inside the call
 * that plans it.
 */
export interface Timer {
  /** It will not fire any more. Does nothing if it has fired. */
  cancel(): void
}

export interface Clock {
  /** Milliseconds of a monotonic clock. Reading it has no effect. */
  now(): number
  /** Milliseconds since 1970, for people: no decision rests on it. */
  wallClockMs(): number
  after(delayMs: number, act: () => void): Timer
  /** As `after`, for what is no reason by itself to keep a process alive. */
  afterInBackground(delayMs: number, act: () => void): Timer
  every(intervalMs: number, act: () => void): Timer
  /** In the next turn: when all that has arrived by now was looked at. */
  nextTurn(act: () => void): void
  /** At the end of this turn, before anything else arrives. */
  endOfTurn(act: () => void): void
}
