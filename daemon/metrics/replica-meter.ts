/** What one channel of a replica counts; it is shown once per heartbeat, to keep it off the commit path. The stages write and fdatasync come from measured-disk.ts. */

import type { Clock } from '../../protocol/clock.ts'
import type { ReplicaLog } from '../../wal/replica-log.ts'
import { RowMeter } from './row-meter.ts'
import type { StatSlots } from './stat-slots.ts'

interface Seen {
  readonly frames: number
  readonly sessions: number
  readonly entries: number
  readonly durablePosition: number
}

export class ReplicaMeter {
  readonly #stats: StatSlots
  #log: ReplicaLog
  #seen: Seen
  #flushes = 0
  /** Of the replicas that this one feeds. */
  readonly rows: RowMeter

  constructor(stats: StatSlots, log: ReplicaLog, clock: Pick<Clock, 'now'>) {
    this.#stats = stats
    this.rows = new RowMeter(stats, clock)
    this.#log = log
    this.#seen = seenOf(log)
    this.#publishPositions()
  }

  /** Another history, and another log with it. */
  follow(log: ReplicaLog): void {
    this.#count()
    this.#log = log
    this.#seen = seenOf(log)
    this.#publishPositions()
  }

  flushed(): void {
    this.#flushes++
    this.rows.offered(this.#log.durablePosition)
  }

  /** Called with each heartbeat. */
  publish(masters: number, readers: number): void {
    this.#stats.set('masters', masters)
    this.#stats.set('readers', readers)
    this.rows.publishLag()
    this.#count()
  }

  #count(): void {
    const [now, before] = [seenOf(this.#log), this.#seen]
    this.#seen = now
    this.#stats.add('flushes', this.#flushes)
    this.#flushes = 0
    this.#stats.add('frames', now.frames - before.frames)
    this.#stats.add('sessions', now.sessions - before.sessions)
    this.#stats.add('entries', now.entries - before.entries)
    this.#stats.add('writtenBytes', now.durablePosition - before.durablePosition)
    this.#publishPositions()
  }

  #publishPositions(): void {
    this.#stats.set('durablePosition', this.#log.durablePosition)
    this.#stats.set('appendedPosition', this.#log.receivedPosition)
    this.#stats.set('queuedBytes', this.#log.receivedPosition - this.#log.durablePosition)
  }
}

const seenOf = ({ counts, durablePosition }: ReplicaLog): Seen => ({ ...counts, durablePosition })
