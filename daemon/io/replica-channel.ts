/**
 * One channel on a replica: the master's log connection around the replica log.
 *
 * Frames are appended as they come. A flush makes them durable, and only then the master hears DURABLE: at once where what
 * has come ends in a seal, else in the next turn of the event loop, with all that comes until then; while turns bring
 * megabytes, as in a catch-up, several share a flush. At most one log connection is open: a new session's replaces an old
 * one's.
 *
 * Replicas that this one feeds (decision 0014) are behind that: they are sent what is durable, and their answers count for
 * status only. Before the log is cut for another history the control thread has closed their rows.
 */
import { assert } from '../../protocol/assert.ts'
import type { Timer } from '../../protocol/clock.ts'
import type { Connection } from '../../protocol/connection.ts'
import { encodeMessage, type Message } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { REPLICA_FLUSH_BYTES_LIMIT, REPLICA_TURN_BYTES } from '../../protocol/limits.ts'
import { encodeDurableReply, encodeErrorReply, ReplyType } from '../../protocol/log-reply.ts'
import type { World } from '../../protocol/world.ts'
import type { ChannelWriter } from '../../wal/channel-writer.ts'
import { type ProducerTable, type ProducerTableState, plainTable } from '../../wal/producer-table.ts'
import { type ReceivedConfig, ReplicaLog } from '../../wal/replica-log.ts'
import type { Segments } from '../../wal/segments.ts'
import { latestTerm, type TermHistory } from '../../wal/term-history.ts'
import type { FoundSeal } from '../../wal/whole-epoch.ts'
import { ReplicaMeter } from '../metrics/replica-meter.ts'
import type { RowMeter } from '../metrics/row-meter.ts'
import type { StatSlots } from '../metrics/stat-slots.ts'
import { LogListener } from './log-listener.ts'
import { QuietWatch } from './quiet-watch.ts'
import { ReaderLinks } from './reader-links.ts'
import { type OnRow, ReplicaRows, type RowKeeper } from './replica-rows.ts'
import { SessionRegistry } from './session-registry.ts'

/** Seals are reported to the control thread in bunches: it works out which epochs are whole, for status and restarts. */
const SEALS_REPORT_MS = 100

export interface ReplicaChannelOptions {
  readonly world: Pick<World, 'clock' | 'network'>
  readonly channel: number
  readonly headerSeed: number
  readonly stats: StatSlots
  /** Makes a writer whose next byte is at `position`. */
  readonly openWriter: (position: number, producers: ProducerTable) => ChannelWriter
  readonly position: number
  /** The producer table as of that position. */
  readonly producers: ProducerTable
  /** The channel's files, opened for reading. */
  readonly openFiles: () => Segments
  /** Begin of a frame before which nothing of this epoch or a later one stands. */
  readonly startOf: (epoch: bigint, history: TermHistory) => number
  readonly onRow: OnRow
  readonly onReaderFailed: (session: bigint, error: TravertineError) => void
  readonly whole: () => bigint
  readonly onSeals: (seals: FoundSeal[]) => void
  /** CONFIGs that became durable; called before the seals of their epochs are told. */
  readonly onConfigs: (configs: ReceivedConfig[]) => void
  readonly onPoison: (error: TravertineError) => void
}

interface Link {
  readonly connection: Connection
  readonly reader: FrameReader
  readonly peer: string
}

export class ReplicaChannel {
  readonly #options: ReplicaChannelOptions
  readonly #listener: LogListener
  readonly registry = new SessionRegistry()
  readonly #readers: ReaderLinks
  /** Replicas that this one feeds: with what is durable here, read from the files. */
  readonly rows: ReplicaRows
  #log: ReplicaLog
  #producers: ProducerTable
  readonly #meter: ReplicaMeter
  #history: TermHistory = []
  #link: Link | undefined
  #flushScheduled = false
  /** Received since the last turn that was waited for. */
  #turnBytes = 0
  #diskLow = false
  #poisoned = false
  #sealTimer: Timer | undefined
  readonly #quietWatch: QuietWatch

