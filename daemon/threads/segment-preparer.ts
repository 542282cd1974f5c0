/**
 * How a channel thread gets its next segment: it asks the control thread, whose job pool makes it, and both sides meet
 * at a doorbell in shared memory, so that a thread which is ahead of the pool can block until the segment is there.
 *
 * Doorbell: one i32: IDLE -> ASKED (thread) -> READY or FAILED (pool) -> IDLE (thread). One request at a time. A thread
 * that waits makes HURRIED of ASKED: the pool writes no more zeros.
 */
import { assert } from '../../protocol/assert.ts'
import { TravertineError } from '../../protocol/errors.ts'
import type { Preparer, SegmentFilling } from '../../wal/segments.ts'

const IDLE = 0
const ASKED = 1
const READY = 2
const FAILED = 3
const HURRIED = 4

/** The pool writes a gigabyte in far less on any disk that is worth running on. */
const WAIT_MS_MAX = 60_000

export const doorbellMemory = (): SharedArrayBuffer => new SharedArrayBuffer(4)

export class DoorbellPreparer implements Preparer {
  readonly #bell: Int32Array
  readonly #request: (base: number, filling: SegmentFilling) => void

  constructor(memory: SharedArrayBuffer, request: (base: number, filling: SegmentFilling) => void) {
    this.#bell = new Int32Array(memory)
    this.#request = request
  }

  /** Also while nobody has heard of a failure yet: the next request would wipe it out. */
  get isBusy(): boolean {
    return this.isUnderWay || Atomics.load(this.#bell, 0) === FAILED
  }

  get isUnderWay(): boolean {
    const state = Atomics.load(this.#bell, 0)
    return state === ASKED || state === HURRIED
  }

  ask(base: number, filling: SegmentFilling): void {
    assert(!this.isBusy, 'one segment is prepared at a time', { base })
    Atomics.store(this.#bell, 0, ASKED)
    this.#request(base, filling)
  }

  wait(base: number): void {
    Atomics.compareExchange(this.#bell, 0, ASKED, HURRIED)
    while (Atomics.load(this.#bell, 0) === HURRIED) {
      if (Atomics.wait(this.#bell, 0, HURRIED, WAIT_MS_MAX) === 'timed-out') {
        throw new TravertineError(
          'DISK_FAILED',
          `Cannot prepare the segment at ${base}: it took more than ${WAIT_MS_MAX} ms`,
        )
      }
    }
    if (Atomics.exchange(this.#bell, 0, IDLE) === FAILED) {
      throw new TravertineError('DISK_FULL', `Cannot prepare the segment at ${base}: see the log of the control thread`)
    }
  }

  /** The pool's answer has come by message; true if it failed. */
  takeFailure(): boolean {
    return Atomics.compareExchange(this.#bell, 0, FAILED, IDLE) === FAILED
  }
}

/** The pool's side: does the thread wait? */
export function isHurried(memory: SharedArrayBuffer): boolean {
  return Atomics.load(new Int32Array(memory), 0) === HURRIED
}

/** The pool's side, at the end. */
export function ringDoorbell(memory: SharedArrayBuffer, failed: boolean): void {
  const bell = new Int32Array(memory)
  Atomics.store(bell, 0, failed ? FAILED : READY)
  Atomics.notify(bell, 0)
}
