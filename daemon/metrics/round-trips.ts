/**
 * How long a replica takes: from the moment a flush is handed to its socket until the replica says that it is durable.
 *
 * Only what went out at the live tail is timed; what is read from the files to catch up says nothing about a commit.
 * Bounded: while a replica says nothing, the oldest are kept (they tell the lag) and newer ones are not timed.
 */
import { Deque } from '../../wal/deque.ts'
import type { StatSlots } from './stat-slots.ts'

/** More flushes than this are not under way to one replica: senders are level or they read from the files. */
const PENDING_LIMIT = 1024

export class RoundTrips {
  readonly #stats: StatSlots
  readonly #row: number
  readonly #now: () => number
  readonly #pending = new Deque<{ readonly end: number; readonly at: number }>()

  constructor(stats: StatSlots, row: number, now: () => number) {
    this.#stats = stats
    this.#row = row
    this.#now = now
  }

  /** The bytes before `end` have been handed to the replica's socket, or will be read for it. */
  sent(end: number): void {
    if (this.#pending.length < PENDING_LIMIT) this.#pending.push({ end, at: this.#now() })
  }

  /** The replica has made durable what lies below `position`; its last write and fdatasync took so long. */
  durable(position: number, flushMicros: number): void {
    let newest: number | undefined
    for (let p = this.#pending.first(); p !== undefined && p.end <= position; p = this.#pending.first()) {
      newest = p.at
      this.#pending.shift()
    }
    this.#stats.setRow(this.#row, 'durablePosition', position)
    if (newest === undefined) return
    const flushMs = flushMicros / 1_000
    // the newest one: what came before it in the same answer had to wait for its turn
    this.#stats.observe('network', Math.max(0, this.#now() - newest - flushMs))
    this.#stats.observe('replica_fdatasync', flushMs)
  }

  /** Age of the oldest flush that is not durable there. Called now and then. */
  publishLag(): void {
    const oldest = this.#pending.first()
    this.#stats.setRow(this.#row, 'lagSeconds', oldest === undefined ? 0 : (this.#now() - oldest.at) / 1_000)
  }

  up(position: number): void {
    this.#stats.setRow(this.#row, 'streaming', 1)
    this.#stats.setRow(this.#row, 'durablePosition', position)
  }

  down(): void {
    this.#stats.setRow(this.#row, 'streaming', 0)
    this.#stats.setRow(this.#row, 'lagSeconds', 0)
  }
}
