/**
 * The low-water mark: new sessions are refused while the disk has too little room for the next segments of all channels,
 * and accepted again by themselves when it has. Measured in the job pool, after each new segment and once a second
 * while the disk is low; an idle node with room does not look at all.
 */
import type { Clock, Timer } from '../../protocol/clock.ts'
import { LOW_WATER_SEGMENTS } from '../../protocol/limits.ts'

const RETRY_MS = 1_000

export interface DiskWatchOptions {
  readonly clock: Clock
  readonly channels: number
  readonly segmentBytes: number
  readonly freeBytes: () => Promise<number>
  readonly onChange: (low: boolean, freeBytes: number) => void
  readonly onError: (error: unknown) => void
}

export class DiskWatch {
  readonly #options: DiskWatchOptions
  #low = false
  #timer: Timer | undefined
  #stopped = false

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  get isLow(): boolean {
    return this.#low
  }

  /** Measures now. `failed`: a segment could not be made, whatever the numbers say. */
  check(failed = false): void {
    if (this.#stopped) return
    const { channels, segmentBytes, freeBytes, onError } = this.#options
    freeBytes().then(
      (free) => {
        if (!this.#stopped) this.#set(failed || free < LOW_WATER_SEGMENTS * segmentBytes * channels, free)
      },
      (error: unknown) => {
        if (!this.#stopped) onError(error) // else: the pool has ended with the node
      },
    )
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #set(low: boolean, free: number): void {
    if (low !== this.#low) {
      this.#low = low
      this.#options.onChange(low, free)
    }
    this.#timer?.cancel()
    if (low) this.#timer = this.#options.clock.after(RETRY_MS, () => this.check())
  }
}
