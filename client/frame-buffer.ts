/**
 * Where the frames of one channel are built.
 *
 * Frames lie side by side in slabs, so that all frames of one turn of the event loop leave in one write, and nothing is
 * copied between the application's values and the connection. A draft is a frame under construction. One draft may own
 * the tip of the current slab and grows there in place; when another one needs the tip, the owner moves out into memory
 * of its own, once, and is copied or kept as it is when it is finished. Finished frames are `kept` until they are answered.
 *
 * Invariants: bytes of a kept frame are never written again; at most one draft owns the tip; a slab is used again only
 * when no kept frame lies in it.
 *
 * It knows neither connections nor what is in a frame.
 */
import { assert } from '../protocol/assert.ts'
import { FRAME_HEADER_BYTES } from '../protocol/frame.ts'
import { CLIENT_SLAB_BYTES, CLIENT_SLAB_POOL_COUNT, SESSION_BYTES_LIMIT } from '../protocol/limits.ts'
import { KeptFrames, type Slab } from './kept-frames.ts'

const FRAME_BYTES_LIMIT = FRAME_HEADER_BYTES + SESSION_BYTES_LIMIT
/** A finished frame outside the slab is copied into it up to this size; a larger one is sent from where it lies. */
const COPY_BYTES_LIMIT = CLIENT_SLAB_BYTES / 4
/** First memory of a draft that had to leave the tip. */
const PRIVATE_BYTES_MIN = 1024

/** A frame under construction: its header will stand at `start`, the next entry at `at`. */
export class FrameDraft {
  space: Slab | undefined
  start = 0
  at = 0
  entryCount = 0

  get bodyBytes(): number {
    return this.space === undefined ? 0 : this.at - this.start - FRAME_HEADER_BYTES
  }
}

export class FrameBuffer {
  /** Finished and not answered. */
  readonly kept = new KeptFrames((slab) => this.#freed(slab))
  /** New frames are built here, from `#tip` on. */
  #slab = newSlab()
  #tip = 0
  #owner: FrameDraft | undefined
  readonly #pool: Slab[] = []

  /** Makes room for `bytes` more at `draft.at`; the space may be another one afterwards. */
  reserve(draft: FrameDraft, bytes: number): Slab {
    const space = draft.space
    if (space !== undefined && draft.at + bytes <= space.buffer.length) return space
    return this.#makeRoom(draft, bytes)
  }

  /** The frame is to be sent, and kept. Its header must be in place. */
  finish(draft: FrameDraft, sequence: number): void {
    const space = draft.space
    assert(space !== undefined, 'a finished draft has entries')
    const bytes = draft.at - draft.start
    if (this.#owner === draft) {
      this.#owner = undefined
      this.#tip = draft.at
      this.kept.add(space, draft.start, draft.at, sequence)
    } else if (bytes <= COPY_BYTES_LIMIT) {
      this.#freeTip(bytes)
      const from = this.#tip
      this.#tip = from + space.buffer.copy(this.#slab.buffer, from, draft.start, draft.at)
      this.kept.add(this.#slab, from, this.#tip, sequence)
    } else {
      this.kept.add(space, draft.start, draft.at, sequence)
    }
    draft.space = undefined
  }

  discard(draft: FrameDraft): void {
    if (this.#owner === draft) this.#owner = undefined
    draft.space = undefined
  }

  #makeRoom(draft: FrameDraft, bytes: number): Slab {
    const used = draft.space === undefined ? FRAME_HEADER_BYTES : draft.at - draft.start
    const needed = used + bytes
    assert(needed <= FRAME_BYTES_LIMIT, 'a session checks its size before it asks for room', { needed })
    const atTip = draft.space === undefined || this.#owner === draft
    if (!atTip || needed > CLIENT_SLAB_BYTES) return this.#moveOut(draft, used, needed)
    if (this.#owner === draft) this.#nextSlab()
    else this.#freeTip(needed)
    this.#moveTo(draft, this.#slab, this.#tip, used)
    this.#owner = draft
    return this.#slab
  }

  /** Gives the draft memory of its own, with room to grow. */
  #moveOut(draft: FrameDraft, used: number, needed: number): Slab {
    const bytes = Math.min(FRAME_BYTES_LIMIT, Math.max(PRIVATE_BYTES_MIN, needed, 2 * used))
    const space = slabOf(Buffer.allocUnsafe(bytes))
    this.#moveTo(draft, space, 0, used)
    if (this.#owner === draft) this.#owner = undefined
    return space
  }

  #moveTo(draft: FrameDraft, space: Slab, start: number, used: number): void {
    draft.space?.buffer.copy(space.buffer, start, draft.start, draft.start + used)
    draft.space = space
    draft.start = start
    draft.at = start + used
  }

  /** Makes the tip of the current slab free, with at least `bytes` behind it. */
  #freeTip(bytes: number): void {
    const owner = this.#owner
    if (owner !== undefined) this.#moveOut(owner, owner.at - owner.start, owner.at - owner.start)
    if (this.#tip + bytes > CLIENT_SLAB_BYTES) this.#nextSlab()
  }

  #nextSlab(): void {
    const full = this.#slab
    this.#slab = this.#pool.pop() ?? newSlab()
    this.#tip = 0
    if (full.runs === 0) this.#putAside(full)
  }

  #freed(slab: Slab): void {
    // start again where the cache is warm; a draft at the tip moves out when that is needed
    if (slab === this.#slab) this.#tip = 0
    else this.#putAside(slab)
  }

  /** For later use. The memory of one large frame is left to the garbage collector. */
  #putAside(slab: Slab): void {
    if (slab.buffer.length === CLIENT_SLAB_BYTES && this.#pool.length < CLIENT_SLAB_POOL_COUNT) this.#pool.push(slab)
  }
}

const newSlab = (): Slab => slabOf(Buffer.allocUnsafeSlow(CLIENT_SLAB_BYTES))

function slabOf(buffer: Buffer): Slab {
  return { buffer, view: new DataView(buffer.buffer, buffer.byteOffset, buffer.length), runs: 0 }
}
