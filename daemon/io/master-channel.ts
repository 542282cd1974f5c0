/**
 * One channel on the master: the connections of its clients and replicas around its channel log.
 *
 * The loop, which is all of the commit path: sockets are read until none has more (clients' frames are checked and
 * queued, replicas' acks move the rows); then one flush takes what has come: stamp, hand to the replicas, write,
 * fdatasync, answer. The answers of a flush leave at the end of the next turn, after its sockets were read: an ack that came
 * in during fdatasync is then told in the same write. While the thread is in fdatasync the next batch collects in the kernel: the previous flush *is* the
 * timer. Nobody is answered before what the answer promises is durable; see channel-log.ts. Peers that are behind are fed
 * from the files in between: their slices go behind a flush that is planned, and behind its answers.
 */

import type { ConfigRecord } from '../../protocol/cluster-config.ts'
import { TravertineError } from '../../protocol/errors.ts'
import type { Term } from '../../protocol/ids.ts'
import { CHANNEL_QUEUE_BYTES_LIMIT } from '../../protocol/limits.ts'
import type { World } from '../../protocol/world.ts'
import type { Board } from '../../wal/board.ts'
import { ChannelLog, type Downstream } from '../../wal/channel-log.ts'
import type { ChannelWriter } from '../../wal/channel-writer.ts'
import type { Disk } from '../../wal/disk.ts'
import type { Operation, RunOperation } from '../../wal/log-port.ts'
import type { Producer } from '../../wal/producer.ts'
import type { ProducerTable } from '../../wal/producer-table.ts'
import { readingStart } from '../../wal/recovery-point.ts'
import { Segments } from '../../wal/segments.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { MasterMeter } from '../metrics/master-meter.ts'
import type { StatSlots } from '../metrics/stat-slots.ts'
import { ClientLinks } from './client-links.ts'
import { LogListener } from './log-listener.ts'
import { QuietWatch } from './quiet-watch.ts'
import { ReaderLinks } from './reader-links.ts'
import { type OnRow, ReplicaRows, type RowKeeper } from './replica-rows.ts'
import { SessionRegistry } from './session-registry.ts'

export interface MasterChannelOptions {
  readonly world: Pick<World, 'clock' | 'network'>
  readonly run: RunOperation
  readonly channel: number
  readonly disk: Disk
  readonly stats: StatSlots
  readonly channelDirectory: string
  readonly board: Board
  readonly writer: ChannelWriter
  /** The table that the writer has, too. */
  readonly producers: ProducerTable<Producer>
  readonly term: Term
  readonly history: TermHistory
  readonly headerSeed: number
  readonly wake: (channel: number) => void
  readonly onRow: OnRow
  readonly onReaderFailed: (session: bigint, error: TravertineError) => void
  readonly onDrained: () => void
  /** The channel cannot go on. */
  readonly onPoison: (error: TravertineError) => void
}

export class MasterChannel implements Downstream {
  readonly #options: MasterChannelOptions
  readonly #log: ChannelLog
  readonly #meter: MasterMeter
  readonly #listener: LogListener
  readonly registry = new SessionRegistry()
  readonly #clients: ClientLinks
  readonly #readers: ReaderLinks
  readonly rows: ReplicaRows
  #flushScheduled = false
  #paused = false
  #draining = false
  #diskLow = false
  #poisoned = false
  readonly #quietWatch: QuietWatch
  readonly #flush: Operation
  readonly #recompute: Operation

