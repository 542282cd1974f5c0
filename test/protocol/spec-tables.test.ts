/** Tables of the specifications against the program: layouts, kinds, codes, messages, limits. */
import t from 'tap'
import { ADDRESS_CHARS_LIMIT } from '../../protocol/address.ts'
import { CONFIG_HEAD_BYTES, FORMAT_LEVEL, MEMBER_HEAD_BYTES } from '../../protocol/cluster-config.ts'
import { MESSAGE_FIELDS } from '../../protocol/control-message.ts'
import { EntryCode, PUT_OVERHEAD_BYTES, REMOVE_OVERHEAD_BYTES, STORAGE_ENTRY_BYTES } from '../../protocol/entry.ts'
import { FRAME_HEADER_BYTES, FRAME_KINDS_READ, FrameKind, HeaderOffset } from '../../protocol/frame.ts'
import * as limits from '../../protocol/limits.ts'
import { LOG_REPLY_HEAD_BYTES, ReplyType } from '../../protocol/log-reply.ts'
import { MARK_BODY_BYTES, SEAL_BODY_BYTES } from '../../protocol/seal.ts'
import { type Row, readDocument, tableOf } from './spec-document.ts'

const wal = readDocument('WAL_FORMAT')
const protocol = readDocument('PROTOCOL')
const column = (rows: readonly Row[], name: string): string[] => rows.map((row) => row[name]!)

/** Rows lie one behind the other; returns where the last one ends. */
function endOf(t: { equal(a: unknown, b: unknown): boolean }, rows: readonly Row[]): number {
  let end = 0
  for (const row of rows) {
    t.equal(Number(row['offset']), end)
    end += Number(row['size'])
  }
  return end
}

t.test('WAL-2: the header is the one of the table', (t) => {
  const rows = tableOf(wal, 'header')
  t.same(Object.fromEntries(rows.map((row) => [row['field'], Number(row['offset'])])), HeaderOffset)
  t.equal(endOf(t, rows), FRAME_HEADER_BYTES)
  t.end()
})

t.test('WAL-6: kinds', (t) => {
  const rows = tableOf(wal, 'kinds')
  t.same(Object.fromEntries(rows.map((row) => [row['name'], Number(row['kind'])])), FrameKind)
  const read = rows.filter((row) => row['read by this version'] === 'yes').map((row) => Number(row['kind']))
  t.same(read, [...FRAME_KINDS_READ])
  t.end()
})

t.test('WAL-21: entries', (t) => {
  const rows = tableOf(wal, 'entries')
  t.same(Object.fromEntries(rows.map((row) => [row['name']!.toUpperCase(), Number(row['code'])])), EntryCode)
  const sizes = [
    PUT_OVERHEAD_BYTES,
    REMOVE_OVERHEAD_BYTES,
    STORAGE_ENTRY_BYTES,
    STORAGE_ENTRY_BYTES,
    STORAGE_ENTRY_BYTES,
  ]
  t.same(column(rows, 'bytes without key and value').map(Number), sizes)
  const widths = rows.map((row) =>
    [...row['after the code byte']!.matchAll(/u(\d+)/g)].reduce((sum, [, bits]) => sum + Number(bits) / 8, 1),
  )
  t.same(widths, sizes, 'the fields add up')
  t.end()
})

t.test('WAL-30 WAL-35: bodies of SEAL and MARK', (t) => {
  t.equal(endOf(t, tableOf(wal, 'seal')), SEAL_BODY_BYTES)
  t.equal(endOf(t, tableOf(wal, 'mark')), MARK_BODY_BYTES)
  t.end()
})

t.test('WAL-37 WAL-38: heads of a CONFIG body and of its members', (t) => {
  t.equal(endOf(t, tableOf(wal, 'config')), CONFIG_HEAD_BYTES)
  t.equal(endOf(t, tableOf(wal, 'member')), MEMBER_HEAD_BYTES)
  t.match(tableOf(wal, 'config')[0]?.['meaning'], `in use: ${FORMAT_LEVEL} `)
  t.match(wal, `one of more than ${ADDRESS_CHARS_LIMIT} characters`)
  t.end()
})

t.test('REP-11 REP-13: messages and the kinds of their fields', (t) => {
  const fields = (text: string): Record<string, string> =>
    Object.fromEntries(
      text
        .split(', ')
        .filter(Boolean)
        .map((field) => field.split(': ') as [string, string]),
    ) // name: kind
  const rows = tableOf(protocol, 'messages')
  t.strictSame(Object.fromEntries(rows.map((row) => [row['type'], fields(row['fields']!)])), MESSAGE_FIELDS)
  t.same(column(rows, 'type'), Object.keys(MESSAGE_FIELDS), 'in the same order')
  const used = new Set(Object.values(MESSAGE_FIELDS).flatMap((kinds) => Object.values(kinds)))
  t.same(new Set(column(tableOf(protocol, 'kinds'), 'kind')), used, 'every kind is explained')
  t.end()
})

t.test('REP-30: the head of a reply', (t) => {
  const rows = tableOf(protocol, 'reply head')
  t.equal(endOf(t, rows), LOG_REPLY_HEAD_BYTES)
  const types = Object.keys(ReplyType).map((name) => [name, Number(rows[0]![name])])
  t.same(Object.fromEntries(types), ReplyType)
  t.end()
})

t.test('REP-43: limits', (t) => {
  const all = limits as Readonly<Record<string, unknown>> // looked up by the names in the table
  for (const row of tableOf(protocol, 'limits'))
    t.equal(Number(row['value']!.replaceAll(',', '')), all[row['constant']!], row['limit']!)
  t.end()
})
