/**
 * The frame: the unit of the log, the same bytes in the client's socket, in every file and on the way to every replica.
 *
 * A frame is a header of 72 bytes and a body. All integers are little-endian (WAL-1).
 *
 *   offset size field            made by
 *        0    4 headerCrc        whoever wrote the header last: CRC-32 of bytes 4..72, seeded (WAL-3)
 *        4    1 version          client or channel thread; 1
 *        5    1 kind             client or channel thread
 *        6    2 flags            client or channel thread
 *        8    4 bodyLength       client or channel thread
 *       12    4 bodyCrc          client or channel thread: CRC-32 of the body, not seeded
 *       16    4 entryCount       client or channel thread
 *       20    4 termTag          stamped
 *       24    8 position         stamped: offset of this frame in its channel
 *       32    8 epoch            stamped
 *       40    8 term             stamped: term number
 *       48    8 firstMinor       stamped: minor version of entry 0 where versions are derived
 *       56    8 producerId       client
 *       64    8 producerSequence client
 *
 * A frame on its way from a client has zeros in the stamped fields. Stamping changes the header only: a body is encoded
 * once in its life. The header CRC is seeded with cluster id and channel, and covers position and term, so a frame of
 * another cluster, channel, place or mastership is never valid (WAL-4).
 *
 * The first 8 bytes mean the same in every version to come, and so does the CRC over the first 72: a newer version is
 * told apart from damage (WAL-5).
 */
import { assert } from './assert.ts'
import { crc32Of } from './crc32.ts'
import { type ErrorPlace, TravertineError } from './errors.ts'
import type { ChannelId, ClusterId } from './ids.ts'
import { SESSION_BYTES_LIMIT } from './limits.ts'
import { readU32, writeU32 } from './unsigned.ts'

export const FRAME_HEADER_BYTES = 72
export const FRAME_VERSION = 1

export const FrameKind = {
  ENTRIES: 1,
  SEAL: 2,
  CONFIG: 3,
  CHECKPOINT: 4,
  PREPARE: 5,
  DECIDE: 6,
  MARK: 7,
} as const

/** Kinds that this program reads and writes. The others are reserved: meeting one is FRAME_KIND_UNKNOWN. */
export const FRAME_KINDS_READ: ReadonlySet<number> = new Set([
  FrameKind.ENTRIES,
  FrameKind.SEAL,
  FrameKind.CONFIG,
  FrameKind.MARK,
])

/** Entries carry their own write versions; without it they are zero in the body and derived from the header. */
export const FLAG_EXPLICIT_VERSIONS = 1
const FLAGS_KNOWN = FLAG_EXPLICIT_VERSIONS

export const HeaderOffset = {
  headerCrc: 0,
  version: 4,
  kind: 5,
  flags: 6,
  bodyLength: 8,
  bodyCrc: 12,
  entryCount: 16,
  termTag: 20,
  position: 24,
  epoch: 32,
  term: 40,
  firstMinor: 48,
  producerId: 56,
  producerSequence: 64,
} as const

const TWO_32 = 0x1_0000_0000

/** Header of one frame, decoded. For tools, recovery and tests; the hot path reads single fields instead. */
export interface FrameHeader {
  readonly kind: number
  readonly flags: number
  readonly bodyLength: number
  readonly bodyCrc: number
  readonly entryCount: number
  readonly termTag: number
  readonly position: number
  readonly epoch: bigint
  readonly term: bigint
  readonly firstMinor: bigint
  readonly producerId: bigint
  readonly producerSequence: number
}

/** Seed of the header CRC of one channel: CRC-32 of the 16 cluster id bytes and the channel as u32. */
export function headerSeed(cluster: ClusterId, channel: ChannelId): number {
  const bytes = Buffer.alloc(20)
  bytes.write(cluster.replaceAll('-', ''), 0, 'hex')
  bytes.writeUInt32LE(channel, 16)
  return crc32Of(bytes, 0, bytes.length)
}

