/** A thread proves once a second that its event loop turns, and publishes what is only known by looking. */
import { LoopDelayWatch } from './loop-delay.ts'
import type { StatSlots } from './stat-slots.ts'

/** Often enough for whoever watches (THREAD_STALL_MS_MAX), and nothing on an idle machine. */
export const HEARTBEAT_MS = 1_000

export class Heartbeat {
  readonly #timer: NodeJS.Timeout
  readonly #delay = new LoopDelayWatch()

  constructor(stats: StatSlots, onBeat: () => void) {
    const beat = (): void => {
      stats.add('heartbeats', 1)
      const { meanSeconds, p99Seconds, maxSeconds } = this.#delay.read()
      stats.set('loopDelayMeanSeconds', meanSeconds)
      stats.set('loopDelayP99Seconds', p99Seconds)
      stats.set('loopDelayMaxSeconds', maxSeconds)
      onBeat()
    }
    beat()
    this.#timer = setInterval(beat, HEARTBEAT_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#delay.stop()
  }
}
