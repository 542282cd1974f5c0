/**
 * What applications pass as an entry, and the checks of it. All of them run before the first byte is written, so an entry
 * that is refused leaves no trace.
 */
import type { Key, U64, Version } from '../protocol/entry-encoder.ts'
import { invalidValue } from './client-error.ts'

/** One operation of a session, as an application writes it. */
export type Entry<Value = Uint8Array> =
  | {
      readonly op: 'put'
      readonly storage: U64
      readonly key: Key
      readonly value: Value
      readonly version?: Version | undefined
    }
  | { readonly op: 'remove'; readonly storage: U64; readonly key: Key; readonly version?: Version | undefined }
  | {
      readonly op: 'add_storage' | 'remove_storage' | 'truncate_storage'
      readonly storage: U64
      readonly version?: Version | undefined
    }

const U64_MAX = 0xffff_ffff_ffff_ffffn
/** Half of a surrogate pair has no UTF-8 form; encoders write U+FFFD for it, so that two keys would become one. */
const LONE_SURROGATE = /\p{Surrogate}/u

export function checkU64(name: string, value: U64): void {
  if (typeof value === 'number' ? Number.isSafeInteger(value) && value >= 0 : isU64(value)) return
  throw invalidValue(
    `${name}: found ${String(value)}, expected an integer from 0 to 2^64 - 1 (a bigint above 2^53 - 1)`,
  )
}

function isU64(value: unknown): boolean {
  return typeof value === 'bigint' && value >= 0n && value <= U64_MAX
}

/** Bytes that `key` takes. @throws VALUE_INVALID */
export function keyLength(key: Key): number {
  if (key instanceof Uint8Array) return key.length
  if (typeof key !== 'string') throw invalidValue(`a key: found ${typeof key}, expected a Uint8Array or a string`)
  const bytes = Buffer.byteLength(key)
  if (bytes !== key.length && LONE_SURROGATE.test(key)) {
    throw invalidValue('a key: found half of a surrogate pair, which has no UTF-8 form; pass such a key as bytes')
  }
  return bytes
}

export function checkVersion(version: Version): void {
  checkU64('version.major', version.major)
  checkU64('version.minor', version.minor)
}
