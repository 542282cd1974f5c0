/** The clock door of one simulated thread. Clocks of different hosts run at different speeds and begin anywhere. */
import type { Clock, Timer } from '../../protocol/clock.ts'
import type { Actor, Scheduler } from './scheduler.ts'

/** How a host's clock runs: `parts` microseconds of its own in 1000 of the world's. */
export interface ClockDrift {
  readonly parts: number
  readonly offsetMs: number
}

export function simClock(scheduler: Scheduler, actor: Actor, drift: ClockDrift): Clock {
  const plan = (delayMs: number, act: () => void): Timer => {
    let isCancelled = false
    const micros = Math.max(1, Math.ceil((delayMs * 1_000_000) / drift.parts))
    scheduler.in(micros, () =>
      actor.post(() => {
        if (!isCancelled) act()
      }),
    )
    return { cancel: () => (isCancelled = true) }
  }
  const every = (intervalMs: number, act: () => void): Timer => {
    let timer: Timer
    const arm = (): void => {
      timer = plan(intervalMs, () => {
        arm()
        act()
      })
    }
    arm()
    return { cancel: () => timer.cancel() }
  }
  const now = (): number => drift.offsetMs + (scheduler.now * drift.parts) / 1_000_000
  return {
    now,
    wallClockMs: () => Math.floor(now()) + 1_700_000_000_000,
    after: plan,
    afterInBackground: plan,
    every,
    nextTurn: (act) => actor.post(act),
    endOfTurn: (act) => actor.atEndOfTurn(act),
  }
}
