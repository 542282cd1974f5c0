/**
 * The finished frames of one producer that have no answer yet, in the order of their sequences.
 *
 * A frame without an answer may have to be sent again on another connection, so it stays where it was built, and its
 * memory is used again only when it is answered. Nothing is copied for that, and nothing is allocated per frame: frames
 * adjacent in memory are one run, and where one ends its header says.
 *
 * Invariants: sequences ascend from run to run and within one; of a run the bytes below `unsent` were handed out on the
 * present connection; a slab is free when no run lies in it.
 *
 * It knows no connection and no receipt: who is answered, and who is to be sent again, others say.
 */
import { assert } from '../protocol/assert.ts'
import type { Space } from '../protocol/entry-encoder.ts'
import { FRAME_HEADER_BYTES, HeaderOffset, readU64Number } from '../protocol/frame.ts'

/** Memory in which frames are built. */
export interface Slab extends Space {
  /** Runs that lie in it. */
  runs: number
}

/** What becomes of a frame when a connection begins. */
export type FrameFate = 'send' | 'keep' | 'drop'

interface Run {
  readonly slab: Slab
  readonly from: number
  to: number
  unsent: number
  /** Sequence of its last frame. */
  last: number
}

export class KeptFrames {
  readonly #onFree: (slab: Slab) => void
  #runs: Run[] = []
  /** Index of the first run with unsent bytes. */
  #unsentAt = 0
  #unsentBytes = 0

  /** @param onFree called when the last run has left a slab */
  constructor(onFree: (slab: Slab) => void) {
    this.#onFree = onFree
  }

  /** Bytes that were not handed out on the present connection. */
  get unsentBytes(): number {
    return this.#unsentBytes
  }

  /** Adds a frame to be sent. Sequences ascend from call to call. */
  add(slab: Slab, from: number, to: number, sequence: number): void {
    this.#unsentBytes += to - from
    this.#append(slab, from, to, sequence)
  }

  /** What is to be sent, in order; from now on it counts as sent. */
  take(): Buffer[] {
    const buffers: Buffer[] = []
    for (; this.#unsentAt < this.#runs.length; this.#unsentAt++) {
      const run = this.#runs[this.#unsentAt]!
      if (run.unsent < run.to) buffers.push(run.slab.buffer.subarray(run.unsent, run.to))
      run.unsent = run.to
    }
    // the last run may still grow
    this.#unsentAt = Math.max(0, this.#runs.length - 1)
    this.#unsentBytes = 0
    return buffers
  }

  /** All frames up to this sequence are answered. */
  release(through: number): void {
    let count = 0
    for (const run of this.#runs) {
      if (run.last > through) break
      count += 1
      this.#unsentBytes -= run.to - run.unsent
      this.#free(run)
    }
    if (count === 0) return
    this.#runs.splice(0, count)
    this.#unsentAt = Math.max(0, this.#unsentAt - count)
  }

  /** Another connection begins: asks for each frame, in order, what is to become of it. */
  rewind(fateOf: (sequence: number) => FrameFate): void {
    const before = this.#runs
    this.#runs = []
    this.#unsentAt = 0
    this.#unsentBytes = 0
    for (const run of before) this.#deal(run, fateOf)
    // only now: what was kept must not leave its slab for a moment
    for (const run of before) this.#free(run)
  }

  #deal(run: Run, fateOf: (sequence: number) => FrameFate): void {
    for (const { at, end, sequence } of framesOf(run)) {
      const fate = fateOf(sequence)
      if (fate === 'send') this.add(run.slab, at, end, sequence)
      else if (fate === 'keep') this.#append(run.slab, at, end, sequence, end)
    }
  }

  /** @param unsent the end of a frame that was sent, the beginning of one that was not */
  #append(slab: Slab, from: number, to: number, sequence: number, unsent = from): void {
    const run = this.#runs.at(-1)
    // a run is sent up to one place: what was sent may not stand behind what was not
    if (run !== undefined && run.slab === slab && run.to === from && (unsent === from || run.unsent === run.to)) {
      run.to = to
      run.last = sequence
      if (unsent === to) run.unsent = to
      return
    }
    slab.runs += 1
    this.#runs.push({ slab, from, to, unsent, last: sequence })
  }

  #free({ slab }: Run): void {
    slab.runs -= 1
    if (slab.runs === 0) this.#onFree(slab)
  }
}

function* framesOf({ slab, from, to, last }: Run): Generator<{ at: number; end: number; sequence: number }> {
  let at = from
  while (at < to) {
    const end = at + FRAME_HEADER_BYTES + slab.buffer.readUInt32LE(at + HeaderOffset.bodyLength)
    const sequence = readU64Number(slab.buffer, at + HeaderOffset.producerSequence)
    assert(end <= to && sequence <= last, 'frames of a run lie side by side', { sequence, end, to })
    yield { at, end, sequence }
    at = end
  }
}
