/**
 * A committed epoch as an application reads it. Entries are decoded one by one, when somebody asks for them, from the
 * bytes in which they came; keys and values are views into those bytes: copy what has to stay longer.
 */
import { decodeEntries, type LoggedEntry, walkBody } from '../protocol/entry.ts'
import { decodeHeader, FLAG_EXPLICIT_VERSIONS, FRAME_HEADER_BYTES } from '../protocol/frame.ts'
import { type Epoch, epoch, type Term } from '../protocol/ids.ts'
import type { GatheredEpoch } from './epoch-gatherer.ts'

/** Where an entry stands in the log: the same place on every node. */
export interface EntryPlace {
  readonly channel: number
  /** Position of its session. */
  readonly position: number
  /** Index within its session. */
  readonly index: number
}

/** One operation with its write version, and its place. */
export type CommittedEntry = LoggedEntry & EntryPlace

export class CommittedEpoch {
  readonly term: Term
  readonly epoch: Epoch
  readonly #parts: GatheredEpoch['parts']
  readonly #storages: ReadonlySet<bigint> | undefined

  /** Applications get one from a subscription. @param storages only entries of these; undefined: all */
  constructor(gathered: GatheredEpoch, storages: ReadonlySet<bigint> | undefined) {
    this.term = gathered.term
    this.epoch = epoch(gathered.epoch)
    this.#parts = gathered.parts
    this.#storages = storages
  }

  /** Its entries in the order of the log: channel by channel, session by session. @throws ENTRY_MALFORMED */
  *entries(): Generator<CommittedEntry, void, undefined> {
    for (const { channel, frames } of this.#parts) {
      for (const frame of frames) {
        for (const entry of entriesOf(frame, channel)) {
          if (this.#storages === undefined || this.#storages.has(entry.storage)) yield entry
        }
      }
    }
  }

  /** There is nothing in it that was asked for. */
  get isEmpty(): boolean {
    if (this.#storages === undefined) return this.#parts.every(({ frames }) => frames.length === 0)
    return this.entries().next().done === true
  }
}

/** The body is walked first: a program that was broken may have written it. */
function* entriesOf(frame: Buffer, channel: number): Generator<CommittedEntry, void, undefined> {
  const { flags, epoch: major, firstMinor: minor, position } = decodeHeader(frame, 0)
  const body = frame.subarray(FRAME_HEADER_BYTES)
  const isExplicit = (flags & FLAG_EXPLICIT_VERSIONS) !== 0
  walkBody(body, 0, body.length, isExplicit, { channel, offset: position })
  let index = 0
  for (const entry of decodeEntries(body, isExplicit ? undefined : { major, minor })) {
    yield { ...entry, channel, position, index: index++ }
  }
}
