/**
 * The thread around one channel: builds a master's or a replica's channel on this thread's own disk handle, listener and
 * message port, and translates messages. No decisions here.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert, assertNever } from '../../protocol/assert.ts'
import { asError, TravertineError, toWireError } from '../../protocol/errors.ts'
import { headerSeed } from '../../protocol/frame.ts'
import { channelId } from '../../protocol/ids.ts'
import { Board } from '../../wal/board.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { readingStart } from '../../wal/recovery-point.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { MasterChannel } from '../io/master-channel.ts'
import { ReplicaChannel } from '../io/replica-channel.ts'
import { DoorbellPreparer } from './segment-preparer.ts'
import type { ChannelThreadStart, FromChannel, MasterStart, ToChannel } from './thread-messages.ts'

assert(parentPort !== null, 'a channel thread is a worker')
const port = parentPort
const start = workerData as ChannelThreadStart // set by channel-threads.ts, which is the only starter of this file

const disk = new NodeDisk()
const directory = channelDirectory(start.directory, start.channel)
const seed = headerSeed(start.clusterId, channelId(start.channel))
const preparer = new DoorbellPreparer(start.doorbell, (base) => say({ type: 'prepare', base }))
let segments: Segments | undefined

function say(message: FromChannel): void {
  port.postMessage(message)
}

function openWriter(position: number): ChannelWriter {
  segments?.close()
  segments = new Segments({
    disk,
    directory,
    segmentBytes: start.segmentBytes,
    access: 'write',
    preparer,
    ahead: start.segmentsAhead,
    writtenEnd: position,
  })
  const writer = new ChannelWriter({
    channel: start.channel,
    segments,
    position,
    onRecoveryPoint: (point) => say({ type: 'recoveryPoint', point }),
  })
  segments.keepAhead()
  return writer
}

const onReaderFailed = (session: bigint, error: TravertineError): void =>
  say({ type: 'readerFailed', session, error: toWireError(error) })
const onPoison = (error: TravertineError): void => say({ type: 'failed', error: toWireError(error) })

interface RunningChannel {
  listen(host: string, port: number): Promise<number>
  handle(message: ToChannel): void
}

function startMaster(master: MasterStart): RunningChannel {
  const wakePorts = master.wakePorts
  let drainedSaid = false
  const channel = new MasterChannel({
    channel: start.channel,
    disk,
    channelDirectory: directory,
    board: new Board(master.board),
    writer: openWriter(start.position),
    term: master.term,
    history: master.history,
    headerSeed: seed,
    wake: (other) => wakePorts[other]?.postMessage(0),
    onRow: (type, row, session, error) =>
      say(
        type === 'rowDown' && error !== undefined
          ? { type, row, session, error: toWireError(error) }
          : { type, row, session },
      ),
    onReaderFailed,
    onDrained: () => {
      if (!drainedSaid) say({ type: 'drained' })
      drainedSaid = true
    },
    onPoison,
  })
  for (const wakePort of wakePorts) wakePort?.on('message', () => channel.wakened())
  const handle = (message: ToChannel): void => {
    switch (message.type) {
      case 'registerSession':
        channel.registry.register(message.session, message.secret, message.kind)
        return say({ type: 'sessionReady', session: message.session })
      case 'forgetSession':
        return channel.registry.forget(message.session)
      case 'openRow':
        return channel.openRow(message.row, message.session, message)
      case 'closeRow':
        return channel.closeRow(message.row, message.session)
      case 'prepared':
        return prepared()
      case 'diskLow':
        channel.setDiskLow(message.low)
        return message.low ? undefined : segments?.keepAhead()
      case 'drain':
        return channel.drain()
      case 'stop':
        channel.stop()
        return finish()
      case 'quiesce':
      case 'follow':
        throw new Error(`${message.type} is for replicas`)
      default:
        return assertNever(message)
    }
  }
  return { listen: (host, wanted) => channel.listen(host, wanted), handle }
}

function startReplica(): RunningChannel {
  const whole = new BigInt64Array(start.whole)
  const channel = new ReplicaChannel({
    channel: start.channel,
    headerSeed: seed,
    openWriter,
    position: start.position,
    openFiles: () => new Segments({ disk, directory, segmentBytes: 0, access: 'read' }),
    startOf: (epoch, history) =>
      readingStart({ disk, channelDirectory: directory, channel: start.channel }, history, epoch),
    onReaderFailed,
    whole: () => Atomics.load(whole, 0),
    onSeals: (seals) => say({ type: 'seals', seals }),
    onPoison,
  })
  const handle = (message: ToChannel): void => {
    switch (message.type) {
      case 'registerSession':
        channel.registry.register(message.session, message.secret, message.kind)
        return say({ type: 'sessionReady', session: message.session })
      case 'forgetSession':
        return channel.registry.forget(message.session)
      case 'quiesce':
        return say({ type: 'quiet', position: channel.quiesce() })
      case 'follow':
        return channel.follow(message.history, message.position)
      case 'prepared':
        return prepared()
      case 'diskLow':
        return message.low ? undefined : segments?.keepAhead() // it takes what its master has accepted while there is room
      case 'drain':
        channel.quiesce()
        return say({ type: 'drained' })
      case 'stop':
        channel.stop()
        return finish()
      case 'openRow':
      case 'closeRow':
        throw new Error(`${message.type} is for masters`)
      default:
        return assertNever(message)
    }
  }
  return { listen: (host, wanted) => channel.listen(host, wanted), handle }
}

function prepared(): void {
  if (preparer.takeFailure()) segments?.forgetRequest()
  else segments?.keepAhead()
}

function finish(): void {
  segments?.close()
  port.close()
  for (const wakePort of start.master?.wakePorts ?? []) wakePort?.close()
}

const channel = start.master === undefined ? startReplica() : startMaster(start.master)
port.on('message', (message: ToChannel) => channel.handle(message))
channel.listen(start.host, start.port).then(
  (listening) => say({ type: 'listening', port: listening }),
  (thrown: unknown) => {
    if (!(thrown instanceof TravertineError)) throw asError(thrown)
    onPoison(thrown)
  },
)
