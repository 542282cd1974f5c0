/**
 * Work of the job pool: short, wants a core or a disk, and must block neither the control thread nor a channel.
 * Arguments and results are plain data. Errors travel as wire errors, so that their codes survive.
 */
import { asError, TravertineError, toWireError, type WireError } from '../../protocol/errors.ts'
import { HOLE_SEGMENTS, LOW_WATER_SEGMENTS } from '../../protocol/limits.ts'
import { type AdoptOptions, type AdoptResult, completeAdoption, prepareAdoption } from '../../wal/adopt-history.ts'
import type { Disk } from '../../wal/disk.ts'
import { type FoldOptions, foldProducers } from '../../wal/fold-producers.ts'
import { type Manifest, writeManifest } from '../../wal/manifest.ts'
import { makeDurable, type StartOptions, type StartResult, startMastership } from '../../wal/mastership.ts'
import type { ProducerTableState } from '../../wal/producer-table.ts'
import { type ChannelScan, type RecoverOptions, recoverChannel } from '../../wal/recover.ts'
import { type RecoveryPoint, writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory, prepareSegment, type SegmentFilling } from '../../wal/segments.ts'
import { type DiskMeter, MeasuredDisk } from '../metrics/measured-disk.ts'
import { RecoveryProgress } from '../metrics/recovery-progress.ts'
import { isHurried, ringDoorbell } from './segment-preparer.ts'

export interface Jobs {
  recoverChannel: {
    args: Omit<RecoverOptions, 'disk' | 'onTotal'> & { progress?: SharedArrayBuffer }
    result: ChannelScan
  }
  startMastership: { args: Omit<StartOptions, 'disk'>; result: StartResult }
  /** Makes durable what a replica's scan has found, before it is reported as durable. */
  makeDurable: { args: { directory: string; scan: ChannelScan }; result: undefined }
  writeManifest: { args: { directory: string; manifest: Manifest }; result: undefined }
  /** The table of a channel where it goes on. */
  foldProducers: { args: Omit<FoldOptions, 'disk'>; result: ProducerTableState }
  /** Refused: nothing has changed. Any other error: nobody can say which history is durable. */
  adoptHistory: { args: Omit<AdoptOptions, 'disk'>; result: AdoptResult | { refused: WireError } }
  prepareSegment: {
    args: {
      directory: string
      channels: number
      channel: number
      base: number
      bytes: number
      filling: SegmentFilling
      doorbell: SharedArrayBuffer
    }
    result: undefined
  }
  writeRecoveryPoint: { args: { directory: string; point: RecoveryPoint }; result: undefined }
  freeBytes: { args: { directory: string }; result: number }
}

export type JobName = keyof Jobs
export type JobAnswer<N extends JobName> = { readonly result: Jobs[N]['result'] } | { readonly error: WireError }

/** Does one job. Errors of the world are answers; a broken invariant is thrown. */
export type RunJob = <N extends JobName>(name: N, args: Jobs[N]['args']) => JobAnswer<N>

export function jobsOn(disk: Disk): RunJob {
  const work = workOn(disk)
  return (name, args) => {
    try {
      return { result: work[name](args) }
    } catch (thrown) {
      if (thrown instanceof TravertineError) return { error: toWireError(thrown) }
      throw asError(thrown)
    }
  }
}

function readCounter(progress: RecoveryProgress, channel: number): DiskMeter {
  return { read: (bytes) => progress.read(channel, bytes) }
}

type Work = { readonly [N in JobName]: (args: Jobs[N]['args']) => Jobs[N]['result'] }

const workOn = (disk: Disk): Work => ({
  recoverChannel: ({ progress, ...args }) => {
    if (progress === undefined) return recoverChannel({ ...args, disk })
    const slots = new RecoveryProgress(progress)
    return recoverChannel({
      ...args,
      disk: new MeasuredDisk(disk, readCounter(slots, args.channel)),
      onTotal: (bytes) => slots.setTotal(args.channel, bytes),
    })
  },
  startMastership: (args) => startMastership({ ...args, disk }),
  makeDurable: ({ directory, scan }) => {
    makeDurable(disk, directory, scan)
    return undefined
  },
  writeManifest: ({ directory, manifest }) => {
    writeManifest(disk, directory, manifest)
    return undefined
  },
  foldProducers: (args) => foldProducers({ ...args, disk }),
  adoptHistory: (args) => {
    const options = { ...args, disk }
    let prepared: AdoptResult
    try {
      prepared = prepareAdoption(options)
    } catch (thrown) {
      if (thrown instanceof TravertineError) return { refused: toWireError(thrown) }
      throw thrown
    }
    completeAdoption(options, prepared)
    return prepared
  },
  prepareSegment: ({ directory, channels, channel, base, bytes, filling, doorbell }) => {
    // what holes will take must not be taken from the room that is kept below the low-water mark
    const roomBytes = (LOW_WATER_SEGMENTS + HOLE_SEGMENTS) * bytes * channels
    const mayLeaveHole = (): boolean =>
      (filling === 'hole' || isHurried(doorbell)) && disk.freeBytes(directory) >= roomBytes
    let failed = true
    try {
      prepareSegment(disk, channelDirectory(directory, channel), { base, bytes, mayLeaveHole })
      failed = false
    } finally {
      ringDoorbell(doorbell, failed) // also when it threw: a channel thread may be waiting
    }
    return undefined
  },
  writeRecoveryPoint: ({ directory, point }) => {
    writeRecoveryPoint(disk, channelDirectory(directory, point.channel), point)
    return undefined
  },
  freeBytes: ({ directory }) => disk.freeBytes(directory),
})
