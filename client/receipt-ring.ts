/**
 * The newest sessions of a producer by sequence, from the oldest that has no answer to the last one.
 *
 * A ring of power-of-two size: adding, finding and dropping the first cost one step each, and nothing is allocated. A
 * session that is answered out of turn keeps its slot until those before it have left, and so does its frame: `bytes`
 * is what all of them hold.
 */
import type { PendingReceipt } from './receipt.ts'

const SLOTS_MIN = 64

export class ReceiptRing {
  #slots: (PendingReceipt | undefined)[] = new Array(SLOTS_MIN)
  #head: number
  #last: number
  #bytes = 0

  /** @param last sequence before that of the first session */
  constructor(last: number) {
    this.#head = last + 1
    this.#last = last
  }

  /** The first sequence that is still in here; `last + 1` if there is none. */
  get head(): number {
    return this.#head
  }

  /** Sequence of the newest session. */
  get last(): number {
    return this.#last
  }

  /** Of the frames of all sessions in here. */
  get bytes(): number {
    return this.#bytes
  }

  /** Its sequence is `last + 1`. */
  add(receipt: PendingReceipt): void {
    if (receipt.sequence - this.#head >= this.#slots.length) this.#grow()
    this.#last = receipt.sequence
    this.#slots[receipt.sequence & (this.#slots.length - 1)] = receipt
    this.#bytes += receipt.bytes
  }

  /** @param sequence from `head` to `last` */
  at(sequence: number): PendingReceipt {
    return this.#slots[sequence & (this.#slots.length - 1)]! // every slot between the two is taken
  }

  /** Drops the session at the head. */
  shift(): PendingReceipt {
    const slot = this.#head & (this.#slots.length - 1)
    const receipt = this.#slots[slot]!
    this.#slots[slot] = undefined
    this.#head += 1
    this.#bytes -= receipt.bytes
    return receipt
  }

  clear(): void {
    this.#slots = new Array(SLOTS_MIN)
    this.#head = this.#last + 1
    this.#bytes = 0
  }

  *values(): Generator<PendingReceipt> {
    for (let sequence = this.#head; sequence <= this.#last; sequence++) yield this.at(sequence)
  }

  #grow(): void {
    const slots = new Array<PendingReceipt | undefined>(this.#slots.length * 2)
    for (const receipt of this.values()) slots[receipt.sequence & (slots.length - 1)] = receipt
    this.#slots = slots
  }
}
