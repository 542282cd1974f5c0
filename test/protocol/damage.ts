/**
 * Damage for decoders: every cut, every flipped bit; and the one thing that may come of it, a value or a typed error.
 */
import { type ErrorCode, TravertineError } from '../../protocol/errors.ts'

/** All proper prefixes, shortest first. */
export function* prefixes(bytes: Buffer): Generator<Buffer> {
  for (let length = 0; length < bytes.length; length++) yield Buffer.from(bytes.subarray(0, length))
}

/** All copies with one bit flipped. */
export function* flips(bytes: Buffer): Generator<{ readonly bytes: Buffer; readonly bit: number }> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes)
    copy[bit >> 3]! ^= 1 << (bit & 7)
    yield { bytes: copy, bit }
  }
}

/** Result of `act`: its value, or the code of the typed error that it threw. Any other error goes on: it is a defect. */
export function valueOrCode<T>(act: () => T): { readonly value: T } | { readonly code: ErrorCode } {
  try {
    return { value: act() }
  } catch (error) {
    if (error instanceof TravertineError) return { code: error.code }
    throw error
  }
}

/** Code of the typed error that `act` throws; 'none' when it returns. */
export function codeOf(act: () => unknown): ErrorCode | 'none' {
  const result = valueOrCode(act)
  return 'code' in result ? result.code : 'none'
}
