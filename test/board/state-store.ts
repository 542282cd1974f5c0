/**
 * The set of all states met, each with a number: exact (whole vectors are compared), compact (one copy of the bytes), and
 * in the order of arrival, so that it is the queue of a breadth-first exploration too.
 */
const CHUNK_BITS = 14
const CHUNK = 1 << CHUNK_BITS

export class StateStore {
  readonly #words: number
  readonly #chunks: Int32Array[] = []
  /** Open addressing; 1 + number of the state, 0 for a free slot. */
  #slots = new Int32Array(1 << 16)
  readonly #bytes: Uint8Array
  readonly #asWords: Int32Array
  size = 0

  constructor(vectorBytes: number) {
    this.#words = vectorBytes / 4
    this.#asWords = new Int32Array(this.#words)
    this.#bytes = new Uint8Array(this.#asWords.buffer)
  }

  /** @returns the number of the state; it is new if the number is the former size */
  add(vector: Uint8Array): number {
    this.#bytes.set(vector)
    if (2 * this.size >= this.#slots.length) this.#grow()
    const mask = this.#slots.length - 1
    let slot = this.#hash(this.#asWords, 0) & mask
    for (let found = this.#slots[slot]!; found !== 0; found = this.#slots[slot]!) {
      if (this.#equals(found - 1)) return found - 1
      slot = (slot + 1) & mask
    }
    this.#slots[slot] = this.size + 1
    if (this.size >> CHUNK_BITS === this.#chunks.length) this.#chunks.push(new Int32Array(CHUNK * this.#words))
    this.#chunks[this.size >> CHUNK_BITS]!.set(this.#asWords, (this.size & (CHUNK - 1)) * this.#words)
    return this.size++
  }

  /** A view of the bytes of a state. */
  get(state: number): Uint8Array {
    const from = (state & (CHUNK - 1)) * this.#words * 4
    return new Uint8Array(this.#chunks[state >> CHUNK_BITS]!.buffer, from, this.#words * 4)
  }

  #equals(state: number): boolean {
    const chunk = this.#chunks[state >> CHUNK_BITS]!
    const from = (state & (CHUNK - 1)) * this.#words
    for (let word = 0; word < this.#words; word++) if (chunk[from + word] !== this.#asWords[word]) return false
    return true
  }

  #hash(words: Int32Array, from: number): number {
    let hash = 0x811c9dc5
    for (let word = 0; word < this.#words; word++) {
      hash = Math.imul(hash ^ words[from + word]!, 0x01000193)
      hash ^= hash >>> 15
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b)
    return (hash ^ (hash >>> 16)) >>> 0
  }

  #grow(): void {
    this.#slots = new Int32Array(2 * this.#slots.length)
    const mask = this.#slots.length - 1
    for (let state = 0; state < this.size; state++) {
      let slot = this.#hash(this.#chunks[state >> CHUNK_BITS]!, (state & (CHUNK - 1)) * this.#words) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = state + 1
    }
  }
}

/** A list of 32-bit numbers that grows without copying. */
export class NumberList {
  readonly #chunks: Int32Array[] = []
  length = 0

  push(value: number): void {
    if (this.length >> 16 === this.#chunks.length) this.#chunks.push(new Int32Array(1 << 16))
    this.#chunks[this.length >> 16]![this.length & 0xffff] = value
    this.length++
  }

  at(index: number): number {
    return this.#chunks[index >> 16]![index & 0xffff]!
  }
}
