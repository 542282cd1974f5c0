/** Gives damaged bytes the lengths and CRCs that get them past the door (docs/WAL_FORMAT.md, docs/PROTOCOL.md). */
import { crc32 } from 'node:zlib'
import { type Given, seedOf } from './codecs.ts'

const FRAME_HEADER_BYTES = 72

export function repair(type: string, bytes: Buffer, given: Given): Buffer {
  if (type === 'frame') return repairFrame(bytes, seedOf(given))
  if (type.endsWith('message') && bytes.length >= 4) bytes.writeUInt32LE(bytes.length - 4, 0)
  return bytes
}

function repairFrame(bytes: Buffer, seed: number): Buffer {
  if (bytes.length <= FRAME_HEADER_BYTES) return bytes
  const body = bytes.subarray(FRAME_HEADER_BYTES)
  bytes.writeUInt32LE(body.length, 8)
  bytes.writeUInt32LE(crc32(body), 12)
  bytes.writeUInt32LE(crc32(bytes.subarray(4, FRAME_HEADER_BYTES), seed), 0)
  return bytes
}

/** Of a manifest or recovery point: the CRC of its second line stands at the end of the first one (WAL-60). */
export function repairRecord(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const begin = text.indexOf('\n') + 1
  const json = text.slice(begin, -1)
  const first = text
    .slice(0, Math.max(0, begin - 1))
    .split(' ')
    .slice(0, 3)
    .join(' ')
  const crc = crc32(Buffer.from(Buffer.from(json, 'latin1').toString('utf8')))
    .toString(16)
    .padStart(8, '0')
  return Buffer.from(`${first} ${crc}\n${json}\n`, 'latin1')
}
