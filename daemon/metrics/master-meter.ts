/**
 * What one channel of a master counts and times. Times are taken once per flush or acknowledgement, never once per session;
 * counts are shown once per heartbeat, to keep them off the commit path.
 *
 * The stages of a commit, as docs/METRICS.md tells them:
 *
 *   accepted ... queue ... flush begins: write, fdatasync (measured-disk.ts)
 *                                      : network, replica_fdatasync (round-trips.ts), side by side with these two
 */
import type { Clock } from '../../protocol/clock.ts'
import type { Board } from '../../wal/board.ts'
import type { ChannelLog } from '../../wal/channel-log.ts'
import type { ChannelWriter } from '../../wal/channel-writer.ts'
import { RowMeter } from './row-meter.ts'
import type { StatSlots } from './stat-slots.ts'

export interface MasterMeterOptions {
  readonly stats: StatSlots
  readonly log: ChannelLog
  readonly board: Board
  readonly writer: ChannelWriter
  readonly clock: Pick<Clock, 'now'>
}

export class MasterMeter {
  readonly #options: MasterMeterOptions
  readonly rows: RowMeter
  /** When the oldest session in the queue came; 0: the queue is empty. */
  #queuedAt = 0
  #closes = 0
  #flushes = 0
  #closedFull = 0
  #closedDrained = 0
  #marks = 0
  readonly #startedAt: number

  constructor(options: MasterMeterOptions) {
    this.#options = options
    this.rows = new RowMeter(options.stats, options.clock)
    this.#startedAt = options.writer.durablePosition
    this.#publishPositions()
  }

  /** Sessions have come. */
  accepted(): void {
    const { log, clock } = this.#options
    if (this.#queuedAt === 0 && log.hasQueue()) this.#queuedAt = clock.now()
  }

  flushBegins(): void {
    if (this.#queuedAt === 0) return
    const { stats, clock } = this.#options
    stats.observe('queue', clock.now() - this.#queuedAt)
    this.#queuedAt = 0
  }

  flushed(): void {
    const { log, board, clock } = this.#options
    this.#flushes++
    const closes = board.closes - this.#closes
    this.#closes = board.closes
    if (log.hasQueue()) {
      this.#queuedAt = clock.now()
      this.#closedFull += closes
    } else this.#closedDrained += closes
  }

  marked(): void {
    this.#marks++
    this.flushed()
  }

  /** Called with each heartbeat. */
  publish(clients: number, readers: number): void {
    const { stats, log } = this.#options
    const { sessions, entries, frames, seals } = log.counts
    stats.set('flushes', this.#flushes)
    stats.set('closedFull', this.#closedFull)
    stats.set('closedDrained', this.#closedDrained)
    stats.set('closedByOthers', seals - this.#closes)
    stats.set('sessions', sessions)
    stats.set('entries', entries)
    stats.set('frames', frames + this.#marks)
    stats.set('clients', clients)
    stats.set('readers', readers)
    this.rows.publishLag()
    this.#publishPositions()
  }

  #publishPositions(): void {
    const { stats, log, writer } = this.#options
    stats.set('writtenBytes', writer.durablePosition - this.#startedAt)
    stats.set('durablePosition', writer.durablePosition)
    stats.set('appendedPosition', writer.appendedPosition)
    stats.set('queuedBytes', log.queuedBytes)
  }
}