  constructor(options: MasterChannelOptions) {
    const { clock } = options.world
    this.#options = options
    this.#log = new ChannelLog({
      channel: options.channel,
      board: options.board,
      writer: options.writer,
      term: options.term,
      headerSeed: options.headerSeed,
      downstream: this,
      // a channel that has to wake itself does so in the next turn, like all others
      wake: (other) => (other === options.channel ? clock.nextTurn(() => this.wakened()) : options.wake(other)),
      wallClockMs: () => clock.wallClockMs(),
    })
    const { stats, board, writer } = options
    this.#meter = new MasterMeter({ stats, log: this.#log, board, writer, clock })
    this.#quietWatch = new QuietWatch(clock, () => this.#becomeQuiet())
    const failed = (thrown: unknown): void => this.#poison(thrown)
    const beginFlush = (): ReturnType<ChannelLog['beginFlush']> => {
      this.#meter.flushBegins()
      return this.#log.beginFlush()
    }
    this.#flush = { begin: beginFlush, done: () => this.#flushed(), failed }
    this.#recompute = { begin: () => this.#log.beginRecompute(), done: () => this.#recomputed(), failed }
    this.#clients = new ClientLinks({
      ...options,
      clock,
      registry: this.registry,
      log: this.#log,
      refusal: () => this.#refusal(),
      onAccepted: () => this.#accepted(),
      onError: (error) => stats.countError(error.code),
      onClose: () => this.#checkDrained(),
    })
    this.rows = new ReplicaRows({
      ...options,
      keeper: this.#rowKeeper(),
      openFiles: () => this.#openFiles(),
      durablePosition: () => writer.durablePosition,
      appendedPosition: () => writer.appendedPosition,
      isFlushPlanned: () => this.#flushScheduled,
    })
    this.#readers = new ReaderLinks({
      clock,
      channel: options.channel,
      registry: this.registry,
      openFiles: () => this.#openFiles(),
      durablePosition: () => writer.durablePosition,
      isFlushPlanned: () => this.#flushScheduled,
      startOf: (epoch) => readingStart(options, options.history, epoch),
      onFailed: options.onReaderFailed,
    })
    this.#listener = new LogListener(options.world, {
      append: (connection, open, rest) => this.#clients.open(connection, open, rest),
      read: (connection, open, rest) => this.#readers.open(connection, open, rest),
      refused: (error) => stats.countError(error.code),
    })
  }

  listen(host: string, port: number): Promise<number> {
    return this.#listener.listen(host, port)
  }

  /** Hands bytes that are about to be written to the replicas that are level. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    this.rows.offer(position, buffers, bytes)
    this.#meter.rows.offered(position + bytes)
  }

  /** Another channel has published progress. */
  wakened(): void {
    if (!this.#poisoned) this.#run(this.#recompute)
  }

  /** Looks at the board, so that this channel counts by its newest policy, then calls. */
  recount(then: () => void): void {
    if (this.#poisoned) return
    const done = (): void => {
      this.#recomputed()
      then()
    }
    this.#run({ ...this.#recompute, done })
  }

  #recomputed(): void {
    this.#clients.sendReplies()
    if (this.#log.wantsFlush) this.#scheduleFlush()
    this.#checkDrained()
  }

  writeConfig(record: ConfigRecord, onStored: () => void): void {
    if (this.#poisoned) return
    this.#log.acceptConfig(record, onStored)
    this.#scheduleFlush()
  }

  /** Once a second. */
  heartbeat(): void {
    this.#meter.publish(this.#clients.size, this.#readers.count)
  }

  setDiskLow(low: boolean): void {
    this.#diskLow = low
  }

  drain(): void {
    this.#draining = true
    this.#listener.stopListening()
    this.#checkDrained()
  }

  stop(): void {
    this.#quietWatch.stop()
    this.rows.closeAll()
    this.#clients.close()
    this.#readers.close()
    this.#listener.close()
  }

  #openFiles(): Segments {
    const { disk, channelDirectory } = this.#options
    return new Segments({ disk, directory: channelDirectory, segmentBytes: 0, access: 'read' })
  }

  #accepted(): void {
    this.#meter.accepted()
    if (this.#log.queuedBytes > CHANNEL_QUEUE_BYTES_LIMIT && !this.#paused) {
      this.#paused = true
      this.#clients.pause()
    }
    if (this.#log.wantsFlush) this.#scheduleFlush()
    else this.#clients.sendReplies() // refusals only
  }

  /** What a replica holds counts on the board. */
  #rowKeeper(): RowKeeper {
    return {
      up: (row, position, then) => {
        this.#meter.rows.up(row, position)
        this.#acknowledge(row, position, then)
      },
      durable: (row, position, flushMicros) => {
        this.#meter.rows.durable(row, position, flushMicros)
        this.#acknowledge(row, position)
      },
      down: (row, then) => {
        this.#meter.rows.down(row)
        this.#run({
          begin: () => this.#log.beginRowDown(row),
          done: then,
          failed: (thrown) => this.#poison(thrown),
        })
      },
    }
  }

  #acknowledge(row: number, position: number, then?: () => void): void {
    if (this.#poisoned) return
    this.#run({
      begin: () => this.#log.beginAcknowledge(row, position),
      done: () => {
        this.#clients.sendReplies()
        this.#checkDrained()
        then?.()
      },
      failed: (thrown) => this.#poison(thrown),
    })
  }

  #run(operation: Operation): void {
    this.#options.run(operation)
  }

  /** After the connections of this turn were read, so that one flush takes what all of them have brought. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#poisoned) return
    this.#flushScheduled = true
    this.#options.world.clock.nextTurn(this.#beginFlush)
  }

  readonly #beginFlush = (): void => {
    if (!this.#poisoned) this.#run(this.#flush)
  }

  #flushed(): void {
    this.#flushScheduled = false
    this.#meter.flushed()
    this.#clients.flushed()
    this.#clients.sendRepliesSoon()
    this.rows.pump()
    this.#readers.pump()
    if (this.#paused && this.#log.queuedBytes < CHANNEL_QUEUE_BYTES_LIMIT / 2) {
      this.#paused = false
      this.#clients.resume()
    }
    if (this.#log.hasQueue()) this.#scheduleFlush()
    this.#quietWatch.touch()
    this.#checkDrained()
  }

  /** A quiet channel proves its last flush durable with one MARK, prepares segments, and then does nothing at all. */
  #becomeQuiet(): void {
    if (this.#poisoned || this.#draining) return
    if (this.#log.wantsFlush) return this.#quietWatch.touch()
    this.#attempt(() => {
      this.#log.appendMark()
      this.#meter.marked()
      this.#options.writer.becomeQuiet()
    })
    this.#readers.pump()
  }

  #attempt(write: () => void): void {
    try {
      write()
    } catch (thrown) {
      this.#poison(thrown)
    }
  }

  #poison(thrown: unknown): void {
    if (!(thrown instanceof TravertineError)) throw thrown
    this.#poisoned = true
    this.#clients.fail(thrown)
    this.#options.onPoison(thrown)
  }

  #refusal(): TravertineError | undefined {
    if (this.#draining) {
      return new TravertineError('SHUTTING_DOWN', 'Cannot accept a session: the node is shutting down', {
        hint: 'try again when it is back',
      })
    }
    if (this.#diskLow) {
      return new TravertineError('DISK_LOW', 'Cannot accept a session: the disk is below its low-water mark', {
        where: { file: this.#options.channelDirectory },
        hint: 'free space on the disk; the node resumes by itself',
      })
    }
    return undefined
  }

  #checkDrained(): void {
    if (this.#draining && this.#log.isDrained) this.#options.onDrained()
  }
}