export function readU64Number(buffer: Buffer, offset: number): number {
  return readU32(buffer, offset) + readU32(buffer, offset + 4) * TWO_32
}

/** Writes a safe integer as u64 without making a bigint: this runs once per session on the hot path. */
export function writeU64Number(buffer: Buffer, offset: number, value: number): void {
  writeU32(buffer, offset, value >>> 0)
  writeU32(buffer, offset + 4, (value / TWO_32) >>> 0)
}

/** Halves of one u64: a view of one's own turns a bigint into bytes twice as fast as the methods of Buffer. */
const halves = new DataView(new ArrayBuffer(8))

export function writeU64(buffer: Buffer, offset: number, value: bigint): void {
  halves.setBigUint64(0, value)
  buffer.writeUInt32LE(halves.getUint32(4), offset)
  buffer.writeUInt32LE(halves.getUint32(0), offset + 4)
}

export function headerCrcOf(frame: Buffer, at: number, seed: number): number {
  return crc32Of(frame, at + 4, at + FRAME_HEADER_BYTES, seed)
}

/** What a header says apart from its body. */
export type HeaderFields = Omit<FrameHeader, 'bodyLength' | 'bodyCrc'>

/** Writes `header` at `at`; the body is expected to be in place or to follow. */
export function encodeHeader(target: Buffer, at: number, header: FrameHeader, seed: number): void {
  writeHeader(target, at, header, { length: header.bodyLength, crc: header.bodyCrc }, seed)
}

/** A whole frame in a buffer of its own: seals, marks and tests. */
export function encodeFrame(header: HeaderFields, body: Buffer, seed: number): Buffer {
  assert(body.length <= SESSION_BYTES_LIMIT, 'a body within the limit', { bytes: body.length })
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.length)
  body.copy(frame, FRAME_HEADER_BYTES)
  // not `{ ...header, bodyLength }`: that copy alone takes longer than all the rest, once per flush
  writeHeader(frame, 0, header, { length: body.length, crc: crc32Of(body, 0, body.length) }, seed)
  return frame
}

function writeHeader(
  target: Buffer,
  at: number,
  header: HeaderFields,
  body: { readonly length: number; readonly crc: number },
  seed: number,
): void {
  target[at + HeaderOffset.version] = FRAME_VERSION
  target[at + HeaderOffset.kind] = header.kind
  target.writeUInt16LE(header.flags, at + HeaderOffset.flags)
  target.writeUInt32LE(body.length, at + HeaderOffset.bodyLength)
  target.writeUInt32LE(body.crc, at + HeaderOffset.bodyCrc)
  target.writeUInt32LE(header.entryCount, at + HeaderOffset.entryCount)
  target.writeUInt32LE(header.termTag, at + HeaderOffset.termTag)
  writeU64Number(target, at + HeaderOffset.position, header.position)
  writeU64(target, at + HeaderOffset.epoch, header.epoch)
  writeU64(target, at + HeaderOffset.term, header.term)
  writeU64(target, at + HeaderOffset.firstMinor, header.firstMinor)
  writeU64(target, at + HeaderOffset.producerId, header.producerId)
  writeU64Number(target, at + HeaderOffset.producerSequence, header.producerSequence)
  target.writeUInt32LE(headerCrcOf(target, at, seed), at + HeaderOffset.headerCrc)
}

/** Decodes a header whose CRC was already checked by `checkHeader`. */
export function decodeHeader(buffer: Buffer, at: number): FrameHeader {
  return {
    kind: buffer.readUInt8(at + HeaderOffset.kind),
    flags: buffer.readUInt16LE(at + HeaderOffset.flags),
    bodyLength: buffer.readUInt32LE(at + HeaderOffset.bodyLength),
    bodyCrc: buffer.readUInt32LE(at + HeaderOffset.bodyCrc),
    entryCount: buffer.readUInt32LE(at + HeaderOffset.entryCount),
    termTag: buffer.readUInt32LE(at + HeaderOffset.termTag),
    position: readU64Number(buffer, at + HeaderOffset.position),
    epoch: buffer.readBigUInt64LE(at + HeaderOffset.epoch),
    term: buffer.readBigUInt64LE(at + HeaderOffset.term),
    firstMinor: buffer.readBigUInt64LE(at + HeaderOffset.firstMinor),
    producerId: buffer.readBigUInt64LE(at + HeaderOffset.producerId),
    producerSequence: readU64Number(buffer, at + HeaderOffset.producerSequence),
  }
}

