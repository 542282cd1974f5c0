/** A replica without threads and sockets: recovery, adoption and replica logs, as shipped, on a simulated disk. */

import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { headerSeed } from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId, nodeId } from '../../protocol/ids.ts'
import { adoptHistory } from '../../wal/adopt-history.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import type { Disk } from '../../wal/disk.ts'
import { initDirectory } from '../../wal/init-directory.ts'
import { type Manifest, readManifest } from '../../wal/manifest.ts'
import { rewriteTail } from '../../wal/mastership.ts'
import { writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { ReplicaLog } from '../../wal/replica-log.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { CLUSTER, DIRECTORY, SEGMENT_BYTES, scanAll } from './sim-master.ts'

const REPLICA = nodeId('0ccccccc-0000-4000-8000-000000000001')

export function initReplica(disk: Disk, channels: number): void {
  initDirectory(disk, DIRECTORY, {
    clusterId: CLUSTER,
    nodeId: REPLICA,
    role: 'replica',
    channels,
    segmentBytes: SEGMENT_BYTES,
    config: EMPTY_CONFIG,
    history: [],
    fence: undefined,
  })
}

export class SimReplica {
  manifest: Manifest
  /** Where each channel goes on after the start, or after the last adoption. */
  resume: readonly number[]
  #logs: ReplicaLog[] = []
  readonly #disk: Disk

  constructor(disk: Disk) {
    this.#disk = disk
    this.manifest = readManifest(disk, DIRECTORY)
    const scans = scanAll(disk, this.manifest)
    for (const scan of scans) rewriteTail(disk, DIRECTORY, scan)
    this.resume = scans.map((scan) => scan.end)
  }

  adopt(history: TermHistory): void {
    const result = adoptHistory({
      disk: this.#disk,
      directory: DIRECTORY,
      manifest: this.manifest,
      ends: this.resume,
      history,
    })
    this.manifest = result.manifest
    this.resume = result.resume
    this.#logs = result.resume.map((position, channel) => this.#openLog(channel, position))
  }

  /** Takes bytes of the master's stream. */
  receive(channel: number, bytes: Buffer): void {
    const reader = new FrameReader(headerSeed(CLUSTER, channelId(channel)), { channel })
    reader.push(bytes, (buffer, at, length) => this.#logs[channel]!.accept(buffer, at, length, { channel }))
  }

  /** Durable position after the flush: what the master is told. */
  flush(channel: number): number {
    this.#logs[channel]!.flush()
    return this.#logs[channel]!.durablePosition
  }

  #openLog(channel: number, position: number): ReplicaLog {
    const directory = channelDirectory(DIRECTORY, channel)
    const segments = new Segments({ disk: this.#disk, directory, segmentBytes: SEGMENT_BYTES, access: 'write' })
    const writer = new ChannelWriter({
      channel,
      segments,
      position,
      onRecoveryPoint: (point) => writeRecoveryPoint(this.#disk, directory, point),
    })
    return new ReplicaLog({ channel, writer, history: this.manifest.history, whole: () => 0n })
  }
}
