/** A replica without threads and sockets: recovery, adoption and replica logs, as shipped, on a simulated disk. */

import { WholeTracker } from '../../daemon/core/whole-tracker.ts'
import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { headerSeed } from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId, nodeId } from '../../protocol/ids.ts'
import { completeAdoption, prepareAdoption } from '../../wal/adopt-history.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import type { Disk } from '../../wal/disk.ts'
import { foldProducers } from '../../wal/fold-producers.ts'
import { initDirectory } from '../../wal/init-directory.ts'
import { type Manifest, readManifest, writeManifest } from '../../wal/manifest.ts'
import { makeDurable, wholeOfScans } from '../../wal/mastership.ts'
import { type ProducerLimits, type ProducerTable, plainTable } from '../../wal/producer-table.ts'
import { writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { ReplicaLog } from '../../wal/replica-log.ts'
import { channelDirectory } from '../../wal/segments.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { CLUSTER, DIRECTORY, SEGMENT_BYTES, scanAll, writableSegments } from './sim-master.ts'

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
  /** Of everything appended, per channel. */
  producers: ProducerTable[]
  #logs: ReplicaLog[] = []
  readonly #disk: Disk
  readonly #limits: ProducerLimits | undefined
  /** Which epochs are whole here: recovery points are about no others. */
  readonly #whole: WholeTracker

  constructor(disk: Disk, limits?: ProducerLimits) {
    this.#disk = disk
    this.#limits = limits
    this.manifest = readManifest(disk, DIRECTORY)
    const scans = scanAll(disk, this.manifest)
    writeManifest(disk, DIRECTORY, this.manifest)
    for (const scan of scans) makeDurable(disk, DIRECTORY, scan)
    this.resume = scans.map((scan) => scan.end)
    this.producers = scans.map(({ channel, end }) => this.#fold(channel, end))
    this.#whole = new WholeTracker({
      whole: wholeOfScans(this.manifest, scans).lastWhole,
      heldThrough: scans.map((scan) => scan.heldThrough),
      seals: scans.flatMap((scan) => scan.seals),
    })
  }

  adopt(history: TermHistory): void {
    const options = {
      disk: this.#disk,
      directory: DIRECTORY,
      manifest: this.manifest,
      ends: this.#logs.length === 0 ? this.resume : this.#logs.map((log) => log.durablePosition),
      history,
    }
    const result = prepareAdoption(options)
    completeAdoption(options, result)
    this.manifest = result.manifest
    this.resume = result.resume
    if (result.divergentBytes.some((bytes) => bytes > 0)) this.#whole.cutBehind(result.commonEpoch)
    this.producers = this.producers.map((own, channel) => {
      if (result.producers[channel] === undefined) return own
      return this.#limits === undefined
        ? plainTable(result.producers[channel])
        : this.#fold(channel, result.resume[channel]!)
    })
    this.#logs = result.resume.map((position, channel) => this.#openLog(channel, position))
  }

  /** Takes bytes of the master's stream. */
  receive(channel: number, bytes: Buffer): void {
    const reader = new FrameReader(headerSeed(CLUSTER, channelId(channel)), { channel })
    reader.push(bytes, (buffer, at, length) => this.#logs[channel]!.accept(buffer, at, length, { channel }))
  }

  received(channel: number): number {
    return this.#logs[channel]!.receivedPosition
  }

  /** Durable position after the flush: what the master is told. */
  flush(channel: number): number {
    const log = this.#logs[channel]!
    log.flush()
    this.#whole.add(log.takeDurableSeals())
    return log.durablePosition
  }

  #fold(channel: number, to: number): ProducerTable {
    const { clusterId, history } = this.manifest
    const limits = this.#limits
    const options = { disk: this.#disk, directory: DIRECTORY, channel, clusterId, history, to }
    return plainTable(foldProducers(limits === undefined ? options : { ...options, limits }), limits)
  }

  #openLog(channel: number, position: number): ReplicaLog {
    const directory = channelDirectory(DIRECTORY, channel)
    const segments = writableSegments(this.#disk, directory, position)
    const writer = new ChannelWriter({
      channel,
      segments,
      position,
      producers: this.producers[channel]!, // one per channel
      onRecoveryPoint: (point) => writeRecoveryPoint(this.#disk, directory, point),
    })
    return new ReplicaLog({ channel, writer, history: this.manifest.history, whole: () => this.#whole.whole })
  }
}
