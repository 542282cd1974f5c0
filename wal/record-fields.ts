/**
 * Typed fields of a small record (small-record.ts), or the typed error of its kind that names the field.
 *
 * Its CRC was right: a field that is wrong was written by a broken program, and is still no crash of ours.
 */
import { TravertineError } from '../protocol/errors.ts'
import { isUuid } from '../protocol/ids.ts'
import type { SmallRecordKind } from './small-record.ts'

export class RecordFields {
  readonly #value: Readonly<Record<string, unknown>>
  readonly #kind: SmallRecordKind

  constructor(value: Readonly<Record<string, unknown>>, kind: SmallRecordKind) {
    this.#value = value
    this.#kind = kind
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined && this.#value[name] !== null
  }

  /** As it is: for fields that somebody else checks. */
  value(name: string): unknown {
    return this.#value[name]
  }

  uuid(name: string): string {
    const value = this.text(name)
    return isUuid(value) ? value : this.wrong(name, 'a UUID')
  }

  text(name: string): string {
    const value = this.#value[name]
    return typeof value === 'string' && value.length > 0 ? value : this.wrong(name, 'a text')
  }

  flag(name: string): boolean {
    const value = this.#value[name]
    return typeof value === 'boolean' ? value : this.wrong(name, 'true or false')
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.text(name)
    return allowed.find((one) => one === value) ?? this.wrong(name, `one of ${allowed.join(', ')}`)
  }

  count(name: string, min: number, max: number): number {
    const value = this.#value[name]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    return this.wrong(name, `a whole number from ${min} to ${max}`)
  }

  u64(name: string): bigint {
    const value = this.#value[name]
    if (typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) < 1n << 64n) return BigInt(value)
    return this.wrong(name, 'a u64 as decimal text')
  }

  counts(name: string, length: number): number[] {
    const value = this.#value[name]
    const good =
      Array.isArray(value) && value.length === length && value.every((v) => Number.isSafeInteger(v) && v >= 0)
    return good ? value : this.wrong(name, `${length} positions`)
  }

  child(name: string): RecordFields {
    const value = this.#value[name]
    if (typeof value !== 'object' || value === null) return this.wrong(name, 'an object')
    return new RecordFields(value as Record<string, unknown>, this.#kind) // an object, just checked
  }

  list(name: string): RecordFields[] {
    const value = this.#value[name]
    if (!Array.isArray(value)) return this.wrong(name, 'a list')
    return value.map((_, i) => new RecordFields({ ...value }, this.#kind).child(String(i)))
  }

  wrong(name: string, expected: string): never {
    throw new TravertineError(
      this.#kind.corrupt,
      `Cannot read the ${this.#kind.kind}: found ${JSON.stringify(this.#value[name]) ?? 'nothing'} as ${name}, expected ${expected}`,
      { where: { file: this.#kind.file, key: name }, hint: this.#kind.hint },
    )
  }
}
