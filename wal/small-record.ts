/**
 * Small text records with version and CRC: the manifest and the recovery points (WAL-60).
 *
 *   travertine KIND VERSION CRC32\n
 *   one JSON object\n
 *
 * The first line is the same in every version to come, so a newer version is told apart from damage. CRC32 is eight hex
 * digits over the bytes of the second line without its line feed. u64 values are decimal strings.
 */
import { crc32 } from 'node:zlib'
import { type ErrorCode, TravertineError } from '../protocol/errors.ts'

const HEADER = /^travertine ([a-z-]+) ([1-9]\d{0,8}) ([0-9a-f]{8})$/

export function encodeSmallRecord(kind: string, version: number, value: object): Buffer {
  const json = JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v))
  return Buffer.from(`travertine ${kind} ${version} ${hex8(crc32(json))}\n${json}\n`)
}

export interface SmallRecordKind {
  readonly kind: string
  readonly version: number
  readonly file: string
  readonly corrupt: ErrorCode
  /** What to do when the record is damaged. */
  readonly hint: string
}

/** @throws FORMAT_UNSUPPORTED for a newer version, `corrupt` for everything else that is wrong */
export function decodeSmallRecord(bytes: Buffer, expected: SmallRecordKind): Readonly<Record<string, unknown>> {
  const corrupt = (found: string): TravertineError =>
    new TravertineError(expected.corrupt, `Cannot read the ${expected.kind}: ${found}`, {
      where: { file: expected.file },
      hint: expected.hint,
    })
  const text = bytes.toString('utf8')
  const lineEnd = text.indexOf('\n')
  const header = HEADER.exec(text.slice(0, Math.max(lineEnd, 0)))
  if (header === null || header[1] !== expected.kind) throw corrupt(`found no "travertine ${expected.kind}" line`)
  const version = Number(header[2])
  if (version > expected.version) {
    throw new TravertineError(
      'FORMAT_UNSUPPORTED',
      `Cannot read the ${expected.kind}: found version ${version}, expected at most ${expected.version}`,
      { where: { file: expected.file }, hint: 'a newer program wrote this directory; use that version or a later one' },
    )
  }
  const json = text.slice(lineEnd + 1, -1)
  if (!text.endsWith('\n') || hex8(crc32(json)) !== header[3]) throw corrupt('its CRC does not match')
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown> // an object, just checked
  } catch {
    // falls through: JSON with a good CRC that does not parse was written by a broken program
  }
  throw corrupt('its second line is not a JSON object')
}

const hex8 = (crc: number): string => crc.toString(16).padStart(8, '0')
