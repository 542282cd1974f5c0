/**
 * Reads the normative pages (docs/WAL_FORMAT.md, docs/PROTOCOL.md) the way tests need them: rules, tables that carry a
 * name, and worked examples with the table beside them.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from './repository-root.ts'

export const SPECIFICATIONS = ['WAL_FORMAT', 'PROTOCOL'] as const

export const readDocument = (name: string): string => readFileSync(join(repositoryRoot, 'docs', `${name}.md`), 'utf8')

/** Ids of the rules a page states, in its order: `**WAL-7** ...` at the begin of a paragraph. */
export function rulesOf(text: string): string[] {
  return [...text.matchAll(/^\*\*((?:WAL|REP)-\d+)\*\* /gm)].map((match) => match[1]!)
}

/** Ids of the rules a text names anywhere. */
export function rulesNamedIn(text: string): Set<string> {
  return new Set([...text.matchAll(/\b(?:WAL|REP)-\d+\b/g)].map((match) => match[0]))
}

export type Row = Readonly<Record<string, string>>

/** The table behind `<!-- table: NAME -->`, a row as an object by its column heads. */
export function tableOf(text: string, name: string): Row[] {
  const [, lines] = new RegExp(`^<!-- table: ${name} -->\n((?:\\|.*\n)+)`, 'm').exec(text) ?? []
  if (lines === undefined) throw new Error(`found no table "${name}"`)
  return parseTable(lines)
}

function parseTable(lines: string): Row[] {
  const [heads, , ...rows] = lines
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
  return rows.map((cells) => Object.fromEntries(heads!.map((head, i) => [head, cells[i] ?? ''])))
}

/** A worked example: the words of its info string, its text, and the table beside it. */
export interface Example {
  readonly language: string
  /** `example` is its name, `as` says how it is decoded. */
  readonly info: Readonly<Record<string, string>>
  readonly text: string
  /** field -> value, as written. */
  readonly fields: ReadonlyMap<string, string>
}

export function examplesOf(text: string): Example[] {
  const blocks = [...text.matchAll(/^```([a-z]+) (example=.+)\n([\s\S]*?)^```\n\n((?:\|.*\n)+)/gm)]
  const announced = text.split('\n').filter((line) => line.startsWith('```') && line.includes('example=')).length
  if (blocks.length !== announced)
    throw new Error(`found ${blocks.length} examples with a table, expected ${announced}`)
  return blocks.map(([, language, info, body, table]) => ({
    language: language!,
    info: Object.fromEntries(info!.split(' ').map((word) => word.split('=') as [string, string])), // name=value
    text: body!,
    fields: new Map(parseTable(table!).map((row) => [row['field']!, row['value']!])),
  }))
}

/** An object as the tables write it: one row per leaf, "12" for 12 and 12n, hex for bytes. */
export function flatten(value: unknown, path = ''): Map<string, string> {
  const leaf = leafText(value)
  if (leaf !== undefined) return new Map([[path, leaf]])
  const prefix = path === '' ? '' : `${path}.`
  const parts = Object.entries(value as object) // leafText has taken everything else
  if (parts.length === 0) return new Map([[path, '(empty)']])
  return new Map(parts.flatMap(([key, part]) => [...flatten(part, prefix + key)]))
}

function leafText(value: unknown): string | undefined {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex') || '(none)'
  if (value === '') return '(none)'
  return typeof value === 'object' && value !== null ? undefined : String(value)
}

/** A cell in the form of `flatten`: numbers may be written in hex. */
export const cellText = (cell: string): string => (/^0x[0-9a-f]+$/.test(cell) ? BigInt(cell).toString() : cell)
