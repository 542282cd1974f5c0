/**
 * How a channel thread gets its next segment: it asks the control thread, whose job pool makes it, and both sides meet
 * at a doorbell in shared memory, so that a thread which is ahead of the pool can block until the segment is there.
 *
 * Doorbell: one i32: IDLE -> ASKED (thread) -> READY or FAILED (pool) -> IDLE (thread). One request at a time.
 */
import { assert } from '../../protocol/assert.ts'
import { TravertineError } from '../../protocol/errors.ts'
import type { Preparer } from '../../wal/segments.ts'

const IDLE = 0
const ASKED = 1
const READY = 2
const FAILED = 3

/** The pool writes a gigabyte in far less on any disk that is worth running on. */
const WAIT_MS_MAX = 60_000

export const doorbellMemory = (): SharedArrayBuffer => new SharedArrayBuffer(4)

export class DoorbellPreparer implements Preparer {
  readonly #bell: Int32Array
  readonly #request: (base: number) => void

  constructor(memory: SharedArrayBuffer, request: (base: number) => void) {
    this.#bell = new Int32Array(memory)
    this.#request = request
  }

  get isBusy(): boolean {
    return Atomics.load(this.#bell, 0) === ASKED
  }

  ask(base: number): void {
    assert(!this.isBusy, 'one segment is prepared at a time', { base })
    Atomics.store(this.#bell, 0, ASKED)
    this.#request(base)
  }

  wait(base: number): void {
    while (Atomics.load(this.#bell, 0) === ASKED) {
      if (Atomics.wait(this.#bell, 0, ASKED, WAIT_MS_MAX) === 'timed-out') {
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

/** The pool's side. */
export function ringDoorbell(memory: SharedArrayBuffer, failed: boolean): void {
  const bell = new Int32Array(memory)
  Atomics.store(bell, 0, failed ? FAILED : READY)
  Atomics.notify(bell, 0)
}
