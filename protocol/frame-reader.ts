/**
 * Cuts a byte stream into frames without copying what arrived whole.
 *
 * A frame that lies inside one chunk is handed out as a place in that chunk. A frame that spans chunks is gathered once
 * into a buffer of its own length; the length is checked against the limit before anything is allocated. Header and body
 * CRC are checked here, once, for clients' frames and the master's alike (WAL-4, REP-24).
 *
 * An error is final: what follows a frame that was refused has lost its place, so every later `push` throws it again.
 */

import { asError, type ErrorPlace, TravertineError } from './errors.ts'
import { bodyCrcMatches, checkHeader, FRAME_HEADER_BYTES, HeaderOffset, headerError } from './frame.ts'
import { readU32 } from './unsigned.ts'

/** `buffer[at .. at + bytes)` is one whole frame with good CRCs. */
export type FrameSink = (buffer: Buffer, at: number, bytes: number) => void

export class FrameReader {
  readonly #seed: number
  readonly #where: ErrorPlace
  /** A frame of which only a part has arrived: header bytes first, then a buffer of the frame's own length. */
  #partial: Buffer | undefined
  #filled = 0
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES)
  /** Bytes of all frames handed out, and of what is pending: for error places. */
  #offset = 0
  #failed: Error | undefined

  constructor(seed: number, where: ErrorPlace) {
    this.#seed = seed
    this.#where = where
  }

  /** Bytes of an incomplete frame that wait for their rest. */
  get pendingBytes(): number {
    return this.#filled
  }

  /** @throws FRAME_CORRUPT, FRAME_VERSION_UNSUPPORTED, FRAME_KIND_UNKNOWN, FRAME_TOO_LARGE, FRAME_EMPTY */
  push(chunk: Buffer, sink: FrameSink): void {
    if (this.#failed !== undefined) throw this.#failed
    try {
      this.#cut(chunk, sink)
    } catch (error) {
      this.#failed = asError(error)
      throw error
    }
  }

  #cut(chunk: Buffer, sink: FrameSink): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#filled > 0) at = this.#gather(chunk, at, sink)
      else if (chunk.length - at < FRAME_HEADER_BYTES) at = this.#keepHeader(chunk, at)
      else {
        const bytes = this.#frameBytes(chunk, at)
        if (chunk.length - at < bytes) {
          this.#partial = Buffer.allocUnsafeSlow(bytes)
          this.#filled = chunk.copy(this.#partial, 0, at)
          return
        }
        this.#emit(chunk, at, bytes, sink)
        at += bytes
      }
    }
  }

  #keepHeader(chunk: Buffer, at: number): number {
    this.#filled = chunk.copy(this.#header, 0, at)
    return chunk.length
  }

  /** Adds to the pending frame; returns where the next one begins in `chunk`. */
  #gather(chunk: Buffer, from: number, sink: FrameSink): number {
    let at = from
    if (this.#partial === undefined) {
      const taken = Math.min(FRAME_HEADER_BYTES - this.#filled, chunk.length - at)
      chunk.copy(this.#header, this.#filled, at, at + taken)
      this.#filled += taken
      at += taken
      if (this.#filled < FRAME_HEADER_BYTES) return at
      this.#partial = Buffer.allocUnsafeSlow(this.#frameBytes(this.#header, 0))
      this.#header.copy(this.#partial)
    }
    const taken = Math.min(this.#partial.length - this.#filled, chunk.length - at)
    chunk.copy(this.#partial, this.#filled, at, at + taken)
    this.#filled += taken
    if (this.#filled === this.#partial.length) {
      const frame = this.#partial
      this.#partial = undefined
      this.#filled = 0
      this.#emit(frame, 0, frame.length, sink)
    }
    return at + taken
  }

  #frameBytes(buffer: Buffer, at: number): number {
    const fault = checkHeader(buffer, at, this.#seed)
    if (fault !== undefined) throw headerError(fault, buffer, at, { ...this.#where, offset: this.#offset })
    return FRAME_HEADER_BYTES + readU32(buffer, at + HeaderOffset.bodyLength)
  }

  #emit(buffer: Buffer, at: number, bytes: number, sink: FrameSink): void {
    if (!bodyCrcMatches(buffer, at, bytes - FRAME_HEADER_BYTES)) {
      throw new TravertineError('FRAME_CORRUPT', 'Cannot accept a frame: its body CRC does not match', {
        where: { ...this.#where, offset: this.#offset },
        hint: 'the bytes were damaged on the way, or by the sender',
      })
    }
    this.#offset += bytes
    sink(buffer, at, bytes)
  }
}
