/**
 * Recovery points: where a scan of a channel may begin, so that recovery reads the last segment or two (DESIGN 3).
 *
 * `channels/KK/recovery.point`, a small record (small-record.ts), replaced at each segment change. It names the end of a
 * seal whose epoch was known STORED, so nothing below it can ever be cut by this log's own mastership. It is a hint:
 * a missing, damaged or outdated one costs a longer scan and nothing else, so `readRecoveryPoint` never throws on it.
 */
import type { ClusterConfig } from '../protocol/cluster-config.ts'
import { TravertineError } from '../protocol/errors.ts'
import { type Disk, joinPath, readWholeFile, replaceFile } from './disk.ts'
import { readConfig } from './manifest.ts'
import { type ProducerTableState, readTableState } from './producer-table.ts'
import { RecordFields } from './record-fields.ts'
import { decodeSmallRecord, encodeSmallRecord, type SmallRecordKind } from './small-record.ts'
import { isForgotten, type TermHistory, termMayStandAt, wholeThrough } from './term-history.ts'

export const RECOVERY_POINT_NAME = 'recovery.point'
const RECOVERY_POINT_VERSION = 1

/** A CONFIG in a log. */
export interface ConfigPlace {
  readonly position: number
  readonly config: ClusterConfig
}

export interface RecoveryPoint {
  readonly channel: number
  /** End of the seal of `epoch`; everything below is durable, and whole up to `stored`. */
  readonly position: number
  /** Last epoch sealed on this channel below `position`; 0 if none. */
  readonly epoch: bigint
  /** STORED as proven by the log below `position`; at least `epoch`. */
  readonly stored: bigint
  /** Term of that seal: a point of a history that was cut since is not used. */
  readonly term: bigint
  readonly termTag: number
  readonly sealPosition: number
  /** The newest CONFIG below `position`; undefined where there is none. Only channel 0 has any. */
  readonly config?: ConfigPlace | undefined
  /** The producer table as of `position` (WAL-69). */
  readonly producers: ProducerTableState
}

export function writeRecoveryPoint(disk: Disk, channelDirectory: string, point: RecoveryPoint): void {
  replaceFile(
    disk,
    channelDirectory,
    RECOVERY_POINT_NAME,
    encodeSmallRecord('recovery-point', RECOVERY_POINT_VERSION, point),
  )
}

/**
 * The recovery point of a channel, or undefined if there is none that fits `history`. Where a later mastership has given up
 * epochs that were whole when it was written, its `stored` is what that one began with. A point of a term that the history has
 * forgotten does not fit: whoever cut the log below it may be forgotten, too.
 */
export function readRecoveryPoint(
  disk: Disk,
  channelDirectory: string,
  channel: number,
  history: TermHistory,
): RecoveryPoint | undefined {
  const file = joinPath(channelDirectory, RECOVERY_POINT_NAME)
  if (!disk.exists(file)) return undefined
  let point: RecoveryPoint
  try {
    point = decodeRecoveryPoint(readWholeFile(disk, file), file)
  } catch (error) {
    if (error instanceof TravertineError && error.code !== 'DISK_FAILED') return undefined // a hint: scan from the start
    throw error
  }
  if (point.channel !== channel) return undefined
  if (isForgotten(history, point.term)) return undefined
  if (!termMayStandAt(history, { ...point, position: point.sealPosition })) return undefined
  return { ...point, stored: wholeThrough(history, point.term, point.stored) }
}

/**
 * Where somebody may begin who reads a channel from `epoch` on: begin of a frame before which nothing of that epoch or a
 * later one stands. A recovery point is such a place for all epochs beyond its own; 0 where there is none.
 */
export function readingStart(
  place: { readonly disk: Disk; readonly channelDirectory: string; readonly channel: number },
  history: TermHistory,
  epoch: bigint,
): number {
  const point = readRecoveryPoint(place.disk, place.channelDirectory, place.channel, history)
  return point !== undefined && point.epoch < epoch ? point.position : 0
}

/** @throws LOG_DAMAGED, FORMAT_UNSUPPORTED */
export function decodeRecoveryPoint(bytes: Buffer, file: string): RecoveryPoint {
  const kind: SmallRecordKind = {
    kind: 'recovery-point',
    version: RECOVERY_POINT_VERSION,
    file,
    corrupt: 'LOG_DAMAGED',
    hint: 'recovery does without it and scans longer; the next segment change replaces it',
  }
  const fields = new RecordFields(decodeSmallRecord(bytes, kind), kind)
  const count = (name: string): number => fields.count(name, 0, Number.MAX_SAFE_INTEGER)
  return {
    channel: count('channel'),
    position: count('position'),
    epoch: fields.u64('epoch'),
    stored: fields.u64('stored'),
    term: fields.u64('term'),
    termTag: count('termTag'),
    sealPosition: count('sealPosition'),
    config: fields.has('config') ? readConfigPlace(fields.child('config')) : undefined,
    producers: readTableState(fields.value('producers')) ?? fields.wrong('producers', 'a producer table'),
  }
}

function readConfigPlace(fields: RecordFields): ConfigPlace {
  const position = fields.count('position', 0, Number.MAX_SAFE_INTEGER)
  return { position, config: readConfig(fields.child('config')) }
}
