/**
 * One channel of a node as an actor: a master's or a replica's channel, what it hears from the control thread and from
 * the other channels, and what it says. It owns its files and its connections; nobody else touches them.
 *
 * Whoever runs it (channel-thread.ts: a thread; the simulator) hands it its doors and delivers one message at a time.
 * Translates, and decides nothing.
 */
import { assertNever } from '../../protocol/assert.ts'
import { type TravertineError, toWireError } from '../../protocol/errors.ts'
import { headerSeed } from '../../protocol/frame.ts'
import { channelId } from '../../protocol/ids.ts'
import type { World } from '../../protocol/world.ts'
import { Board } from '../../wal/board.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import type { Disk } from '../../wal/disk.ts'
import type { RunOperation } from '../../wal/log-port.ts'
import { masterTable } from '../../wal/producer.ts'
import { type ProducerTable, plainTable } from '../../wal/producer-table.ts'
import { readingStart } from '../../wal/recovery-point.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { MasterChannel } from '../io/master-channel.ts'
import { ReplicaChannel } from '../io/replica-channel.ts'
import type { OnRow } from '../io/replica-rows.ts'
import { StatSlots } from '../metrics/stat-slots.ts'
import type { DoorbellPreparer } from './segment-preparer.ts'
import type { ChannelStart, FromChannel, MasterStart, ToChannel } from './thread-messages.ts'

export interface ChannelDoors {
  readonly world: Pick<World, 'clock' | 'network'>
  readonly disk: Disk
  readonly run: RunOperation
  readonly preparer: DoorbellPreparer
  /** Tells the control thread. */
  readonly say: (message: FromChannel) => void
  /** Lets another channel look at the board. */
  readonly wake: (channel: number) => void
  /** After `stop`: nothing is open any more. */
  readonly onStopped: () => void
}

/** What both kinds of channel have. */
interface Channel {
  readonly registry: MasterChannel['registry']
  readonly rows: MasterChannel['rows']
  listen(host: string, port: number): Promise<number>
  heartbeat(): void
  stop(): void
}

export class ChannelActor {
  readonly #start: ChannelStart
  readonly #doors: ChannelDoors
  readonly #directory: string
  readonly #seed: number
  readonly #stats: StatSlots
  readonly #master: MasterChannel | undefined
  readonly #replica: ReplicaChannel | undefined
  readonly #channel: Channel
  #segments: Segments | undefined
  #writer: ChannelWriter | undefined
  #drainedSaid = false

  constructor(start: ChannelStart, doors: ChannelDoors) {
    this.#start = start
    this.#doors = doors
    this.#directory = channelDirectory(start.directory, start.channel)
    this.#stats = new StatSlots(start.stats)
    this.#seed = headerSeed(start.clusterId, channelId(start.channel))
    if (start.master === undefined) {
      this.#replica = this.#openReplica()
      this.#channel = this.#replica
    } else {
      this.#master = this.#openMaster(start.master)
      this.#channel = this.#master
    }
  }

  /** Resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
  listen(): Promise<number> {
    return this.#channel.listen(this.#start.host, this.#start.port)
  }

  /** Once a second: tells what is only known by looking. */
  heartbeat(): void {
    this.#channel.heartbeat()
  }

  /** Another channel has published progress. */
  wakened(): void {
    this.#master?.wakened()
  }

