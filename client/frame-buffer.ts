/**
 * Where the frames of one channel are built and wait to be sent.
 *
 * Frames lie side by side in slabs, so that all frames of one turn of the event loop leave in one write, and nothing is
 * copied between the application's values and the socket. A draft is a frame under construction. One draft may own the
 * tip of the current slab and grows there in place; when another one needs the tip, the owner moves out into memory of
 * its own, once, and is copied or queued as it is when it is finished. Queued frames stand in the order of `finish`.
 *
 * Invariants: bytes below `tip` of a slab are never written again before its writes are done; at most one draft owns
 * the tip; a slab is used again only when no write and no queued chunk refers to it.
 *
 * It knows neither sockets nor what is in a frame.
 */
import { assert } from '../protocol/assert.ts'
import { FRAME_HEADER_BYTES } from '../protocol/frame.ts'
import { CLIENT_SLAB_BYTES, CLIENT_SLAB_POOL_COUNT, SESSION_BYTES_LIMIT } from '../protocol/limits.ts'
import type { Space } from './entry-encoder.ts'

const FRAME_BYTES_LIMIT = FRAME_HEADER_BYTES + SESSION_BYTES_LIMIT
/** A finished frame outside the slab is copied into it up to this size; a larger one is sent from where it lies. */
const COPY_BYTES_LIMIT = CLIENT_SLAB_BYTES / 4
/** First memory of a draft that had to leave the tip. */
const PRIVATE_BYTES_MIN = 1024

interface Slab extends Space {
  tip: number
  /** Queued chunks and writes under way that refer to this slab. */
  references: number
}

/** Finished frames, adjacent in memory. `slab` is undefined for a frame in memory of its own. */
export interface Chunk {
  readonly buffer: Buffer
  readonly from: number
  to: number
  readonly slab: Slab | undefined
}

/** A frame under construction: its header will stand at `start`, the next entry at `at`. */
export class FrameDraft {
  space: Space | undefined
  start = 0
  at = 0
  entryCount = 0

  get bodyBytes(): number {
    return this.space === undefined ? 0 : this.at - this.start - FRAME_HEADER_BYTES
  }
}

export class FrameBuffer {
  #slab: Slab = newSlab()
  #owner: FrameDraft | undefined
  #queue: Chunk[] = []
  #queuedBytes = 0
  readonly #pool: Slab[] = []

  /** Bytes of finished frames that were not taken yet. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Makes room for `bytes` more at `draft.at`; the space may be another one afterwards. */
  reserve(draft: FrameDraft, bytes: number): Space {
    const space = draft.space
    if (space !== undefined && draft.at + bytes <= space.buffer.length) return space
    return this.#makeRoom(draft, bytes)
  }

  /** Queues the finished frame. Its header must be in place. */
  finish(draft: FrameDraft): void {
    const space = draft.space
    assert(space !== undefined, 'a finished draft has entries')
    const bytes = draft.at - draft.start
    if (this.#owner === draft) {
      this.#owner = undefined
      this.#slab.tip = draft.at
      this.#enqueue(this.#slab, draft.start, draft.at)
    } else if (bytes <= COPY_BYTES_LIMIT) {
      this.#freeTip(bytes)
      const from = this.#slab.tip
      this.#slab.tip = from + space.buffer.copy(this.#slab.buffer, from, draft.start, draft.at)
      this.#enqueue(this.#slab, from, this.#slab.tip)
    } else {
      this.#queue.push({ buffer: space.buffer, from: draft.start, to: draft.at, slab: undefined })
    }
    draft.space = undefined
    this.#queuedBytes += bytes
  }

  discard(draft: FrameDraft): void {
    if (this.#owner === draft) this.#owner = undefined
    draft.space = undefined
  }

  /** Hands out what is queued, in order. Each chunk comes back through `release` when its bytes are written. */
  take(): Chunk[] {
    const chunks = this.#queue
    this.#queue = []
    this.#queuedBytes = 0
    return chunks
  }

  release(chunks: readonly Chunk[]): void {
    for (const chunk of chunks) {
      const slab = chunk.slab
      if (slab === undefined) continue
      slab.references -= 1
      if (slab.references > 0) continue
      if (slab !== this.#slab) this.#keep(slab)
      // no finished frame is in it: start again where the cache is warm. A draft at its tip moves out when that is needed
      else slab.tip = 0
    }
  }

  #enqueue(slab: Slab, from: number, to: number): void {
    const last = this.#queue.at(-1)
    if (last !== undefined && last.slab === slab && last.to === from) {
      last.to = to
      return
    }
    slab.references += 1
    this.#queue.push({ buffer: slab.buffer, from, to, slab })
  }

  #makeRoom(draft: FrameDraft, bytes: number): Space {
    const used = draft.space === undefined ? FRAME_HEADER_BYTES : draft.at - draft.start
    const needed = used + bytes
    assert(needed <= FRAME_BYTES_LIMIT, 'a session checks its size before it asks for room', { needed })
    const atTip = draft.space === undefined || this.#owner === draft
    if (!atTip || needed > CLIENT_SLAB_BYTES) return this.#moveOut(draft, used, needed)
    if (this.#owner === draft) this.#nextSlab()
    else this.#freeTip(needed)
    this.#moveTo(draft, this.#slab, this.#slab.tip, used)
    this.#owner = draft
    return this.#slab
  }

  /** Gives the draft memory of its own, with room to grow. */
  #moveOut(draft: FrameDraft, used: number, needed: number): Space {
    const bytes = Math.min(FRAME_BYTES_LIMIT, Math.max(PRIVATE_BYTES_MIN, needed, 2 * used))
    const space = newSpace(Buffer.allocUnsafe(bytes))
    this.#moveTo(draft, space, 0, used)
    if (this.#owner === draft) this.#owner = undefined
    return space
  }

  #moveTo(draft: FrameDraft, space: Space, start: number, used: number): void {
    draft.space?.buffer.copy(space.buffer, start, draft.start, draft.start + used)
    draft.space = space
    draft.start = start
    draft.at = start + used
  }

  /** Makes the tip of the current slab free, with at least `bytes` behind it. */
  #freeTip(bytes: number): void {
    const owner = this.#owner
    if (owner !== undefined) this.#moveOut(owner, owner.at - owner.start, owner.at - owner.start)
    if (this.#slab.tip + bytes > CLIENT_SLAB_BYTES) this.#nextSlab()
  }

  #nextSlab(): void {
    const full = this.#slab
    this.#slab = this.#pool.pop() ?? newSlab()
    this.#slab.tip = 0
    if (full.references === 0) this.#keep(full)
  }

  #keep(slab: Slab): void {
    if (this.#pool.length < CLIENT_SLAB_POOL_COUNT) this.#pool.push(slab)
  }
}

function newSlab(): Slab {
  return { ...newSpace(Buffer.allocUnsafeSlow(CLIENT_SLAB_BYTES)), tip: 0, references: 0 }
}

function newSpace(buffer: Buffer): Space {
  return { buffer, view: new DataView(buffer.buffer, buffer.byteOffset, buffer.length) }
}
