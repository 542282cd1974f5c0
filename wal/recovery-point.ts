/**
 * Recovery points: where a scan of a channel may begin, so that recovery reads the last segment or two (DESIGN 3).
 *
 * `channels/KK/recovery.point`, a small record (small-record.ts), replaced at each segment change. It names the end of a
 * seal whose epoch was known STORED, so nothing below it can ever be cut by this log's own mastership. It is a hint:
 * a missing, damaged or outdated one costs a longer scan and nothing else, so `readRecoveryPoint` never throws on it.
 */
import { TravertineError } from '../protocol/errors.ts'
import type { Disk } from './disk.ts'
import { joinPath, readWholeFile, replaceFile } from './disk.ts'
import { decodeSmallRecord, encodeSmallRecord } from './small-record.ts'
import { type TermHistory, termMayStandAt } from './term-history.ts'

export const RECOVERY_POINT_NAME = 'recovery.point'
export const RECOVERY_POINT_VERSION = 1

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
}

export function writeRecoveryPoint(disk: Disk, channelDirectory: string, point: RecoveryPoint): void {
  replaceFile(
    disk,
    channelDirectory,
    RECOVERY_POINT_NAME,
    encodeSmallRecord('recovery-point', RECOVERY_POINT_VERSION, point),
  )
}

/** The recovery point of a channel, or undefined if there is none that fits `history`. */
export function readRecoveryPoint(
  disk: Disk,
  channelDirectory: string,
  channel: number,
  history: TermHistory,
): RecoveryPoint | undefined {
  const file = joinPath(channelDirectory, RECOVERY_POINT_NAME)
  if (!disk.exists(file)) return undefined
  let value: Readonly<Record<string, unknown>>
  try {
    value = decodeSmallRecord(readWholeFile(disk, file), {
      kind: 'recovery-point',
      version: RECOVERY_POINT_VERSION,
      file,
      corrupt: 'LOG_DAMAGED',
      hint: '',
    })
  } catch (error) {
    if (error instanceof TravertineError && error.code !== 'DISK_FAILED') return undefined // a hint: scan from the start
    throw error
  }
  const point = pointOf(value)
  if (point === undefined || point.channel !== channel) return undefined
  return termMayStandAt(history, { ...point, position: point.sealPosition }) ? point : undefined
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

/** A CRC proves that nothing was damaged, not that a sound program wrote it: a field that is wrong makes it no hint. */
function pointOf(value: Readonly<Record<string, unknown>>): RecoveryPoint | undefined {
  const numbers = ['channel', 'position', 'termTag', 'sealPosition'].every((name) => isCount(value[name]))
  const epochs = ['epoch', 'stored', 'term'].every((name) => /^\d{1,20}$/.test(String(value[name])))
  if (!numbers || !epochs) return undefined
  return {
    channel: Number(value['channel']),
    position: Number(value['position']),
    epoch: BigInt(String(value['epoch'])),
    stored: BigInt(String(value['stored'])),
    term: BigInt(String(value['term'])),
    termTag: Number(value['termTag']),
    sealPosition: Number(value['sealPosition']),
  }
}

const isCount = (v: unknown): boolean => typeof v === 'number' && Number.isSafeInteger(v) && v >= 0
