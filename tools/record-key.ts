/**
 * The key of a record: the bytes of one of its fields. Two different records never get one key by a conversion here:
 * what cannot be told apart exactly is refused.
 */
import { isUtf8 } from 'node:buffer'

/** Why a record has no key; completes "Cannot load line 7: found ..., expected ..." */
export interface KeyFault {
  readonly found: string
  readonly expected: string
}

export type KeyResult =
  | { readonly key: string; readonly fault?: never }
  | { readonly fault: KeyFault; readonly key?: never }

const CHARS_SHOWN = 80

/** @param field name of the field; not a path */
export function recordKey(bytes: Buffer, field: string): KeyResult {
  // two broken texts would both read as U+FFFD
  if (!isUtf8(bytes)) return fault('bytes that are not UTF-8', 'a JSON object')
  let record: unknown
  try {
    record = JSON.parse(bytes.toString('utf8'))
  } catch (thrown) {
    return fault(`no JSON (${thrown instanceof Error ? thrown.message : String(thrown)})`, 'a JSON object')
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record))
    return fault(kindOf(record), 'a JSON object')
  const value: unknown = Object.hasOwn(record, field) ? (record as Record<string, unknown>)[field] : undefined // an object, just checked
  const expected = `a text or a number in the field ${JSON.stringify(field)}`
  switch (typeof value) {
    case 'undefined':
      return fault('no such field', expected)
    case 'string':
      // UTF-8 has no form for half a surrogate pair: they would all become U+FFFD
      return /\p{Surrogate}/u.test(value) ? fault('a text with half a surrogate pair', expected) : { key: value }
    case 'number':
      if (Number.isInteger(value) && !Number.isSafeInteger(value))
        return fault('a whole number beyond 2^53', `${expected}; write it as a text`)
      return { key: String(value) }
    default:
      return fault(kindOf(value), expected)
  }
}

const fault = (found: string, expected: string): KeyResult => ({
  fault: { found: found.slice(0, CHARS_SHOWN), expected },
})

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
