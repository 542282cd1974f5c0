/**
 * Values as the application has them, and as bytes in an entry. The log knows bytes only.
 *
 * msgpack without records: any msgpack reader of any language understands the bytes, and each value stands alone.
 */
import { Packr } from 'msgpackr'
import { invalidValue } from './client-error.ts'
import type { ValueMode } from './options.ts'

export type ValueEncoder = (value: unknown) => Uint8Array

const packr = new Packr({ useRecords: false })

export function valueEncoder(mode: ValueMode): ValueEncoder {
  return mode === 'bytes' ? asBytes : packValue
}

/** Reads a value that was written with `values: 'msgpack'`. */
export function decodeValue(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes)
  } catch (error) {
    throw invalidValue('the value: its bytes are not one msgpack value', error)
  }
}

function asBytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw invalidValue(`a value: found ${typeof value}, expected a Uint8Array; connect with values: 'msgpack' for others`)
}

function packValue(value: unknown): Uint8Array {
  // msgpackr would write `undefined` for it, without a word
  if (typeof value === 'function') throw invalidValue('a value: found a function, expected what msgpack can hold')
  try {
    return packr.pack(value)
  } catch (error) {
    throw invalidValue('a value: msgpack cannot hold it', error)
  }
}
