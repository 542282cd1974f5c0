/**
 * A master without threads and sockets: recovery, start of a mastership, board and channel logs, as shipped, on a
 * simulated disk. One life of a node is one object; a crash throws it away and makes another on what the disk kept.
 *
 * It notes what it has answered, so that a checker can hold it against the files that are read later.
 */
import { randomFillSync } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type ClusterConfig, EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { type Entry, entryBytes } from '../../protocol/entry.ts'
import { encodeEntry } from '../../protocol/entry-encoder.ts'
import { encodeHeader, FRAME_HEADER_BYTES, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { channelId, clusterId, nodeId } from '../../protocol/ids.ts'
import { Board, boardShape, createBoard } from '../../wal/board.ts'
import { runToEnd } from '../../wal/board-machine.ts'
import { ChannelLog, type Origin } from '../../wal/channel-log.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import type { Disk } from '../../wal/disk.ts'
import { foldProducers } from '../../wal/fold-producers.ts'
import { initDirectory } from '../../wal/init-directory.ts'
import { type Manifest, readManifest } from '../../wal/manifest.ts'
import { type StartResult, startMastership } from '../../wal/mastership.ts'
import { type ProducerLimits, plainTable } from '../../wal/producer-table.ts'
import { type ChannelScan, recoverChannel } from '../../wal/recover.ts'
import { writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { LazyPreparer } from './lazy-preparer.ts'

export const DIRECTORY = '/data'
export const CLUSTER = clusterId('0aaaaaaa-0000-4000-8000-000000000001')
export const NODE = nodeId('0bbbbbbb-0000-4000-8000-000000000001')
export const SEGMENT_BYTES = 64 * 1024

export function initMaster(disk: Disk, channels: number): void {
  initDirectory(disk, DIRECTORY, {
    clusterId: CLUSTER,
    nodeId: NODE,
    role: 'master',
    channels,
    segmentBytes: SEGMENT_BYTES,
    config: { ...EMPTY_CONFIG, number: 1 },
    history: [],
    fence: undefined,
  })
}

/** Session number `id` as a client's frame: one put whose key is the number. */
export function sessionFrame(channel: number, id: number, valueBytes: number, producer = 9n): Buffer {
  const key = Buffer.alloc(8)
  key.writeDoubleLE(id)
  const entry: Entry = { op: 'put', storage: 1n, key, value: Buffer.alloc(valueBytes, id & 0xff) }
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + entryBytes(entry))
  encodeEntry(frame, FRAME_HEADER_BYTES, entry)
  const header = {
    kind: FrameKind.ENTRIES,
    flags: 0,
    entryCount: 1,
    termTag: 0,
    position: 0,
    epoch: 0n,
    term: 0n,
    firstMinor: 0n,
    producerId: producer,
    producerSequence: id,
  }
  const body = frame.subarray(FRAME_HEADER_BYTES)
  encodeHeader(
    frame,
    0,
    { ...header, bodyLength: body.length, bodyCrc: crc32(body) },
    headerSeed(CLUSTER, channelId(channel)),
  )
  return frame
}

export function readSessionId(body: Buffer): number {
  return body.readDoubleLE(17)
}

export class SimMaster {
  readonly disk: Disk
  readonly start: StartResult
  readonly logs: ChannelLog[] = []
  /** Ids of sessions answered STORED in this life, with their epoch. */
  readonly answered = new Map<number, bigint>()
  readonly writers: ChannelWriter[] = []
  readonly #wakes = new Set<number>()
  readonly #scans: readonly ChannelScan[]
  readonly #limits: ProducerLimits | undefined

  /** Recovers and starts, as `travertine run` does. @throws what keeps a node from starting */
  constructor(disk: Disk, historyLimit?: number, limits?: ProducerLimits) {
    this.disk = disk
    this.#limits = limits
    const manifest = readManifest(disk, DIRECTORY)
    this.#scans = scanAll(disk, manifest)
    this.start = startMastership({
      disk,
      directory: DIRECTORY,
      manifest,
      scans: this.#scans,
      tag: randomTag(),
      ...(historyLimit === undefined ? {} : { historyLimit }),
    })
    const { mastership } = this.start
    const board = createBoard(boardShape(manifest.channels), {
      firstEpoch: mastership.firstEpoch,
      baseEpoch: mastership.baseEpoch,
      policy: 0,
    })
    for (let channel = 0; channel < manifest.channels; channel++)
      this.logs.push(this.#openLog(channel, new Board(board)))
    this.changeConfig(this.start.manifest.config)
  }

  /** Also the first thing in each life. @returns was it STORED at once? */
  changeConfig(config: ClusterConfig): boolean {
    let stored = false
    this.logs[0]!.acceptConfig({ masterId: NODE, masterAddress: '127.0.0.1:7400', config }, () => {
      stored = true
    })
    this.flush(0)
    return stored
  }

  write(channel: number, id: number, valueBytes: number, producer?: bigint): void {
    const frame = sessionFrame(channel, id, valueBytes, producer)
    const origin: Origin = {
      isGone: false,
      stamped: () => this.writers[channel]!.producers.fold(frame, 0),
      stored: (epoch) => this.answered.set(id, epoch),
      propagated: () => undefined,
      rejected: (_, error) => {
        throw error
      },
    }
    this.logs[channel]!.accept(frame, 0, frame.length, origin, {})
  }

  flush(channel: number): void {
    runToEnd(this.logs[channel]!.beginFlush())
    this.#runWakes()
  }

  mark(channel: number): void {
    this.logs[channel]!.appendMark()
  }

  #runWakes(): void {
    while (this.#wakes.size > 0) {
      const [channel] = this.#wakes as Iterable<number> as [number] // the size has just been looked at
      this.#wakes.delete(channel)
      runToEnd(this.logs[channel]!.beginRecompute())
      if (this.logs[channel]!.wantsFlush) runToEnd(this.logs[channel]!.beginFlush())
    }
  }

  #openLog(channel: number, board: Board): ChannelLog {
    const directory = channelDirectory(DIRECTORY, channel)
    const { mastership, manifest } = this.start
    const position = mastership.starts[channel]!
    const segments = writableSegments(this.disk, directory, position)
    const limits = this.#limits === undefined ? {} : { limits: this.#limits }
    const fold = { disk: this.disk, directory: DIRECTORY, channel, clusterId: CLUSTER, history: manifest.history }
    const writer = new ChannelWriter({
      channel,
      segments,
      position,
      configs: this.#scans.flatMap((scan) => (scan.channel === channel ? scan.configs : [])),
      producers: plainTable(foldProducers({ ...fold, ...limits, to: position }), this.#limits),
      onRecoveryPoint: (point) => writeRecoveryPoint(this.disk, directory, point),
    })
    this.writers.push(writer)
    return new ChannelLog({
      channel,
      board,
      writer,
      term: this.start.mastership.term,
      headerSeed: headerSeed(CLUSTER, channelId(channel)),
      downstream: { offer: () => undefined },
      wake: (other) => this.#wakes.add(other),
      wallClockMs: () => 0,
    })
  }
}

export function writableSegments(disk: Disk, directory: string, writtenEnd: number): Segments {
  const preparer = new LazyPreparer(disk, directory, SEGMENT_BYTES)
  return new Segments({ disk, directory, segmentBytes: SEGMENT_BYTES, access: 'write', preparer, writtenEnd })
}

export function scanAll(disk: Disk, manifest: Manifest) {
  const { clusterId: cluster, nodeId: node, history } = manifest
  return Array.from({ length: manifest.channels }, (_, channel) =>
    recoverChannel({ disk, directory: DIRECTORY, channel, clusterId: cluster, nodeId: node, history }),
  )
}

function randomTag(): number {
  return randomFillSync(new Uint32Array(1))[0]! || 1
}
