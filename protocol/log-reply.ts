/**
 * What the accepting side of a log connection says back, after `log_open_ok` (REP-30 and following).
 *
 * A head of 24 bytes, little-endian; ERROR and REJECTED are followed by `length` bytes of msgpack:
 *
 *   offset size field       STORED          PROPAGATED      DURABLE             REJECTED     ERROR
 *        0    1 type        1               2               3                   4            5
 *        1    3 zero
 *        4    4 length      0               0               flush time          of the error of the error
 *        8    8 first       epoch           epoch           received position   sequence     0
 *       16    8 second      last sequence   last sequence   durable position    0            0
 *
 * STORED and PROPAGATED are cumulative over the sessions of this connection, STORED first: all sessions up to and
 * including `last sequence` that had not been named before are in `epoch`. DURABLE is a replica's answer: bytes below
 * `durable position` survived fdatasync there; `received position` is for flow control and status, never for durability,
 * and the flush time, in microseconds, for measurements only.
 * REJECTED ends one session (certainly not applied), ERROR ends the connection.
 */
import { Packr } from 'msgpackr'
import { asError, isWireError, TravertineError, type WireError } from './errors.ts'
import { readU64Number, writeU64Number } from './frame.ts'
import { LOG_REPLY_BYTES_LIMIT } from './limits.ts'

export const LOG_REPLY_HEAD_BYTES = 24
export const ReplyType = { STORED: 1, PROPAGATED: 2, DURABLE: 3, REJECTED: 4, ERROR: 5 } as const

const packr = new Packr({ useRecords: false, mapsAsObjects: true })

export function encodeReply(type: number, first: number, second: number): Buffer {
  const head = Buffer.alloc(LOG_REPLY_HEAD_BYTES)
  head[0] = type
  writeU64Number(head, 8, first)
  writeU64Number(head, 16, second)
  return head
}

/** @param flushMicros time that the write and fdatasync before this answer took */
export function encodeDurableReply(receivedPosition: number, durablePosition: number, flushMicros: number): Buffer {
  const head = encodeReply(ReplyType.DURABLE, receivedPosition, durablePosition)
  head.writeUInt32LE(Math.min(Math.round(flushMicros), 0xffff_ffff), 4)
  return head
}

export function encodeErrorReply(type: 4 | 5, sequence: number, error: WireError): Buffer {
  const body = packr.pack(error)
  const head = encodeReply(type, sequence, 0)
  head.writeUInt32LE(body.length, 4)
  return Buffer.concat([head, body])
}

/** Receives decoded replies; called in the order of arrival. */
export interface ReplyHandler {
  stored(epoch: number, lastSequence: number): void
  propagated(epoch: number, lastSequence: number): void
  durable(receivedPosition: number, durablePosition: number, flushMicros: number): void
  rejected(sequence: number, error: WireError): void
  error(error: WireError): void
}

/** Cuts the reply stream; keeps at most one incomplete reply. An error is final: every later `push` throws it again. */
export class ReplyReader {
  #rest: Buffer = Buffer.alloc(0)
  #failed: Error | undefined

  /** @throws MESSAGE_MALFORMED on a head that is none of the five, MESSAGE_TOO_LARGE on a length above the limit */
  push(chunk: Buffer, handler: ReplyHandler): void {
    if (this.#failed !== undefined) throw this.#failed
    try {
      this.#cut(chunk, handler)
    } catch (error) {
      this.#failed = asError(error)
      throw error
    }
  }

  #cut(chunk: Buffer, handler: ReplyHandler): void {
    const buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (buffer.length - at >= LOG_REPLY_HEAD_BYTES) {
      const length = buffer[at] === ReplyType.DURABLE ? 0 : buffer.readUInt32LE(at + 4)
      if (length > LOG_REPLY_BYTES_LIMIT) throw badLength(length)
      const end = at + LOG_REPLY_HEAD_BYTES + length
      if (end > buffer.length) break
      dispatch(buffer, at, end, handler)
      at = end
    }
    this.#rest = at === buffer.length ? Buffer.alloc(0) : buffer.subarray(at)
  }
}

function dispatch(buffer: Buffer, at: number, end: number, handler: ReplyHandler): void {
  const first = readU64Number(buffer, at + 8)
  const second = readU64Number(buffer, at + 16)
  const type = buffer.readUInt32LE(at) // with the three zero bytes: a head with anything else in them is none of ours
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second))
    throw badHead('a number of 2^53 or more, expected less')
  if (type < ReplyType.REJECTED && end > at + LOG_REPLY_HEAD_BYTES)
    throw badHead(`a body behind type ${type}, expected none`)
  const unused = type === ReplyType.REJECTED ? second : type === ReplyType.ERROR ? first + second : 0
  if (unused !== 0) throw badHead(`${unused} in an unused field of type ${type}, expected 0`)
  if (type === ReplyType.STORED) handler.stored(first, second)
  else if (type === ReplyType.PROPAGATED) handler.propagated(first, second)
  else if (type === ReplyType.DURABLE) handler.durable(first, second, buffer.readUInt32LE(at + 4))
  else if (type === ReplyType.REJECTED)
    handler.rejected(first, unpackError(buffer.subarray(at + LOG_REPLY_HEAD_BYTES, end)))
  else if (type === ReplyType.ERROR) handler.error(unpackError(buffer.subarray(at + LOG_REPLY_HEAD_BYTES, end)))
  else throw badHead(`type ${type}, expected 1 to 5`)
}

function unpackError(body: Buffer): WireError {
  let value: unknown
  try {
    value = packr.unpack(body)
  } catch (error) {
    throw new TravertineError('MESSAGE_MALFORMED', 'Cannot read an error reply: its bytes are not one msgpack value', {
      cause: error,
    })
  }
  if (isWireError(value)) return value
  throw new TravertineError('MESSAGE_MALFORMED', 'Cannot read an error reply: expected code, message, hint and where')
}

function badHead(found: string): TravertineError {
  return new TravertineError('MESSAGE_MALFORMED', `Cannot read a log reply: found ${found}`)
}

function badLength(length: number): TravertineError {
  return new TravertineError(
    'MESSAGE_TOO_LARGE',
    `Cannot read a log reply: found a length of ${length}, expected at most ${LOG_REPLY_BYTES_LIMIT}`,
  )
}
