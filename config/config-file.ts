/**
 * A TOML file as plain tables, and on which line a key stands.
 *
 * The parser tells the place of an error of syntax, and none of a good key whose value we do not like. That is found by
 * parsing longer and longer beginnings of the file: the first one that has the key ends with it. Exact by construction
 * for every way to write a key, and only done to report an error.
 */
import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { asError, TravertineError } from '../protocol/errors.ts'
import { CONFIG_BYTES_LIMIT } from '../protocol/limits.ts'

export type Table = Readonly<Record<string, unknown>>

/** @throws CONFIG_INVALID */
export function readConfigFile(file: string): string {
  const refuse = (found: string, cause?: unknown): TravertineError =>
    new TravertineError('CONFIG_INVALID', `Cannot read a configuration: found ${found}, expected a file of settings`, {
      where: { file },
      cause,
    })
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw refuse(asError(cause).message, cause)
  }
  if (text.length > CONFIG_BYTES_LIMIT) throw refuse(`${text.length} bytes`)
  return text
}

/** @throws CONFIG_INVALID with file and line */
export function parseToml(text: string, file: string): Table {
  try {
    return parse(text)
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const what = cause.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    throw new TravertineError(
      'CONFIG_INVALID',
      `Cannot read a configuration: found ${what} at column ${cause.column}, expected TOML`,
      { where: { file, line: cause.line }, cause },
    )
  }
}

/** Line, from 1, on which the statement that gives `path` begins. `text` parses, and has the path. */
export function lineOfKey(text: string, path: readonly string[]): number {
  const lines = text.split('\n')
  let begin = 1
  for (let count = 1; count < lines.length; count++) {
    const tables = parsedBeginning(lines.slice(0, count).join('\n'))
    if (tables === undefined) continue // in the middle of a statement of several lines
    if (has(tables, path)) return begin
    begin = count + 1
  }
  return begin
}

function parsedBeginning(text: string): Table | undefined {
  try {
    return parse(text)
  } catch (thrown) {
    if (thrown instanceof TomlError) return undefined
    throw thrown
  }
}

function has(tables: Table, path: readonly string[]): boolean {
  let at: unknown = tables
  for (const name of path) {
    if (!isTable(at) || !Object.hasOwn(at, name)) return false
    at = at[name]
  }
  return true
}

export const isTable = (value: unknown): value is Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
