/**
 * Entries: the operations inside the body of an ENTRIES frame, laid out as in Limestone's files, so that an export
 * copies bodies. Little-endian (WAL-20 and following).
 *
 *   code name             after the code byte
 *     01 put              u32 keyLen, u32 valLen, u64 storage, key, u64 major, u64 minor, value
 *     05 remove           u32 keyLen, u64 storage, key, u64 major, u64 minor
 *     07 truncate_storage u64 storage, u64 major, u64 minor
 *     08 add_storage      u64 storage, u64 major, u64 minor
 *     09 remove_storage   u64 storage, u64 major, u64 minor
 *
 * Where the frame has no FLAG_EXPLICIT_VERSIONS, major and minor are zero in the body, and derived on reading:
 * major = epoch of the frame, minor = firstMinor of the frame + index of the entry.
 */

import { assertNever } from './assert.ts'
import { type ErrorPlace, TravertineError } from './errors.ts'
import { SESSION_ENTRIES_LIMIT } from './limits.ts'
import { readU32 } from './unsigned.ts'

export const EntryCode = { PUT: 1, REMOVE: 5, TRUNCATE_STORAGE: 7, ADD_STORAGE: 8, REMOVE_STORAGE: 9 } as const

export const PUT_OVERHEAD_BYTES = 33
export const REMOVE_OVERHEAD_BYTES = 29
export const STORAGE_ENTRY_BYTES = 25

/** For one key the highest write version wins, compared unsigned: major first, then minor. */
export interface WriteVersion {
  readonly major: bigint
  readonly minor: bigint
}

export type Entry =
  | {
      readonly op: 'put'
      readonly storage: bigint
      readonly key: Uint8Array
      readonly value: Uint8Array
      readonly version?: WriteVersion
    }
  | { readonly op: 'remove'; readonly storage: bigint; readonly key: Uint8Array; readonly version?: WriteVersion }
  | {
      readonly op: 'truncate_storage' | 'add_storage' | 'remove_storage'
      readonly storage: bigint
      readonly version?: WriteVersion
    }

export function entryBytes(entry: Entry): number {
  switch (entry.op) {
    case 'put':
      return PUT_OVERHEAD_BYTES + entry.key.length + entry.value.length
    case 'remove':
      return REMOVE_OVERHEAD_BYTES + entry.key.length
    case 'truncate_storage':
    case 'add_storage':
    case 'remove_storage':
      return STORAGE_ENTRY_BYTES
    default:
      return assertNever(entry)
  }
}

/** What one walk over a body finds. */
export interface BodySummary {
  readonly entryCount: number
  /** Highest explicit major; 0 where versions are derived. */
  readonly majorMax: bigint
}

/**
 * Walks the entry headers of the body `buffer[from..to)` once, without decoding values: codes, lengths, versions.
 * A body that cannot be applied must never become durable, so everything a reader relies on is checked here.
 *
 * @param explicitVersions the frame's FLAG_EXPLICIT_VERSIONS
 * @throws ENTRY_MALFORMED with the offset of the entry within the body
 */
export function walkBody(
  buffer: Buffer,
  from: number,
  to: number,
  explicitVersions: boolean,
  where: ErrorPlace,
): BodySummary {
  let at = from
  let entryCount = 0
  let majorMax = 0n
  while (at < to) {
    const versionAt = versionOffset(buffer, at, to, from, where)
    if (versionAt + 16 > to) throw malformed(at - from, 'the entry ends beyond the body', where)
    if (explicitVersions) {
      const major = buffer.readBigUInt64LE(versionAt)
      if (major > majorMax) majorMax = major
    } else if (!allZero16(buffer, versionAt)) {
      throw malformed(at - from, 'found a write version, expected zero without the explicit-versions flag', where)
    }
    const end = buffer[at] === EntryCode.PUT ? versionAt + 16 + readU32(buffer, at + 5) : versionAt + 16
    if (end > to) throw malformed(at - from, 'the value ends beyond the body', where)
    at = end
    entryCount++
  }
  if (entryCount > SESSION_ENTRIES_LIMIT) {
    throw malformed(0, `found ${entryCount} entries, expected at most ${SESSION_ENTRIES_LIMIT}`, where)
  }
  return { entryCount, majorMax }
}

/** Offset of the 16 version bytes of the entry at `at`, which may lie beyond `to`: the caller checks. */
function versionOffset(buffer: Buffer, at: number, to: number, from: number, where: ErrorPlace): number {
  switch (buffer[at]) {
    case EntryCode.PUT:
      if (at + 17 > to) throw malformed(at - from, 'the entry header is cut off', where)
      return at + 17 + readU32(buffer, at + 1)
    case EntryCode.REMOVE:
      if (at + 13 > to) throw malformed(at - from, 'the entry header is cut off', where)
      return at + 13 + readU32(buffer, at + 1)
    case EntryCode.TRUNCATE_STORAGE:
    case EntryCode.ADD_STORAGE:
    case EntryCode.REMOVE_STORAGE:
      return at + 9
    default:
      throw malformed(at - from, `found entry code ${buffer[at]}, expected 1, 5, 7, 8 or 9`, where)
  }
}

function allZero16(buffer: Buffer, at: number): boolean {
  return (readU32(buffer, at) | readU32(buffer, at + 4) | readU32(buffer, at + 8) | readU32(buffer, at + 12)) === 0
}

function malformed(offset: number, what: string, where: ErrorPlace): TravertineError {
  return new TravertineError('ENTRY_MALFORMED', `Cannot accept a session: ${what}`, {
    where: { ...where, offset },
    hint: 'encode sessions with the client library',
  })
}

const OP_OF_CODE = { 7: 'truncate_storage', 8: 'add_storage', 9: 'remove_storage' } as const

/** An entry as read from a log: its version is always present. */
export type LoggedEntry = Entry & { readonly version: WriteVersion }

/**
 * Decodes a body that `walkBody` accepted. Keys and values are views into `body`.
 *
 * @param derive version of entry 0 where versions are derived; undefined where they are explicit
 */
export function* decodeEntries(body: Buffer, derive: WriteVersion | undefined): Generator<LoggedEntry> {
  let at = 0
  for (let index = 0n; at < body.length; index++) {
    const code = body[at]
    const read = (offset: number): WriteVersion =>
      derive === undefined
        ? { major: body.readBigUInt64LE(offset), minor: body.readBigUInt64LE(offset + 8) }
        : { major: derive.major, minor: BigInt.asUintN(64, derive.minor + index) }
    if (code === EntryCode.PUT) {
      const keyEnd = at + 17 + body.readUInt32LE(at + 1)
      const end = keyEnd + 16 + body.readUInt32LE(at + 5)
      yield {
        op: 'put',
        storage: body.readBigUInt64LE(at + 9),
        key: body.subarray(at + 17, keyEnd),
        value: body.subarray(keyEnd + 16, end),
        version: read(keyEnd),
      }
      at = end
    } else if (code === EntryCode.REMOVE) {
      const keyEnd = at + 13 + body.readUInt32LE(at + 1)
      yield {
        op: 'remove',
        storage: body.readBigUInt64LE(at + 5),
        key: body.subarray(at + 13, keyEnd),
        version: read(keyEnd),
      }
      at = keyEnd + 16
    } else {
      // walkBody has accepted the body: only the three storage codes are left
      const op = OP_OF_CODE[code as keyof typeof OP_OF_CODE]
      yield { op, storage: body.readBigUInt64LE(at + 1), version: read(at + 9) }
      at += STORAGE_ENTRY_BYTES
    }
  }
}
