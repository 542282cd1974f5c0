/**
 * Who waits for PROPAGATED on one channel, in the order of layers.
 *
 * While a replica is away this grows with every flush and writer. Answers are cumulative, so a record can be left out if a
 * later one of the same origin stays: its sessions are then answered with that one. When there are too many, layers are put
 * together in spans, and each origin keeps the newest record of each span. Not the newest of all: a replica that is behind
 * for ever would see its answers put off again and again. Spans have the length of a power of two and begin at multiples of
 * it, so thinning out once more changes nothing until the lag has doubled.
 *
 * Invariant: the newest record of an origin that can still hear is kept.
 */
import { UNPROPAGATED_RECORDS_LIMIT } from '../protocol/limits.ts'
import { Deque } from './deque.ts'

/** An answer is late by an eighth of the time that it waited anyway, at most. */
const SPANS = 16n

/** Sessions of one origin in one layer: answered together. */
export interface Pending<O extends { readonly isGone: boolean }> {
  readonly layer: bigint
  readonly origin: O
  lastSequence: number
}

export class PropagationQueue<O extends { readonly isGone: boolean }> {
  readonly #records = new Deque<Pending<O>>()
  #thinAt = UNPROPAGATED_RECORDS_LIMIT

  get length(): number {
    return this.#records.length
  }

  /** Would anybody hear the answers? */
  get isAwaited(): boolean {
    return this.#records.findLast(({ origin }) => !origin.isGone) !== undefined
  }

  push(record: Pending<O>): void {
    this.#records.push(record)
    if (this.#records.length > this.#thinAt) this.#thin()
  }

  /** Takes out what `layer` answers, in order. */
  take(layer: bigint, answer: (record: Pending<O>) => void): void {
    for (let p = this.#records.first(); p !== undefined && p.layer <= layer; p = this.#records.first()) {
      this.#records.shift()
      answer(p)
    }
  }

  #thin(): void {
    const newest = this.#records.last()!.layer // there are more than the limit
    const oldest = this.#records.first()!.layer
    let spanBits = 0n
    while ((newest - oldest) >> spanBits >= SPANS) spanBits++
    const lastKept = new Map<O, bigint>()
    this.#records.keepFromLast(({ origin, layer }) => {
      const span = layer >> spanBits
      if (origin.isGone || lastKept.get(origin) === span) return false
      lastKept.set(origin, span)
      return true
    })
    // walking over all records, however many origins there are, pays for as many new ones at least
    this.#thinAt = Math.max(UNPROPAGATED_RECORDS_LIMIT, this.#records.length + UNPROPAGATED_RECORDS_LIMIT / 2)
  }
}
