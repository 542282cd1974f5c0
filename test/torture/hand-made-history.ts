/**
 * Histories and logs written down by hand, for the checker's own tests: a script says which sessions stand on which
 * channel in which epoch, and who was told what.
 */
import { encodeBody } from '../protocol/codecs.ts'
import { type NaiveFrame, type NaiveLog, type NaiveTerm, wholeEpochs } from '../sim/naive-reader.ts'
import type { NodeLog } from './checker.ts'
import type { SessionContent, SessionRecord } from './client-history.ts'
import { entriesOf, STORAGE } from './session-content.ts'

const HEADER_BYTES = 72

/** One line of a log: `session` in an epoch, or the seal of an epoch that names these channels. */
export type Line =
  | { readonly channel: number; readonly epoch: number; readonly session: SessionContent; readonly cutEntries?: number }
  | { readonly channel: number; readonly epoch: number; readonly seal: readonly number[]; readonly prev?: number }

export interface HandMadeTerm {
  readonly number: number
  readonly tag: number
}

const TERM: HandMadeTerm = { number: 1, tag: 7 }

export function handMadeLog(name: string, lines: readonly (Line & { readonly term?: HandMadeTerm })[]): NodeLog {
  const frames: NaiveFrame[][] = [[], []]
  const terms = new Set<HandMadeTerm>([TERM])
  for (const line of lines) {
    const { channel, epoch, term = TERM } = line
    terms.add(term)
    const before = frames[channel]!.at(-1)
    const position = before === undefined ? 0 : before.position + before.bytes.length
    const body = 'seal' in line ? sealBody(line.seal, line.prev ?? epoch - 1) : sessionBody(line)
    frames[channel]!.push(frameOf({ channel, position, kind: 'seal' in line ? 2 : 1, epoch, term, body }))
  }
  const history = [...terms].map(
    ({ number, tag }): NaiveTerm => ({ term: { number: String(number), tag }, baseEpoch: '0', starts: [0, 0] }),
  )
  const log: NaiveLog = { channels: 2, history, frames, whole: wholeEpochs(frames) }
  return { name, log }
}

/** A session of two entries that was answered PROPAGATED in `epoch`, at the times after it was sent. */
export function told(
  session: SessionContent,
  place: { readonly channel: number; readonly sentAt: number; readonly epoch: number; readonly term?: HandMadeTerm },
): SessionRecord {
  const { channel, sentAt, epoch, term = TERM } = place
  const answer = { term: BigInt(term.number), tag: term.tag, epoch: BigInt(epoch) }
  return {
    ...session,
    channel,
    sentAt,
    stored: { ...answer, at: sentAt + 1 },
    propagated: { ...answer, at: sentAt + 2 },
  }
}

export const session = (writer: number, n: number, dependsOn?: SessionContent): SessionContent => ({
  writer,
  n,
  entries: 2,
  valueBytes: 20,
  dependsOn: dependsOn && { writer: dependsOn.writer, n: dependsOn.n },
})

function sessionBody({ session, cutEntries = 0 }: { session: SessionContent; cutEntries?: number }): Buffer {
  const entries = entriesOf(session).slice(0, session.entries - cutEntries)
  return encodeBody(
    entries.map(({ key, value }) => ({ op: 'put', storage: STORAGE, key: Buffer.from(key), value }) as const),
  )
}

function sealBody(channels: readonly number[], prev: number): Buffer {
  const body = Buffer.alloc(40)
  body.writeBigUInt64LE(BigInt(prev), 0)
  body.writeBigUInt64LE(
    channels.reduce((bits, channel) => bits | (1n << BigInt(channel)), 0n),
    8,
  )
  return body
}

interface FrameParts {
  readonly channel: number
  readonly position: number
  readonly kind: number
  readonly epoch: number
  readonly term: HandMadeTerm
  readonly body: Buffer
}

function frameOf({ channel, position, kind, epoch, term, body }: FrameParts): NaiveFrame {
  const header = Buffer.alloc(HEADER_BYTES)
  header[5] = kind
  header.writeUInt32LE(body.length, 8)
  header.writeUInt32LE(term.tag, 20)
  header.writeBigUInt64LE(BigInt(position), 24)
  header.writeBigUInt64LE(BigInt(epoch), 32)
  header.writeBigUInt64LE(BigInt(term.number), 40)
  const bytes = Buffer.concat([header, body])
  return {
    channel,
    position,
    kind,
    epoch: BigInt(epoch),
    term: BigInt(term.number),
    producer: 0n,
    sequence: 0,
    body,
    bytes,
  }
}