/** Why a header is not acceptable, in the order of the tests: CRC first, nothing else can be believed without it. */
export type HeaderFault = 'crc' | 'version' | 'kind' | 'flags' | 'length' | 'empty'

/** Checks the 72 bytes at `at` (all present). Returns undefined when the header is good. Allocates nothing. */
export function checkHeader(buffer: Buffer, at: number, seed: number): HeaderFault | undefined {
  if (readU32(buffer, at) !== headerCrcOf(buffer, at, seed)) return 'crc'
  if (buffer[at + HeaderOffset.version] !== FRAME_VERSION) return 'version'
  if (!FRAME_KINDS_READ.has(buffer[at + HeaderOffset.kind] as number)) return 'kind' // in range: 72 bytes are present
  if ((buffer.readUInt16LE(at + HeaderOffset.flags) & ~FLAGS_KNOWN) !== 0) return 'flags'
  const bodyLength = readU32(buffer, at + HeaderOffset.bodyLength)
  if (bodyLength > SESSION_BYTES_LIMIT) return 'length'
  return bodyLength === 0 ? 'empty' : undefined
}

/** The typed error for a fault found by `checkHeader`, for bytes that came from a peer or a file. */
export function headerError(fault: HeaderFault, buffer: Buffer, at: number, where: ErrorPlace): TravertineError {
  switch (fault) {
    case 'crc':
      return new TravertineError('FRAME_CORRUPT', 'Cannot accept a frame: its header CRC does not match', {
        where,
        hint: 'the sender speaks another protocol or cluster, or the bytes were damaged on the way',
      })
    case 'version':
      return new TravertineError(
        'FRAME_VERSION_UNSUPPORTED',
        `Cannot read a frame: found version ${buffer[at + HeaderOffset.version]}, expected ${FRAME_VERSION}`,
        { where, hint: 'a newer program wrote it; use that version or a later one' },
      )
    case 'kind':
      return new TravertineError(
        'FRAME_KIND_UNKNOWN',
        `Cannot read a frame: found kind ${buffer[at + HeaderOffset.kind]}, expected one of ${[...FRAME_KINDS_READ].join(', ')}`,
        { where },
      )
    case 'flags':
      return new TravertineError(
        'FRAME_VERSION_UNSUPPORTED',
        `Cannot read a frame: found flags 0x${buffer.readUInt16LE(at + HeaderOffset.flags).toString(16)}, expected only 0x${FLAGS_KNOWN.toString(16)}`,
        { where, hint: 'a newer program wrote it' },
      )
    case 'length':
      return new TravertineError(
        'FRAME_TOO_LARGE',
        `Cannot accept a frame: found a body of ${buffer.readUInt32LE(at + HeaderOffset.bodyLength)} bytes, expected at most ${SESSION_BYTES_LIMIT}`,
        { where, hint: 'split the session; large values belong into BLOBs' },
      )
    case 'empty':
      return new TravertineError(
        'FRAME_EMPTY',
        'Cannot accept a frame: found a body of 0 bytes, expected at least one entry',
        {
          where,
          hint: 'do not send a session without entries',
        },
      )
  }
}

export function bodyCrcMatches(frame: Buffer, at: number, bodyLength: number): boolean {
  const from = at + FRAME_HEADER_BYTES
  return crc32Of(frame, from, from + bodyLength) === readU32(frame, at + HeaderOffset.bodyCrc)
}
