/**
 * Reads the golden vectors of test/golden: an object and the bytes it has on disk or wire, with a comment per field.
 *
 * The form is explained at the head of each file. Objects are compared in a plain form in which u64 values are "12n" and
 * bytes are "hex:0aff", so that a number in place of a bigint is a difference.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from './repository-root.ts'

export interface Vector {
  /** File and name, for test names. */
  readonly name: string
  readonly type: string
  readonly given: Readonly<Record<string, unknown>>
  /** In the plain form. */
  readonly object: unknown
  readonly bytes: Buffer
}

export function readVectors(): Vector[] {
  const directory = join(repositoryRoot, 'test', 'golden')
  const files = readdirSync(directory).filter((name) => name.endsWith('.txt'))
  return files.sort().flatMap((name) => parseVectors(name, readFileSync(join(directory, name), 'utf8')))
}

export function vectorsOfType(type: string): Vector[] {
  return readVectors().filter((vector) => vector.type === type)
}

const VECTOR = /^vector (.+)\ntype (.+)\n(?:given (.+)\n)?object ([\s\S]+?)\nbytes\n([\s\S]*?)^end$/gm

function parseVectors(file: string, text: string): Vector[] {
  const vectors = [...text.matchAll(VECTOR)].map(([, name, type, given, object, lines]) => ({
    name: `${file.replace('.txt', '')}/${name}`,
    type: type!,
    given: JSON.parse(given ?? '{}') as Record<string, unknown>, // written as an object in every file
    object: JSON.parse(object!) as unknown,
    bytes: parseHexLines(lines!),
  }))
  const announced = text.split('\n').filter((line) => line === 'end').length
  if (vectors.length !== announced) throw new Error(`${file}: found ${vectors.length} vectors, expected ${announced}`)
  return vectors
}

/** Hex at the begin of each line; behind two spaces is comment. */
export function parseHexLines(lines: string): Buffer {
  const parts = lines.split('\n').map((line) =>
    line
      .trim()
      .split(/ {2,}|#/)[0]!
      .replaceAll(' ', ''),
  )
  const hex = parts.join('')
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw new Error(`found "${hex}", expected pairs of hex digits`)
  return Buffer.from(hex, 'hex')
}

/** bigint -> "12n", bytes -> "hex:0aff", in depth. */
export function toPlain(value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return value.map(toPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, toPlain(v)]))
}

/** The inverse of `toPlain`. */
export function fromPlain(value: unknown): unknown {
  if (typeof value === 'string' && /^\d+n$/.test(value)) return BigInt(value.slice(0, -1))
  if (typeof value === 'string' && value.startsWith('hex:')) return Buffer.from(value.slice(4), 'hex')
  if (Array.isArray(value)) return value.map(fromPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, fromPlain(v)]))
}
