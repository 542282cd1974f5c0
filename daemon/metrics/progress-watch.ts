/**
 * Who makes no progress: compares the heartbeats of the channel threads with those of the look before, once a second, on
 * the control thread. That the control thread lives is shown by whoever asks it and gets an answer.
 */
import { THREAD_STALL_MS_MAX } from '../../protocol/limits.ts'

export interface WatchedThread {
  readonly name: string
  /** Counts up as long as the thread makes progress. */
  readonly heartbeats: () => number
}

export interface ThreadHealth {
  readonly name: string
  readonly alive: boolean
  /** Since its last sign of life was seen. */
  readonly silentMs: number
}

/** A look that comes this late says that *we* stood still: a suspended machine, a stopped process. */
const LOOK_MS_MAX = 2_500

export class ProgressWatch {
  readonly #now: () => number
  readonly #threads: { readonly thread: WatchedThread; heartbeats: number; heardAt: number }[]
  #lookedAt: number

  constructor(threads: readonly WatchedThread[], now: () => number) {
    this.#now = now
    this.#lookedAt = now()
    this.#threads = threads.map((thread) => ({ thread, heartbeats: -1, heardAt: now() }))
  }

  look(): void {
    const now = this.#now()
    const gap = now - this.#lookedAt
    this.#lookedAt = now
    for (const watched of this.#threads) {
      const heartbeats = watched.thread.heartbeats()
      if (heartbeats !== watched.heartbeats) watched.heardAt = now
      else if (gap > LOOK_MS_MAX) watched.heardAt += gap // it could not be seen meanwhile, and may have stood still too
      watched.heartbeats = heartbeats
    }
  }

  threads(): ThreadHealth[] {
    return this.#threads.map(({ thread, heardAt }) => {
      const silentMs = Math.max(0, this.#now() - heardAt)
      return { name: thread.name, alive: silentMs <= THREAD_STALL_MS_MAX, silentMs: Math.round(silentMs) }
    })
  }
}
