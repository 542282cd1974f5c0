/**
 * The client's fast encoder against the reference of protocol/entry.ts: the same bytes for every entry.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  checkU64,
  keyLength,
  type Space,
  writePut,
  writeRemove,
  writeStorageEntry,
} from '../../client/entry-encoder.ts'
import { type Entry, EntryCode, encodeEntry, entryBytes } from '../../protocol/entry.ts'

const u64 = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 64n - 1n))
const bytes = fc.uint8Array({ maxLength: 100 })
/** A key as bytes, and as the application may write it. */
const key = fc.oneof(
  bytes.map((value) => ({ given: value as string | Uint8Array, value })), // the union of both forms
  fc.string({ unit: 'grapheme', maxLength: 50 }).map((given) => ({ given, value: Buffer.from(given) })),
)
const version = fc.option(fc.record({ major: u64, minor: u64 }), { nil: undefined })
const AT = 7

/** Small integers are given as numbers half of the time. */
const asGiven = (value: bigint): bigint | number =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value % 2n === 0n ? Number(value) : value

function space(): Space {
  const buffer = Buffer.alloc(512, 0xee) // slabs are used again: nothing may rely on zeros
  return { buffer, view: new DataView(buffer.buffer, buffer.byteOffset, buffer.length) }
}

/** What `write` has written between AT and where it says it ended; a byte outside is a failure. */
function written(write: (space: Space) => number): Buffer {
  const target = space()
  const end = write(target)
  const outside = Buffer.concat([target.buffer.subarray(0, AT), target.buffer.subarray(end)])
  if (outside.some((byte) => byte !== 0xee)) throw new Error('written outside of the entry')
  return target.buffer.subarray(AT, end)
}

function reference(entry: Entry): Buffer {
  const target = Buffer.alloc(entryBytes(entry))
  encodeEntry(target, 0, entry)
  return target
}

t.test('put', async (t) => {
  fc.assert(
    fc.property(u64, key, bytes, version, (storage, { given, value: keyBytes }, value, v) => {
      const put = { storage: asGiven(storage), key: given, keyBytes: keyLength(given), value }
      const given2 = v && { major: asGiven(v.major), minor: asGiven(v.minor) }
      const found = written((target) => writePut(target, AT, { ...put, version: given2 }))
      const expected = reference({ op: 'put', storage, key: keyBytes, value, ...(v && { version: v }) })
      return found.equals(expected)
    }),
    { numRuns: 2_000 },
  )
  t.pass('2000 puts')
})

t.test('remove', async (t) => {
  fc.assert(
    fc.property(u64, key, version, (storage, { given, value: keyBytes }, v) => {
      const remove = { storage: asGiven(storage), key: given, keyBytes: keyLength(given), version: v }
      const found = written((target) => writeRemove(target, AT, remove))
      return found.equals(reference({ op: 'remove', storage, key: keyBytes, ...(v && { version: v }) }))
    }),
    { numRuns: 1_000 },
  )
  t.pass('1000 removes')
})

t.test('storage entries', async (t) => {
  const codes = {
    add_storage: EntryCode.ADD_STORAGE,
    remove_storage: EntryCode.REMOVE_STORAGE,
    truncate_storage: EntryCode.TRUNCATE_STORAGE,
  } as const
  const op = fc.constantFrom('add_storage', 'remove_storage', 'truncate_storage')
  fc.assert(
    fc.property(op, u64, version, (name, storage, v) => {
      const entry = { code: codes[name], storage: asGiven(storage), version: v }
      const found = written((target) => writeStorageEntry(target, AT, entry))
      return found.equals(reference({ op: name, storage, ...(v && { version: v }) }))
    }),
    { numRuns: 500 },
  )
  t.pass('500 entries')
})

t.test('what is no u64 is refused, what is one is not', async (t) => {
  for (const value of [0, 1, 2 ** 53 - 1, 0n, 2n ** 64n - 1n]) t.doesNotThrow(() => checkU64('x', value))
  for (const value of [-0.5, -1, 2 ** 53, Number.NaN, -1n, 2n ** 64n]) {
    t.throws(() => checkU64('x', value), { code: 'VALUE_INVALID', message: /x: found/ })
  }
})
