/**
 * The in-flight board: the shared memory by which channel threads agree on epochs, without a coordinator (DESIGN 4).
 *
 * This file is the memory and its single atomic accesses; board-machine.ts is the order in which they happen.
 *
 *   open            E, the open layer: +1 for each closed epoch. Layers are epoch numbers from `firstEpoch` on
 *   stored          highest layer durable on the local disk; only ever raised
 *   propagated      highest layer durable where the policy asks; only ever raised; 0 until first known in this term
 *   policy          word of durability.ts; written by the control thread
 *   waiting[c]      1: channel c has writers to answer, or wants to be told of progress
 *   part[e mod R][c]  = e if channel c takes part in epoch e; written by c only, never cleared
 *   cell[row][c]    lower bound of what of channel c is not durable at this row; written by c only.
 *                   NONE: nothing in flight. UNKNOWN: this row is not connected. Row 0 is the local disk
 *
 * Invariant: propagated <= stored < open (stored <= closed = open - 1).
 */
import { assert } from '../protocol/assert.ts'
import { type Epoch, epoch } from '../protocol/ids.ts'
import { EPOCH_BOUND, EPOCH_RING, REPLICA_COUNT_LIMIT } from '../protocol/limits.ts'

/** Nothing of this channel is in flight at this row. Larger than every layer. */
export const NONE = (1n << 63n) - 1n
/** This row is not connected. Smaller than every layer. */
export const UNKNOWN = 0n

const OPEN = 0
const STORED = 1
const PROPAGATED = 2
const POLICY = 3
const HEAD_WORDS = 4

export interface BoardShape {
  readonly channels: number
  /** 1 (the local disk) + replica rows. */
  readonly rows: number
  readonly ring: number
  readonly bound: number
}

export interface BoardStart {
  /** First epoch of this mastership. */
  readonly firstEpoch: bigint
  /** Last whole epoch before it: what is shown while nothing of this mastership is stored. */
  readonly baseEpoch: bigint
  readonly policy: number
}

/** What a thread needs to attach to the board of its node. Can be posted between threads. */
export interface BoardHandle {
  readonly memory: SharedArrayBuffer
  readonly shape: BoardShape
  readonly start: BoardStart
}

export type EpochSlots = Pick<BoardShape, 'ring' | 'bound'>

const EPOCH_SLOTS: EpochSlots = { ring: EPOCH_RING, bound: EPOCH_BOUND }

/** @param slots those of limits.ts unless said otherwise */
export const boardShape = (channels: number, slots: EpochSlots = EPOCH_SLOTS): BoardShape => ({
  channels,
  rows: 1 + REPLICA_COUNT_LIMIT,
  ...slots,
})

export function createBoard(shape: BoardShape, start: BoardStart): BoardHandle {
  assert(shape.ring >= shape.bound && shape.bound >= 2, 'R >= BOUND >= 2', { ...shape })
  assert(start.firstEpoch >= 1n && start.baseEpoch < start.firstEpoch, 'epochs begin with 1 and ascend', { ...start })
  const words = HEAD_WORDS + shape.channels * (1 + shape.ring + shape.rows)
  const memory = new SharedArrayBuffer(words * 8)
  const word = new BigInt64Array(memory)
  word[OPEN] = start.firstEpoch
  word[STORED] = start.firstEpoch - 1n
  word[POLICY] = BigInt(start.policy)
  const cells = HEAD_WORDS + shape.channels * (1 + shape.ring)
  word.fill(NONE, cells, cells + shape.channels)
  return { memory, shape, start }
}

/** Attached view of one thread. Every method but `shownEpoch` and the cast-free getters is exactly one atomic access. */
export class Board {
  readonly handle: BoardHandle
  readonly shape: BoardShape
  readonly #word: BigInt64Array
  readonly #waiting: number
  readonly #part: number
  readonly #cell: number
  /** Layers that this view has closed: the one whose exchange took effect counts. */
  closes = 0

  constructor(handle: BoardHandle) {
    this.handle = handle
    this.shape = handle.shape
    this.#word = new BigInt64Array(handle.memory)
    this.#waiting = HEAD_WORDS
    this.#part = this.#waiting + this.shape.channels
    this.#cell = this.#part + this.shape.channels * this.shape.ring
  }

  open(): bigint {
    return Atomics.load(this.#word, OPEN)
  }

  /** Closes `layer` if it is the open one. Losing the race is fine: then another channel has closed it. */
  close(layer: bigint): void {
    if (Atomics.compareExchange(this.#word, OPEN, layer, layer + 1n) === layer) this.closes++
  }

  stored(): bigint {
    return Atomics.load(this.#word, STORED)
  }

  propagated(): bigint {
    return Atomics.load(this.#word, PROPAGATED)
  }

  /** One attempt to raise; true when it took effect. The caller loads, compares and tries again. */
  tryRaiseStored(from: bigint, to: bigint): boolean {
    return Atomics.compareExchange(this.#word, STORED, from, to) === from
  }

  tryRaisePropagated(from: bigint, to: bigint): boolean {
    return Atomics.compareExchange(this.#word, PROPAGATED, from, to) === from
  }

  policy(): number {
    return Number(Atomics.load(this.#word, POLICY))
  }

  setPolicy(word: number): void {
    Atomics.store(this.#word, POLICY, BigInt(word))
  }

  part(layer: bigint, channel: number): bigint {
    return Atomics.load(this.#word, this.#partIndex(layer, channel))
  }

  setPart(layer: bigint, channel: number): void {
    Atomics.store(this.#word, this.#partIndex(layer, channel), layer)
  }

  cell(row: number, channel: number): bigint {
    return Atomics.load(this.#word, this.#cell + row * this.shape.channels + channel)
  }

  setCell(row: number, channel: number, value: bigint): void {
    Atomics.store(this.#word, this.#cell + row * this.shape.channels + channel, value)
  }

  setWaiting(channel: number, waiting: boolean): void {
    Atomics.store(this.#word, this.#waiting + channel, waiting ? 1n : 0n)
  }

  /** Takes the flag: of all channels that see it raised, one wakes its owner. */
  takeWaiting(channel: number): boolean {
    return Atomics.exchange(this.#word, this.#waiting + channel, 0n) === 1n
  }

  /** The epoch shown outside for a layer: what lies before this mastership is shown as its base epoch. */
  shownEpoch(layer: bigint): Epoch {
    const { firstEpoch, baseEpoch } = this.handle.start
    return epoch(layer === 0n ? 0n : layer < firstEpoch ? baseEpoch : layer)
  }

  #partIndex(layer: bigint, channel: number): number {
    return this.#part + Number(layer % BigInt(this.shape.ring)) * this.shape.channels + channel
  }
}