  constructor(options: ReplicaChannelOptions) {
    this.#options = options
    const { clock } = options.world
    this.#producers = options.producers
    this.#log = this.#logAt([], options.position)
    this.#meter = new ReplicaMeter(options.stats, this.#log, clock)
    this.#quietWatch = new QuietWatch(clock, () => this.#attempt(() => this.#log.becomeQuiet()))
    this.rows = new ReplicaRows({
      ...options,
      keeper: rowKeeper(this.#meter.rows),
      durablePosition: () => this.#log.durablePosition,
    })
    this.#readers = new ReaderLinks({
      clock,
      channel: options.channel,
      registry: this.registry,
      openFiles: options.openFiles,
      durablePosition: () => this.#log.durablePosition,
      startOf: (epoch) => options.startOf(epoch, this.#history),
      onFailed: options.onReaderFailed,
    })
    this.#listener = new LogListener(options.world, {
      append: (connection, open, rest) => this.#openLink(connection, open, rest),
      read: (connection, open, rest) => this.#readers.open(connection, open, rest),
      refused: (error) => options.stats.countError(error.code),
    })
  }

  listen(host: string, port: number): Promise<number> {
    return this.#listener.listen(host, port)
  }

  /** Closes the master's links and makes durable what has been received; returns the durable end. */
  quiesce(): number {
    this.registry.forgetAll('replication')
    this.#endLink()
    this.#flush()
    this.#reportSeals() // the next log begins without them
    return this.#log.durablePosition
  }

  /** @param producers the table as of `position`, where something was cut off there */
  follow(history: TermHistory, position: number, producers: ProducerTableState | undefined): void {
    const isCut = producers !== undefined
    assert(!isCut || this.rows.isEmpty, 'nobody is fed with a log that is being cut', { position })
    if (producers !== undefined) this.#producers = plainTable(producers)
    this.#log = this.#logAt(history, position)
    this.#meter.follow(this.#log)
    this.#history = history
  }

  /** While the disk is low nothing more is taken: an append that finds no room would end the node. */
  setDiskLow(low: boolean): void {
    this.#diskLow = low
    if (low) this.#endLink(diskLow())
  }

  /** Once a second. */
  heartbeat(): void {
    this.#meter.publish(this.#link === undefined ? 0 : 1, this.#readers.count)
  }

  stop(): void {
    this.quiesce()
    this.#quietWatch.stop()
    this.#readers.close()
    this.rows.closeAll()
    this.#listener.close()
  }

  #logAt(history: TermHistory, position: number): ReplicaLog {
    const { channel, openWriter, whole } = this.#options
    return new ReplicaLog({ channel, writer: openWriter(position, this.#producers), history, whole })
  }

  #openLink(connection: Connection, open: Message<'log_open'>, rest: Buffer): void {
    const { channel, headerSeed } = this.#options
    const term = latestTerm(this.#history)
    if (term === undefined)
      throw new TravertineError('SECRET_INVALID', 'Cannot open a log connection: no session was begun')
    const release = this.registry.admit(open, { kind: 'replication', channel }, () => this.#endLink())
    if (this.#diskLow) {
      release()
      throw diskLow()
    }
    this.#endLink()
    const { peer } = connection
    const link: Link = { connection, reader: new FrameReader(headerSeed, { channel, peer }), peer }
    this.#link = link
    connection.handle({
      data: (chunk) => this.#receive(link, chunk),
      closed: () => {
        release()
        if (this.#link === link) this.#link = undefined
      },
    })
    const position = this.#log.receivedPosition
    const noProducer = { sequence: 0, missing: [], lastEpoch: 0n, lastTerm: term, since: 0n }
    connection.write(encodeMessage({ type: 'log_open_ok', position, term, ...noProducer }))
    if (rest.length > 0) this.#receive(link, rest)
  }

  #receive(link: Link, chunk: Buffer): void {
    if (this.#link !== link || this.#poisoned) return
    this.#turnBytes += chunk.length
    try {
      link.reader.push(chunk, (buffer, at, bytes) =>
        this.#log.accept(buffer, at, bytes, { channel: this.#options.channel, peer: link.peer }),
      )
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.#endLink(thrown)
    }
    // behind a seal nothing more belongs to the master's flush; a part of a frame is followed by its rest
    if (this.#log.endsInSeal && link.reader.pendingBytes === 0) this.#flush()
    else if (this.#log.wantsFlush && !this.#flushScheduled) this.#flushSoon()
  }

  /** After this turn; or, while turns bring a lot, after as many as make a large flush. */
  #flushSoon(): void {
    this.#flushScheduled = true
    this.#options.world.clock.nextTurn(() => {
      const { receivedPosition, durablePosition } = this.#log
      const isStreaming = this.#turnBytes >= REPLICA_TURN_BYTES
      this.#turnBytes = 0
      this.#flushScheduled = false
      if (isStreaming && receivedPosition - durablePosition < REPLICA_FLUSH_BYTES_LIMIT) {
        this.#attempt(() => this.#log.write()) // megabytes that wait in memory outlive its young generation
        this.#flushSoon()
      } else this.#flush()
    })
  }

  #flush(): void {
    if (this.#poisoned || !this.#log.wantsFlush) return
    const { clock } = this.#options.world
    const before = clock.now()
    this.#attempt(() => this.#log.flush())
    const flushMicros = (clock.now() - before) * 1_000
    const { receivedPosition, durablePosition } = this.#log
    this.#link?.connection.write(encodeDurableReply(receivedPosition, durablePosition, flushMicros))
    this.#meter.flushed()
    this.#quietWatch.touch()
    this.#readers.pump()
    this.rows.pump()
    const configs = this.#log.takeDurableConfigs()
    if (configs.length > 0) this.#options.onConfigs(configs)
    this.#sealTimer ??= clock.after(SEALS_REPORT_MS, () => this.#reportSeals())
  }

  /** Something that touches the disk: whatever goes wrong there ends the channel, and its link with it. */
  #attempt(work: () => void): void {
    if (this.#poisoned) return
    try {
      work()
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.#poisoned = true
      this.#endLink(thrown)
      this.#options.onPoison(thrown)
    }
  }

  #reportSeals(): void {
    this.#sealTimer?.cancel()
    this.#sealTimer = undefined
    const seals = this.#log.takeDurableSeals()
    if (seals.length > 0) this.#options.onSeals(seals)
  }

  #endLink(error?: TravertineError): void {
    const link = this.#link
    this.#link = undefined
    if (link === undefined) return
    if (error !== undefined) this.#options.stats.countError(error.code)
    link.connection.end(error === undefined ? undefined : encodeErrorReply(ReplyType.ERROR, 0, toWireError(error)))
  }
}

/** Nothing here waits for those that this replica feeds. */
const rowKeeper = (meter: RowMeter): RowKeeper => ({
  up: (row, position, then) => {
    meter.up(row, position)
    then()
  },
  durable: (row, position, flushMicros) => meter.durable(row, position, flushMicros),
  down: (row, then) => {
    meter.down(row)
    then()
  },
})

function diskLow(): TravertineError {
  return new TravertineError('DISK_LOW', 'Cannot take more of the log: the disk is below its low-water mark', {
    hint: "free space on the replica's disk; it goes on by itself",
  })
}
