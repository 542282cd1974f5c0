/**
 * The stopwatch of one round. The first sessions warm up code and caches and are in no figure; then sessions are counted
 * and their latencies recorded until the time or the bytes are used up.
 */
import { build } from 'hdr-histogram-js'

export interface LoadBounds {
  readonly warmUpMs: number
  readonly measureMs: number
  /** Bytes of sessions, warm-up included. */
  readonly bytesMax: number
}

export interface LoadResult {
  readonly commits: number
  readonly entries: number
  readonly bytes: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** The most of the byte limit that the warm-up may use. */
const WARM_UP_BYTES_SHARE = 0.3
/** Latencies are recorded in units of 100 ns: fine enough for 0.1 ms, and a 32-bit histogram reaches minutes. */
const UNITS_PER_MS = 10_000

/** Decides when the measured part begins and ends, and counts in between. */
export class Meter {
  ended = false
  readonly #bounds: LoadBounds
  readonly #sessionBytes: number
  readonly #onPhase: (phase: 'begin' | 'end') => void
  readonly #histogram = build({ highestTrackableValue: 600_000 * UNITS_PER_MS, numberOfSignificantValueDigits: 3 })
  readonly #startMs = performance.now()
  #bytes = 0
  #beginMs = 0
  #endMs = 0
  #commits = 0

  constructor(bounds: LoadBounds, bytes: number, onPhase: (phase: 'begin' | 'end') => void) {
    this.#onPhase = onPhase
    this.#bounds = bounds
    this.#sessionBytes = bytes
  }

  completed(sentMs: number): void {
    const now = performance.now()
    this.#bytes += this.#sessionBytes
    if (this.ended) return
    if (this.#beginMs === 0) this.#warmUp(now)
    else this.#count(now, now - sentMs)
  }

  #warmUp(now: number): void {
    const { warmUpMs, bytesMax } = this.#bounds
    if (now - this.#startMs < warmUpMs && this.#bytes < bytesMax * WARM_UP_BYTES_SHARE) return
    this.#beginMs = now
    this.#onPhase('begin')
  }

  #count(now: number, latencyMs: number): void {
    this.#commits++
    this.#endMs = now
    this.#histogram.recordValue(Math.round(latencyMs * UNITS_PER_MS))
    if (now - this.#beginMs < this.#bounds.measureMs && this.#bytes < this.#bounds.bytesMax) return
    this.ended = true
    this.#onPhase('end')
  }

  result(entriesPerSession: number): LoadResult {
    return {
      commits: this.#commits,
      entries: this.#commits * entriesPerSession,
      bytes: this.#commits * this.#sessionBytes,
      seconds: (this.#endMs - this.#beginMs) / 1000,
      p50Ms: this.#histogram.getValueAtPercentile(50) / UNITS_PER_MS,
      p99Ms: this.#histogram.getValueAtPercentile(99) / UNITS_PER_MS,
    }
  }
}
