/**
 * The board's shared words <-> bytes of the state vector. Each word is a layer, a flag, NONE or UNKNOWN.
 */
import type { Board, BoardHandle } from '../../wal/board.ts'
import { LAYER_NONE, type Layout, POISON_NUMBER } from './state-vector.ts'

const STORED_WORD = 1
const PROPAGATED_WORD = 2
const HEAD_WORDS = 4

export class SharedMemory {
  readonly #half: Int32Array
  readonly #layout: Layout
  readonly #words: number

  constructor(handle: BoardHandle, layout: Layout) {
    this.#half = new Int32Array(handle.memory)
    this.#layout = layout
    this.#words = layout.phase - layout.waiting
  }

  /** The layout of wal/board.ts is its own affair: this fails if it is not the one that is assumed here. */
  checkLayout(board: Board): void {
    const l = this.#layout
    const before = Int32Array.from(this.#half)
    const last = l.channels - 1
    board.setWaiting(last, true)
    board.setPart(BigInt(l.config.ring), last)
    board.setCell(l.rows - 1, last, 5n)
    const seen = new Uint8Array(l.bytes)
    this.save(seen)
    const good =
      seen[l.waiting + last] === 1 &&
      seen[l.part + last] === l.config.ring &&
      seen[l.cell + l.channels * l.rows - 1] === 5
    this.#half.set(before)
    if (!good) throw new Error('the memory layout of wal/board.ts has changed: adapt shared-memory.ts')
  }

  save(vector: Uint8Array): void {
    const { open, waiting, stored, propagated } = this.#layout
    vector[open] = this.#codeOfWord(0)
    vector[stored] = this.#codeOfWord(STORED_WORD)
    vector[propagated] = this.#codeOfWord(PROPAGATED_WORD)
    for (let word = 0; word < this.#words; word++) vector[waiting + word] = this.#codeOfWord(HEAD_WORDS + word)
  }

  restore(vector: Uint8Array): void {
    const { open, waiting, stored, propagated } = this.#layout
    this.#restoreWord(0, vector[open]!)
    this.#restoreWord(STORED_WORD, vector[stored]!)
    this.#restoreWord(PROPAGATED_WORD, vector[propagated]!)
    for (let word = 0; word < this.#words; word++) this.#restoreWord(HEAD_WORDS + word, vector[waiting + word]!)
  }

  #codeOfWord(word: number): number {
    const low = this.#half[2 * word]!
    if (low === -1) return LAYER_NONE
    if (low < 0 || low >= POISON_NUMBER) throw new RangeError(`word ${word} of the board holds ${low}`)
    return low
  }

  #restoreWord(word: number, code: number): void {
    this.#half[2 * word] = code === LAYER_NONE ? -1 : code
    this.#half[2 * word + 1] = code === LAYER_NONE ? 0x7fff_ffff : 0
  }
}
