/**
 * What a channel's log says of its producers: a fold over its ENTRIES frames in the order of the log (WAL-67 to WAL-69).
 *
 * It answers one question, "does session s of producer p stand in this log?", without reading the log again: it does if s
 * is at most `last` and in no range of `missing`. Everything here follows from the log alone, so nodes that hold the same
 * bytes have the same table, whoever was master when, and wherever they began to read.
 *
 * Bounded twice, and honest about both. Of a producer with more ranges than the limit the oldest are forgotten:
 * `judgedFrom` says from where on answers are sound. Of more producers than the limit the one that has not written for
 * the longest time is forgotten: `evictedEpoch` says up to which epoch one that is not known may have been here.
 *
 * Pure. `note` is on the commit path: no lookup and no allocation for the next session of a producer that is at hand.
 */

import { HeaderOffset, readU64Number } from '../protocol/frame.ts'
import { PRODUCER_COUNT_LIMIT, PRODUCER_RANGE_COUNT_LIMIT } from '../protocol/limits.ts'
import { readU32 } from '../protocol/unsigned.ts'

export interface ProducerLimits {
  readonly producers: number
  readonly ranges: number
}

const LIMITS: ProducerLimits = { producers: PRODUCER_COUNT_LIMIT, ranges: PRODUCER_RANGE_COUNT_LIMIT }

/** What the log says of one producer. Written by its table only. */
export class ProducerEntry {
  readonly id: bigint
  readonly idLow: number
  readonly idHigh: number
  /** Highest session that stands in the log; 0: none. */
  last = 0
  /** Epoch and term number of session `last`. */
  lastEpoch = 0
  lastTerm = 0
  /** Of sessions below nothing is known any more. */
  judgedFrom = 1
  /** Sessions below `last` that do not stand in the log: from, to, from, to, ...; ascending. */
  missing: number[] = []
  /** Is it in the table? A producer that was not yet written is not, nor is one that was forgotten. */
  isListed = false
  /** Neighbours in the order of the last write. */
  older: ProducerEntry | undefined
  newer: ProducerEntry | undefined

  constructor(id: bigint) {
    this.id = id
    this.idLow = Number(id & 0xffff_ffffn)
    this.idHigh = Number(id >> 32n)
  }
}

/** A table as plain data: in recovery points, and between threads. */
export interface ProducerTableState {
  /** u64 as decimal text. */
  readonly evictedEpoch: string
  /** The one that has not written for the longest time first. */
  readonly producers: readonly ProducerRow[]
}

/** u64 values are decimal texts. */
export type ProducerRow = readonly [
  id: string,
  last: number,
  lastEpoch: string,
  lastTerm: string,
  judgedFrom: number,
  missing: readonly number[],
]

export class ProducerTable<E extends ProducerEntry = ProducerEntry> {
  /** A producer that is not in the table yet. */
  readonly make: (id: bigint) => E
  readonly #limits: ProducerLimits
  readonly #entries = new Map<bigint, E>()
  #oldest: ProducerEntry | undefined
  #newest: ProducerEntry | undefined
  #evictedEpoch: number

  constructor(make: (id: bigint) => E, state: ProducerTableState = NO_PRODUCERS, limits = LIMITS) {
    this.make = make
    this.#limits = limits
    this.#evictedEpoch = Number(state.evictedEpoch)
    for (const [id, last, lastEpoch, lastTerm, judgedFrom, missing] of state.producers) {
      const entry = make(BigInt(id))
      this.#list(entry)
      entry.last = last
      entry.lastEpoch = Number(lastEpoch)
      entry.lastTerm = Number(lastTerm)
      entry.judgedFrom = judgedFrom
      entry.missing = [...missing]
    }
  }

  get size(): number {
    return this.#entries.size
  }

  /** Highest epoch of a last session of a producer that was forgotten; 0: none was. */
  get evictedEpoch(): number {
    return this.#evictedEpoch
  }

  values(): Iterable<E> {
    return this.#entries.values()
  }

  get(id: bigint): E | undefined {
    return this.#entries.get(id)
  }

  /** An ENTRIES frame at `buffer[at]` comes next in the log. */
  fold(buffer: Buffer, at: number): void {
    const entry = this.#entryOf(buffer, at)
    if (entry === undefined) return
    this.note(
      entry,
      readU64Number(buffer, at + HeaderOffset.producerSequence),
      readU64Number(buffer, at + HeaderOffset.epoch),
      readU64Number(buffer, at + HeaderOffset.term),
    )
  }