  handle(message: ToChannel): void {
    switch (message.type) {
      case 'registerSession':
        this.#channel.registry.register(message)
        return this.#doors.say({ type: 'sessionReady', session: message.session })
      case 'forgetSession':
        return this.#channel.registry.forget(message.session)
      case 'openRow':
        return this.#channel.rows.open(message.row, message.session, message)
      case 'closeRow':
        return this.#channel.rows.close(message.row, message.session)
      case 'config': {
        const { number } = message.record.config
        return this.#master?.writeConfig(message.record, () => this.#doors.say({ type: 'configStored', number }))
      }
      case 'recount':
        return this.#master?.recount(() => this.#doors.say({ type: 'recounted', number: message.number }))
      case 'quiesce':
        return this.#doors.say({ type: 'quiet', position: this.#replica?.quiesce() ?? 0 })
      case 'follow':
        return this.#replica?.follow(message.history, message.position, message.producers)
      case 'prepared':
        if (this.#doors.preparer.takeFailure()) return this.#segments?.forgetRequest()
        return this.#segments?.keepAhead()
      case 'diskLow':
        this.#master?.setDiskLow(message.low)
        this.#replica?.setDiskLow(message.low)
        return message.low ? undefined : this.#segments?.keepAhead()
      case 'drain':
        return this.#drain()
      case 'stop':
        this.#channel.stop()
        this.#segments?.close()
        return this.#doors.onStopped()
      default:
        return assertNever(message)
    }
  }

  #openMaster(master: MasterStart): MasterChannel {
    const { channel, position } = this.#start
    const { world, disk, run, wake } = this.#doors
    const producers = masterTable(master.term.number, this.#start.producers)
    return new MasterChannel({
      world,
      run,
      channel,
      disk,
      stats: this.#stats,
      channelDirectory: this.#directory,
      board: new Board(master.board),
      writer: this.#openWriter(position, producers),
      producers,
      term: master.term,
      history: master.history,
      headerSeed: this.#seed,
      wake,
      onRow: this.#onRow,
      onReaderFailed: this.#onReaderFailed,
      onDrained: () => this.#sayDrained(),
      onPoison: this.#onPoison,
    })
  }

  #openReplica(): ReplicaChannel {
    const { channel, position } = this.#start
    const { world, disk, say } = this.#doors
    const whole = new BigInt64Array(this.#start.whole)
    return new ReplicaChannel({
      world,
      channel,
      headerSeed: this.#seed,
      stats: this.#stats,
      openWriter: (at, producers) => this.#openWriter(at, producers),
      position,
      producers: plainTable(this.#start.producers),
      openFiles: () => new Segments({ disk, directory: this.#directory, segmentBytes: 0, access: 'read' }),
      startOf: (epoch, history) => readingStart({ channel, disk, channelDirectory: this.#directory }, history, epoch),
      onRow: this.#onRow,
      onReaderFailed: this.#onReaderFailed,
      whole: () => Atomics.load(whole, 0),
      onSeals: (seals) => say({ type: 'seals', seals }),
      onConfigs: (configs) => say({ type: 'configs', configs }),
      onPoison: this.#onPoison,
    })
  }

  #openWriter(position: number, producers: ProducerTable): ChannelWriter {
    const { channel, configs, segmentBytes, segmentsAhead: ahead } = this.#start
    const { disk, preparer, say } = this.#doors
    this.#segments?.close()
    const directory = this.#directory
    const segments = new Segments(
      { disk, directory, segmentBytes, access: 'write', preparer, ahead, writtenEnd: position },
      this.#segments,
    )
    this.#segments = segments
    const writer = new ChannelWriter({
      channel,
      segments,
      position,
      configs: this.#writer?.configs ?? configs,
      producers,
      onRecoveryPoint: (point) => say({ type: 'recoveryPoint', point }),
    })
    this.#writer = writer
    segments.keepAhead()
    return writer
  }

  #drain(): void {
    if (this.#master !== undefined) return this.#master.drain()
    this.#replica?.quiesce()
    this.#sayDrained()
  }

  #sayDrained(): void {
    if (!this.#drainedSaid) this.#doors.say({ type: 'drained' })
    this.#drainedSaid = true
  }

  readonly #onRow: OnRow = (type, row, session, error) =>
    this.#doors.say(
      type === 'rowDown' && error !== undefined
        ? { type, row, session, error: toWireError(error) }
        : { type, row, session },
    )

  readonly #onReaderFailed = (session: bigint, error: TravertineError): void =>
    this.#doors.say({ type: 'readerFailed', session, error: toWireError(error) })

  readonly #onPoison = (error: TravertineError): void => this.#doors.say({ type: 'failed', error: toWireError(error) })
}
