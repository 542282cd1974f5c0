/**
 * One codec per type of golden vector, over the shipped encoders and decoders. Objects are in their decoded form; the
 * decoders check what a receiver checks, and throw typed errors for bytes that are none.
 */
import { type ConfigRecord, decodeConfig, encodeConfig } from '../../protocol/cluster-config.ts'
import { decodeMessage, encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { decodeEntries, type Entry, entryBytes, type LoggedEntry, walkBody } from '../../protocol/entry.ts'
import { encodeEntry } from '../../protocol/entry-encoder.ts'
import type { WireError } from '../../protocol/errors.ts'
import {
  decodeHeader,
  encodeFrame,
  FLAG_EXPLICIT_VERSIONS,
  FRAME_HEADER_BYTES,
  FrameKind,
  headerSeed,
} from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId, clusterId } from '../../protocol/ids.ts'
import {
  encodeDurableReply,
  encodeErrorReply,
  encodeReply,
  type ReplyHandler,
  ReplyReader,
  ReplyType,
} from '../../protocol/log-reply.ts'
import { decodeMark, decodeSeal, encodeMark, encodeSeal, type Mark, type Seal } from '../../protocol/seal.ts'

export type Given = Readonly<Record<string, unknown>>

export interface Codec {
  encode(object: unknown, given: Given): Buffer
  /** Whole and valid bytes only; anything else throws, or returns undefined where a stream would wait for more. */
  decode(bytes: Buffer, given: Given): unknown
}

/** Versions that a frame without explicit ones would give to the entries of a bare body. */
const DERIVE = { major: 1_000n, minor: 50n }

export const seedOf = (given: Given): number =>
  headerSeed(clusterId(String(given['cluster'])), channelId(Number(given['channel'])))

export function encodeBody(entries: readonly Entry[]): Buffer {
  const body = Buffer.alloc(
    entries.reduce((sum, entry) => sum + entryBytes(entry), 0),
    0xee,
  )
  let at = 0
  for (const entry of entries) at = encodeEntry(body, at, entry)
  if (at !== body.length) throw new Error(`encodeEntry wrote ${at} bytes, entryBytes said ${body.length}`)
  return body
}

/** Entries as their writer made them: derived versions are checked and left out. */
function decodeBody(body: Buffer, explicit: boolean, derive = DERIVE): Entry[] {
  const { entryCount } = walkBody(body, 0, body.length, explicit, {})
  const entries = [...decodeEntries(body, explicit ? undefined : derive)]
  if (entries.length !== entryCount) throw new Error(`found ${entries.length} entries, walkBody ${entryCount}`)
  return explicit
    ? entries
    : entries.map((entry, index) => withoutDerived(entry, derive.major, derive.minor + BigInt(index)))
}

function withoutDerived(entry: LoggedEntry, major: bigint, minor: bigint): Entry {
  const { version, ...rest } = entry
  if (version.major !== major || version.minor !== minor)
    throw new Error(`found version ${version.major}/${version.minor}`)
  return rest
}

interface FrameObject {
  readonly header: ReturnType<typeof decodeHeader>
  readonly entries?: readonly Entry[]
  readonly seal?: Seal
  readonly mark?: Mark
  readonly record?: ConfigRecord
}

function encodeAnyBody({ entries, seal, mark, record }: Omit<FrameObject, 'header'>): Buffer {
  if (seal !== undefined) return encodeSeal(seal)
  if (mark !== undefined) return encodeMark(mark)
  return record !== undefined ? encodeConfig(record) : encodeBody(entries ?? [])
}

