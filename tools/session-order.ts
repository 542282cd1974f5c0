/**
 * The sessions of each producer of a channel ascend in its log (WAL-67): one that does not was written twice, or late.
 *
 * Written apart from the table that masters ask (wal/producer-table.ts), so that a defect of it is found. Bounded like it:
 * of more producers than that the one that has not written for the longest time is forgotten here, and was there.
 */
import { PRODUCER_COUNT_LIMIT } from '../protocol/limits.ts'

export class SessionOrder {
  readonly #limit: number
  /** The producer that has not written for the longest time comes first. */
  readonly #last = new Map<bigint, number>()

  constructor(limit = PRODUCER_COUNT_LIMIT) {
    this.#limit = limit
  }

  /** A session comes next in the log. @returns the one of its producer that it should stand behind, if it does not */
  note(producer: bigint, sequence: number): number | undefined {
    if (producer === 0n) return undefined // written by no producer
    const last = this.#last.get(producer)
    if (last !== undefined && sequence <= last) return last
    this.#last.delete(producer)
    this.#last.set(producer, sequence)
    for (const oldest of this.#last.keys()) {
      if (this.#last.size <= this.#limit) break
      this.#last.delete(oldest)
    }
    return undefined
  }
}
