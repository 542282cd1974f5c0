/**
 * What `inspect` tells of a data directory: manifest, terms, and per channel where its log stands. Only reads; works while
 * a node runs there. Looks at the last segment or two, as recovery does, unless frames are asked for.
 *
 * A damaged channel is told as such, and does not hide the others. Without all channels nobody can say which epochs are
 * whole: `whole` is undefined then.
 */
import { TravertineError } from '../protocol/errors.ts'
import { FrameKind } from '../protocol/frame.ts'
import { type Disk, joinPath } from '../wal/disk.ts'
import type { Manifest } from '../wal/manifest.ts'
import { cutOf, wholeOfScans } from '../wal/mastership.ts'
import type { ChannelScan, PlacedSeal } from '../wal/recover.ts'
import { type RecoveryPoint, readRecoveryPoint } from '../wal/recovery-point.ts'
import { channelDirectory, listSegments, segmentName } from '../wal/segments.ts'
import type { WholeResult } from '../wal/whole-epoch.ts'
import { ChannelWalk, gapError } from './channel-walk.ts'
import { type DivergentFile, listDivergent } from './divergent-files.ts'
import { type InspectedProducers, inspectProducers } from './inspect-producers.ts'
import { type FoundChannel, scanDirectory } from './read-log.ts'

export interface SegmentFacts {
  readonly file: string
  /** Position of its first byte. */
  readonly from: number
  readonly bytes: number
}

/** Frames behind the last whole epoch: kept or cut by the next start, answered to nobody yet. */
export interface Beyond {
  readonly bytes: number
  readonly frames: number
  readonly sessions: number
  readonly entries: number
  readonly seals: number
}

export interface InspectedChannel {
  readonly channel: number
  readonly segments: readonly SegmentFacts[]
  readonly firstPosition: number
  readonly end: number | undefined
  readonly tail: ChannelScan['tail'] | undefined
  /** Where the scan began: seals before it are not counted. */
  readonly scannedFrom: number | undefined
  readonly sealCount: number | undefined
  readonly lastSeal: PlacedSeal | undefined
  /** End of the last whole epoch on this channel. */
  readonly wholeEnd: number | undefined
  readonly beyond: Beyond | undefined
  readonly recoveryPoint: RecoveryPoint | undefined
  /** As of the end of the last whole epoch; of the log where that is unknown. */
  readonly producers: InspectedProducers | undefined
  /** Why the channel cannot be read, or not to its end. */
  readonly error: TravertineError | undefined
}

export interface InspectReport {
  readonly directory: string
  readonly manifest: Manifest
  readonly whole: bigint | undefined
  readonly missing: WholeResult['missing']
  readonly channels: readonly InspectedChannel[]
  readonly divergent: readonly DivergentFile[]
}

/** @throws DIRECTORY_MISSING, DIRECTORY_NOT_INITIALISED, MANIFEST_CORRUPT, FORMAT_UNSUPPORTED, DISK_FAILED */
export function inspectDirectory(disk: Disk, directory: string): InspectReport {
  const { manifest, channels } = scanDirectory({ disk, directory })
  const scans = channels.flatMap(({ scan }) => scan ?? [])
  const known = scans.length === channels.length ? wholeOfScans(manifest, scans) : undefined
  return {
    directory,
    manifest,
    whole: known?.lastWhole,
    missing: known?.missing,
    channels: channels.map((found) => inspectChannel({ disk, directory, manifest }, found, known?.lastWhole)),
    divergent: listDivergent(disk, directory),
  }
}

interface Place {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
}

function inspectChannel(place: Place, found: FoundChannel, whole: bigint | undefined): InspectedChannel {
  const { channel, scan } = found
  const segments = segmentsOf(place, channel)
  const wholeEnd = scan === undefined || whole === undefined ? undefined : cutOf(scan, whole)
  const beyond = scan === undefined ? undefined : lookBeyond(place, channel, wholeEnd ?? scan.end)
  return {
    channel,
    segments,
    firstPosition: segments[0]?.from ?? 0,
    end: scan?.end,
    tail: scan?.tail,
    scannedFrom: scan?.from,
    sealCount: scan?.seals.length,
    lastSeal: scan?.seals.at(-1),
    wholeEnd,
    beyond: wholeEnd === undefined ? undefined : beyond?.beyond,
    recoveryPoint: pointOf(place, channel),
    producers: scan === undefined ? undefined : inspectProducers(place, channel, wholeEnd ?? scan.end),
    error: found.error ?? beyond?.error,
  }
}

function segmentsOf({ disk, directory }: Place, channel: number): SegmentFacts[] {
  const folder = channelDirectory(directory, channel)
  if (!disk.exists(folder)) return []
  return listSegments(disk, folder).map((from) => {
    const file = joinPath(folder, segmentName(from))
    const handle = disk.open(file, 'read')
    const bytes = handle.bytes()
    handle.close()
    return { file, from, bytes }
  })
}

function pointOf({ disk, directory, manifest }: Place, channel: number): RecoveryPoint | undefined {
  const folder = channelDirectory(directory, channel)
  return disk.exists(folder) ? readRecoveryPoint(disk, folder, channel, manifest.history) : undefined
}

/** Walks from the last whole epoch to the end, and looks whether valid frames stand behind it. */
function lookBeyond(
  place: Place,
  channel: number,
  from: number,
): { readonly beyond: Beyond; readonly error?: TravertineError } {
  const counts = { bytes: 0, frames: 0, sessions: 0, entries: 0, seals: 0 }
  const walk = new ChannelWalk({ ...place, channel, from })
  const limit = walk.capacityEnd() // a running node may write faster than we read
  try {
    for (let step = walk.next(); step !== undefined && walk.position <= limit; step = walk.next()) {
      if (step.gap !== undefined) return { beyond: counts, error: gapError(step.gap, false) }
      const { header, position, end } = step.frame
      counts.bytes += end - position
      counts.frames++
      counts.entries += header.entryCount
      if (header.kind === FrameKind.ENTRIES) counts.sessions++
      if (header.kind === FrameKind.SEAL) counts.seals++
    }
    return { beyond: counts }
  } catch (error) {
    if (error instanceof TravertineError) return { beyond: counts, error }
    throw error
  } finally {
    walk.close()
  }
}