// The casts below turn a golden object into the type that its vector's type names; a wrong one fails the comparison.
const frame: Codec = {
  encode(object, given) {
    const { header, ...body } = object as FrameObject
    return encodeFrame(header, encodeAnyBody(body), seedOf(given))
  },
  decode(bytes, given) {
    const frames: FrameObject[] = []
    new FrameReader(seedOf(given), {}).push(bytes, (buffer, at, length) => {
      const header = decodeHeader(buffer, at)
      const body = buffer.subarray(at + FRAME_HEADER_BYTES, at + length)
      const explicit = (header.flags & FLAG_EXPLICIT_VERSIONS) !== 0
      const derive = { major: header.epoch, minor: header.firstMinor }
      if (header.kind === FrameKind.SEAL) frames.push({ header, seal: decodeSeal(body, {}) })
      else if (header.kind === FrameKind.MARK) frames.push({ header, mark: decodeMark(body, {}) })
      else if (header.kind === FrameKind.CONFIG) frames.push({ header, record: decodeConfig(body, {}) })
      else frames.push({ header, entries: decodeBody(body, explicit, derive) })
    })
    return frames[0]
  },
}

const entry: Codec = {
  encode: (object) => encodeBody([object as Entry]),
  decode: (bytes, given) => decodeBody(bytes, given['explicit'] === true)[0],
}

const body: Codec = {
  encode: (object) => encodeBody(object as Entry[]),
  decode: (bytes, given) => decodeBody(bytes, given['explicit'] === true),
}

const seal: Codec = { encode: (object) => encodeSeal(object as Seal), decode: (bytes) => decodeSeal(bytes, {}) }
const config: Codec = { encode: (object) => encodeConfig(object as ConfigRecord), decode: (b) => decodeConfig(b, {}) }
const mark: Codec = { encode: (object) => encodeMark(object as Mark), decode: (bytes) => decodeMark(bytes, {}) }

const message: Codec = {
  encode: (object) => encodeMessage(object as Message),
  decode: (bytes) => {
    const viaReader = new MessageReader().push(bytes)[0]
    if (viaReader !== undefined) decodeMessage(bytes.subarray(4))
    return viaReader
  },
}

type ReplyObject =
  | { readonly reply: 'stored' | 'propagated'; readonly epoch: number; readonly lastSequence: number }
  | {
      readonly reply: 'durable'
      readonly receivedPosition: number
      readonly durablePosition: number
      readonly flushMicros: number
    }
  | { readonly reply: 'rejected'; readonly sequence: number; readonly error: WireError }
  | { readonly reply: 'error'; readonly error: WireError }

/** A handler that keeps what it is told, as golden objects. */
export function replyCollector(): { readonly replies: ReplyObject[]; readonly handler: ReplyHandler } {
  const replies: ReplyObject[] = []
  const handler: ReplyHandler = {
    stored: (epoch, lastSequence) => replies.push({ reply: 'stored', epoch, lastSequence }),
    propagated: (epoch, lastSequence) => replies.push({ reply: 'propagated', epoch, lastSequence }),
    durable: (receivedPosition, durablePosition, flushMicros) =>
      replies.push({ reply: 'durable', receivedPosition, durablePosition, flushMicros }),
    rejected: (sequence, error) => replies.push({ reply: 'rejected', sequence, error }),
    error: (error) => replies.push({ reply: 'error', error }),
  }
  return { replies, handler }
}

const reply: Codec = {
  encode(object) {
    const r = object as ReplyObject
    switch (r.reply) {
      case 'stored':
        return encodeReply(ReplyType.STORED, r.epoch, r.lastSequence)
      case 'propagated':
        return encodeReply(ReplyType.PROPAGATED, r.epoch, r.lastSequence)
      case 'durable':
        return encodeDurableReply(r.receivedPosition, r.durablePosition, r.flushMicros)
      case 'rejected':
        return encodeErrorReply(ReplyType.REJECTED, r.sequence, r.error)
      case 'error':
        return encodeErrorReply(ReplyType.ERROR, 0, r.error)
    }
  },
  decode(bytes) {
    const { replies, handler } = replyCollector()
    new ReplyReader().push(bytes, handler)
    return replies[0]
  },
}

export const CODECS: Readonly<Record<string, Codec>> = {
  frame,
  entry,
  body,
  seal,
  mark,
  config,
  message,
  'foreign-message': message,
  reply,
}
