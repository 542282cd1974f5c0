/**
 * Bodies of SEAL and MARK frames (WAL-30 and following). Little-endian.
 *
 *   SEAL, 40 bytes                                       MARK, 16 bytes
 *   0  8 prev             epoch that existed before       0  8 durablePosition
 *   8  8 participants     bit c: channel c takes part     8  8 stored
 *  16  8 stored           STORED as known when stamped
 *  24  8 durablePosition  of this channel when stamped
 *  32  8 wallClockMs      since 1970, for people only
 *
 * The epoch that a SEAL ends, its term and its position are in the frame header. `stored` and `durablePosition` prove
 * to a later scan what had been durable: bytes missing below them are damage, not a torn tail (WAL-42).
 */
import { assert } from './assert.ts'
import { type ErrorPlace, TravertineError } from './errors.ts'
import { readU64Number, writeU64, writeU64Number } from './frame.ts'

export const SEAL_BODY_BYTES = 40
export const MARK_BODY_BYTES = 16

export interface Seal {
  readonly prev: bigint
  /** Bit c is set if channel c takes part in the epoch. */
  readonly participants: bigint
  readonly stored: bigint
  readonly durablePosition: number
  readonly wallClockMs: number
}

export interface Mark {
  readonly durablePosition: number
  readonly stored: bigint
}

export function encodeSeal(seal: Seal): Buffer {
  assert(seal.participants !== 0n, 'a seal names at least its own channel')
  const body = Buffer.allocUnsafe(SEAL_BODY_BYTES)
  writeU64(body, 0, seal.prev)
  writeU64(body, 8, seal.participants)
  writeU64(body, 16, seal.stored)
  writeU64Number(body, 24, seal.durablePosition)
  writeU64Number(body, 32, seal.wallClockMs)
  return body
}

/** @throws ENTRY_MALFORMED on a wrong length or value: the CRC was right, so a broken program wrote it. */
export function decodeSeal(body: Buffer, where: ErrorPlace): Seal {
  expectLength('SEAL', body, SEAL_BODY_BYTES, where)
  const participants = body.readBigUInt64LE(8)
  if (participants === 0n) throw malformed('SEAL', 'no participants, expected at least its own channel', where)
  return {
    prev: body.readBigUInt64LE(0),
    participants,
    stored: body.readBigUInt64LE(16),
    durablePosition: safeInteger('SEAL', body, 24, where),
    wallClockMs: safeInteger('SEAL', body, 32, where),
  }
}

export function encodeMark(mark: Mark): Buffer {
  const body = Buffer.allocUnsafe(MARK_BODY_BYTES)
  writeU64Number(body, 0, mark.durablePosition)
  writeU64(body, 8, mark.stored)
  return body
}

export function decodeMark(body: Buffer, where: ErrorPlace): Mark {
  expectLength('MARK', body, MARK_BODY_BYTES, where)
  return { durablePosition: safeInteger('MARK', body, 0, where), stored: body.readBigUInt64LE(8) }
}

function expectLength(kind: string, body: Buffer, expected: number, where: ErrorPlace): void {
  if (body.length !== expected) throw malformed(kind, `${body.length} bytes, expected ${expected}`, where)
}

/** A number that callers may hand to `byteOffset`, which asserts: so it is checked here, where an error has a place. */
function safeInteger(kind: string, body: Buffer, at: number, where: ErrorPlace): number {
  const value = readU64Number(body, at)
  if (Number.isSafeInteger(value)) return value
  throw malformed(kind, `${body.readBigUInt64LE(at)} at byte ${at}, expected less than 2^53`, where)
}

function malformed(kind: string, found: string, where: ErrorPlace): TravertineError {
  return new TravertineError('ENTRY_MALFORMED', `Cannot read a ${kind} body: found ${found}`, { where })
}
