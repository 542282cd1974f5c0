/**
 * Counts whole frames in a byte stream by the length field of the 72-byte header, and cuts the stream where the last
 * whole frame ends. Chunks are handed on as views; nothing is copied except a header that two chunks share.
 */
import { FRAME_HEADER_BYTES, HeaderOffset } from '../protocol/frame.ts'

export class FloorSessionCounter {
  /** Frames seen whole since the connection was opened: the producer sequence of the last one. */
  sequence = 0
  /** Bytes of a frame that is not whole yet. */
  #partial: Buffer[] = []
  #partialBytes = 0
  /** Bytes still missing of that frame; 0 when its header is not whole either. */
  #missing = 0

  /** Adds all parts of frames that `chunk` completes to `target`; returns their bytes. */
  push(chunk: Buffer, target: Buffer[]): number {
    let start = 0
    let taken = 0
    if (this.#partialBytes > 0) {
      if (this.#missing === 0 && !this.#completeHeader(chunk)) return 0
      if (this.#missing > chunk.length) {
        this.#keep(chunk)
        this.#missing -= chunk.length
        return 0
      }
      start = this.#missing
      taken = this.#partialBytes
      target.push(...this.#partial)
      this.#partial = []
      this.#partialBytes = 0
      this.#missing = 0
      this.sequence++
    }
    const end = this.#walk(chunk, start)
    if (end > 0) target.push(end === chunk.length ? chunk : chunk.subarray(0, end))
    if (end < chunk.length) this.#keep(chunk.subarray(end))
    return taken + end
  }

  /** Returns where the last whole frame ends; sets what is missing of the next one. */
  #walk(chunk: Buffer, from: number): number {
    let at = from
    while (chunk.length - at >= FRAME_HEADER_BYTES) {
      const next = at + FRAME_HEADER_BYTES + chunk.readUInt32LE(at + HeaderOffset.bodyLength)
      if (next > chunk.length) {
        this.#missing = next - chunk.length
        return at
      }
      at = next
      this.sequence++
    }
    return at
  }

  /** A header lies across chunks: joins the parts, for its length. */
  #completeHeader(chunk: Buffer): boolean {
    if (this.#partialBytes + chunk.length < FRAME_HEADER_BYTES) {
      this.#keep(chunk)
      return false
    }
    const header = Buffer.concat([...this.#partial, chunk.subarray(0, FRAME_HEADER_BYTES)], FRAME_HEADER_BYTES)
    this.#missing = FRAME_HEADER_BYTES + header.readUInt32LE(HeaderOffset.bodyLength) - this.#partialBytes
    return true
  }

  #keep(part: Buffer): void {
    this.#partial.push(part)
    this.#partialBytes += part.length
  }
}