  /** A session of `entry`, which came from this table or from `make`, comes next in the log. */
  note(entry: E, sequence: number, epoch: number, term: number): void {
    if (!entry.isListed) this.#first(entry, sequence)
    else if (sequence <= entry.last)
      return // no sound master writes it; see WAL-67
    else {
      if (sequence !== entry.last + 1) this.#miss(entry, entry.last + 1, sequence - 1)
      if (entry !== this.#newest) {
        this.#unlink(entry)
        this.#link(entry)
      }
    }
    entry.last = sequence
    entry.lastEpoch = epoch
    entry.lastTerm = term
  }

  state(): ProducerTableState {
    const producers: ProducerRow[] = []
    for (let entry = this.#oldest; entry !== undefined; entry = entry.newer) {
      const { id, last, lastEpoch, lastTerm, judgedFrom, missing } = entry
      producers.push([`${id}`, last, `${lastEpoch}`, `${lastTerm}`, judgedFrom, [...missing]])
    }
    return { evictedEpoch: `${this.#evictedEpoch}`, producers }
  }

  /** Frames of one producer mostly come in runs: then it is the newest one, found by one comparison. */
  #entryOf(buffer: Buffer, at: number): E | undefined {
    const low = readU32(buffer, at + HeaderOffset.producerId)
    const high = readU32(buffer, at + HeaderOffset.producerId + 4)
    const newest = this.#newest
    if (newest?.idLow === low && newest.idHigh === high) return newest as E // every listed entry was made by `make`
    if (low === 0 && high === 0) return undefined // written by no producer
    const id = (BigInt(high) << 32n) | BigInt(low)
    return this.#entries.get(id) ?? this.make(id)
  }

  #first(entry: E, sequence: number): void {
    entry.judgedFrom = 1
    entry.missing = []
    // if anybody was forgotten, this one may have been here before
    if (this.#evictedEpoch > 0) entry.judgedFrom = sequence
    else if (sequence > 1) entry.missing.push(1, sequence - 1)
    this.#list(entry)
    if (this.#entries.size > this.#limits.producers) this.#evict()
  }

  #list(entry: E): void {
    entry.isListed = true
    this.#entries.set(entry.id, entry)
    this.#link(entry)
  }

  #miss(entry: E, from: number, to: number): void {
    entry.missing.push(from, to)
    if (entry.missing.length <= 2 * this.#limits.ranges) return
    const [, forgotten] = entry.missing.splice(0, 2)
    entry.judgedFrom = forgotten! + 1 // the limit is above 0, so a range was there
  }

  #evict(): void {
    const entry = this.#oldest!
    this.#unlink(entry)
    this.#entries.delete(entry.id)
    entry.isListed = false
    if (entry.lastEpoch > this.#evictedEpoch) this.#evictedEpoch = entry.lastEpoch
  }

  #link(entry: ProducerEntry): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest === undefined) this.#oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
  }

  #unlink(entry: ProducerEntry): void {
    if (entry.older === undefined) this.#oldest = entry.newer
    else entry.older.newer = entry.newer
    if (entry.newer === undefined) this.#newest = entry.older
    else entry.newer.older = entry.older
  }
}

export const NO_PRODUCERS: ProducerTableState = { evictedEpoch: '0', producers: [] }

/** A table of those who only read the log: nobody waits for answers of its producers. */
export const plainTable = (state?: ProducerTableState, limits?: ProducerLimits): ProducerTable =>
  new ProducerTable((id) => new ProducerEntry(id), state, limits)

/** Checks the form of a table that was read from a file; undefined if it has not got it. */
export function readTableState(value: unknown): ProducerTableState | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { evictedEpoch, producers } = value as Record<string, unknown> // an object, just checked
  const isTable = isU64(evictedEpoch) && Array.isArray(producers) && producers.every(isRow)
  return isTable ? (value as ProducerTableState) : undefined // every field was just checked
}

function isRow(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 6) return false
  const [id, last, lastEpoch, lastTerm, judgedFrom, missing] = value as unknown[] // an array, just checked
  const isScalars = isU64(id) && isU64(lastEpoch) && isU64(lastTerm) && isSequence(last) && isSequence(judgedFrom)
  return isScalars && Array.isArray(missing) && missing.length % 2 === 0 && missing.every(isSequence)
}

const isU64 = (v: unknown): boolean => typeof v === 'string' && /^\d{1,20}$/.test(v) && BigInt(v) < 1n << 64n
const isSequence = (v: unknown): boolean => typeof v === 'number' && Number.isSafeInteger(v) && v >= 1
