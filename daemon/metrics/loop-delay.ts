/**
 * How late an event loop is: of the last half minute, in windows, so that a peak is still there when somebody looks.
 *
 * A channel thread waits in fdatasync on purpose, so on a loaded one the delay is that of its disk.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'

/** Four looks a second and thread: an idle node wakes up for little else, and a delay that matters is longer. */
const RESOLUTION_MS = 250
const WINDOW_MS = 15_000
const NANOS = 1e9

export interface LoopDelay {
  readonly meanSeconds: number
  readonly p99Seconds: number
  readonly maxSeconds: number
}

const NONE: LoopDelay = { meanSeconds: 0, p99Seconds: 0, maxSeconds: 0 }

export class LoopDelayWatch {
  readonly #histogram: IntervalHistogram
  #windowFrom = performance.now()
  #before = NONE

  constructor() {
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    this.#histogram.enable()
  }

  /** The worse of the window that runs and the one before. */
  read(): LoopDelay {
    const now = this.#histogram.count === 0 ? NONE : delayOf(this.#histogram)
    const before = this.#before
    if (performance.now() - this.#windowFrom > WINDOW_MS) {
      this.#before = now
      this.#windowFrom = performance.now()
      this.#histogram.reset()
    }
    return {
      meanSeconds: Math.max(now.meanSeconds, before.meanSeconds),
      p99Seconds: Math.max(now.p99Seconds, before.p99Seconds),
      maxSeconds: Math.max(now.maxSeconds, before.maxSeconds),
    }
  }

  stop(): void {
    this.#histogram.disable()
  }
}

/** Node measures from one look to the next; what is beyond the distance that was asked for is delay. */
function delayOf(histogram: IntervalHistogram): LoopDelay {
  const late = (nanos: number): number => Math.max(0, nanos / NANOS - RESOLUTION_MS / 1_000)
  return {
    meanSeconds: late(histogram.mean),
    p99Seconds: late(histogram.percentile(99)),
    maxSeconds: late(histogram.max),
  }
}
