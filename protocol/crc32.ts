/**
 * CRC-32 (the one of zip and PNG) over a range of bytes.
 *
 * zlib's is the fastest for long ranges, but a call of it, with the view that it wants, costs more than the 68 bytes of a
 * frame header: below a limit the sum is made here, eight bytes at a time, each through a table of its own.
 */
import { crc32 } from 'node:zlib'

/** Measured: from about this length on the call pays. */
const NATIVE_BYTES_MIN = 224
const POLYNOMIAL = 0xedb88320

/** `Tk[b]`: what byte `b` contributes when `k` more bytes follow it in its group of eight. */
const T0 = Int32Array.from({ length: 256 }, (_, byte) => afterByte(byte))
const T1 = withOneMore(T0)
const T2 = withOneMore(T1)
const T3 = withOneMore(T2)
const T4 = withOneMore(T3)
const T5 = withOneMore(T4)
const T6 = withOneMore(T5)
const T7 = withOneMore(T6)

/** CRC-32 of `bytes[from .. to)`, continued from `seed`, the CRC-32 of what stands before. */
export function crc32Of(bytes: Uint8Array, from: number, to: number, seed = 0): number {
  if (to - from >= NATIVE_BYTES_MIN) return crc32(bytes.subarray(from, to), seed)
  let crc = ~seed
  let at = from
  for (; at + 8 <= to; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      T7[low & 0xff]! ^
      T6[(low >>> 8) & 0xff]! ^
      T5[(low >>> 16) & 0xff]! ^
      T4[low >>> 24]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = T0[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

function afterByte(byte: number): number {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
  return crc
}

function withOneMore(table: Int32Array): Int32Array {
  return table.map((crc) => T0[crc & 0xff]! ^ (crc >>> 8))
}
