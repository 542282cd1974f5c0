/**
 * CRC-32 bit by bit, straight from its definition (WAL-3): polynomial 0x04C11DB7 reflected, register preset to ones and
 * inverted at the end. Slow and obviously right; tests compare the shipped, native one with it and patch headers by it.
 */
import { FRAME_HEADER_BYTES } from '../../protocol/frame.ts'

/** @param seed CRC of the bytes that come before */
export function naiveCrc32(bytes: Uint8Array, seed = 0): number {
  let register = ~seed
  for (const byte of bytes) {
    register ^= byte
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0)
  }
  return ~register >>> 0
}

/** Makes the header CRC at the begin of `frame` right again after a test has changed the header. */
export function reseal(frame: Buffer, seed: number): Buffer {
  frame.writeUInt32LE(naiveCrc32(frame.subarray(4, FRAME_HEADER_BYTES), seed), 0)
  return frame
}
