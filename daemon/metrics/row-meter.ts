/** What one channel tells of the replicas that it feeds: rows of its slots, by row. */
import type { Clock } from '../../protocol/clock.ts'
import { RoundTrips } from './round-trips.ts'
import type { StatSlots } from './stat-slots.ts'

export class RowMeter {
  readonly #stats: StatSlots
  readonly #clock: Pick<Clock, 'now'>
  readonly #rows = new Map<number, RoundTrips>()

  constructor(stats: StatSlots, clock: Pick<Clock, 'now'>) {
    this.#stats = stats
    this.#clock = clock
  }

  up(row: number, position: number): void {
    const trips = new RoundTrips(this.#stats, row, () => this.#clock.now())
    this.#rows.set(row, trips)
    trips.up(position)
  }

  down(row: number): void {
    this.#rows.get(row)?.down()
    this.#rows.delete(row)
  }

  /** The bytes before `end` are handed to all replicas, or will be read for them. */
  offered(end: number): void {
    for (const trips of this.#rows.values()) trips.sent(end)
  }

  durable(row: number, position: number, flushMicros: number): void {
    this.#rows.get(row)?.durable(position, flushMicros)
  }

  /** Called with each heartbeat. */
  publishLag(): void {
    for (const trips of this.#rows.values()) trips.publishLag()
  }
}
