/**
 * Sessions that can be known again in a log: every entry names its session, its own number, and what belongs to it.
 *
 * Keys and values have a fixed form, so that sessions of the same shape have the same size: after a cut the frames of
 * an older mastership and those of a younger one begin and end at the same positions, which is where a reader that
 * forgets the term would be fooled.
 */
import type { LoggedEntry } from '../../protocol/entry.ts'
import { naiveBody } from '../protocol/naive-body.ts'
import type { NaiveFrame } from '../sim/naive-reader.ts'
import type { SessionContent } from './client-history.ts'

export const STORAGE = 1n
/** entries, writer and number of the dependency: u32 each. */
const VALUE_HEAD_BYTES = 12
export const VALUE_BYTES_MIN = VALUE_HEAD_BYTES
const NO_WRITER = 0xffff_ffff

export interface ContentEntry {
  readonly key: string
  readonly value: Buffer
}

export function entriesOf(content: SessionContent): ContentEntry[] {
  return Array.from({ length: content.entries }, (_, i) => ({
    key: keyOf(content, i),
    value: valueBytesOf(content, i),
  }))
}

/** The content of a session frame, or what is wrong with it. */
export function contentOf(frame: NaiveFrame): SessionContent | string {
  const explicit = (frame.bytes.readUInt16LE(6) & 1) !== 0
  const entries = naiveBody(frame.body, explicit)
  const first = entries?.[0]
  if (entries === undefined || first?.op !== 'put') return 'its body cannot be read'
  const match = /^w(\d{5})\.n(\d{8})\.e00000$/.exec(first.key.toString())
  if (match === null || first.value.length < VALUE_HEAD_BYTES) return `its first key is ${first.key.toString()}`
  const value = Buffer.from(first.value)
  const writer = value.readUInt32LE(4)
  const content: SessionContent = {
    writer: Number(match[1]),
    n: Number(match[2]),
    entries: value.readUInt32LE(0),
    valueBytes: value.length,
    dependsOn: writer === NO_WRITER ? undefined : { writer, n: value.readUInt32LE(8) },
  }
  if (content.entries !== entries.length) return `it has ${entries.length} entries, expected ${content.entries}`
  const wrong = entries.findIndex((entry, i) => !isEntryOf(content, i, entry))
  return wrong === -1 ? content : `its entry ${wrong} is not the one that was written`
}

function isEntryOf(content: SessionContent, i: number, entry: LoggedEntry): boolean {
  return (
    entry.op === 'put' &&
    entry.storage === STORAGE &&
    Buffer.from(entry.key).toString() === keyOf(content, i) &&
    valueBytesOf(content, i).equals(entry.value)
  )
}

const digits = (value: number, count: number): string => String(value).padStart(count, '0')

const keyOf = ({ writer, n }: SessionContent, i: number): string =>
  `w${digits(writer, 5)}.n${digits(n, 8)}.e${digits(i, 5)}`

function valueBytesOf({ writer, n, entries, valueBytes, dependsOn }: SessionContent, i: number): Buffer {
  const value = Buffer.alloc(valueBytes, (writer * 131 + n * 31 + i * 7) & 0xff)
  value.writeUInt32LE(entries, 0)
  value.writeUInt32LE(dependsOn?.writer ?? NO_WRITER, 4)
  value.writeUInt32LE(dependsOn?.n ?? 0, 8)
  return value
}
