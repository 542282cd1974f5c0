/** What the encoder writes, read back by the naive reading of WAL-20: the same entry, and no byte outside of it. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { type Entry, EntryCode, entryBytes } from '../../protocol/entry.ts'
import {
  encodeEntry,
  type Space,
  spaceOf,
  writePut,
  writeRemove,
  writeStorageEntry,
} from '../../protocol/entry-encoder.ts'
import { naiveBody } from './naive-body.ts'

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

/** What `write` has written between AT and where it says it ended; a byte outside is a failure. */
function written(write: (space: Space) => number): Buffer {
  const target = spaceOf(Buffer.alloc(512, 0xee)) // slabs are used again: nothing may rely on zeros
  const end = write(target)
  const outside = Buffer.concat([target.buffer.subarray(0, AT), target.buffer.subarray(end)])
  if (outside.some((byte) => byte !== 0xee)) throw new Error('written outside of the entry')
  return target.buffer.subarray(AT, end)
}

/** Is it one entry, this one? */
function isEntry(found: Buffer, expected: Entry): boolean {
  const [entry, ...rest] = naiveBody(found, true) ?? []
  if (entry === undefined || rest.length > 0) return false
  const plain = (e: Entry): unknown => ({
    ...e,
    ...('key' in e && { key: Buffer.from(e.key).toString('hex') }),
    ...('value' in e && { value: Buffer.from(e.value).toString('hex') }),
    version: { major: 0n, minor: 0n, ...e.version },
  })
  return isDeepStrictEqual(plain(entry), plain(expected))
}

/** The form for who has no space at hand writes the same bytes. */
function isEncoded(found: Buffer, entry: Entry): boolean {
  const target = Buffer.alloc(entryBytes(entry))
  return encodeEntry(target, 0, entry) === target.length && target.equals(found)
}

t.test('put', async (t) => {
  fc.assert(
    fc.property(u64, key, bytes, version, (storage, { given, value: keyBytes }, value, v) => {
      const put = { storage: asGiven(storage), key: given, keyBytes: keyBytes.length, value }
      const given2 = v && { major: asGiven(v.major), minor: asGiven(v.minor) }
      const found = written((target) => writePut(target, AT, { ...put, version: given2 }))
      const expected: Entry = { op: 'put', storage, key: keyBytes, value, ...(v && { version: v }) }
      return isEntry(found, expected) && isEncoded(found, expected)
    }),
    { numRuns: 2_000 },
  )
  t.pass('2000 puts')
})

t.test('remove', async (t) => {
  fc.assert(
    fc.property(u64, key, version, (storage, { given, value: keyBytes }, v) => {
      const remove = { storage: asGiven(storage), key: given, keyBytes: keyBytes.length, version: v }
      const found = written((target) => writeRemove(target, AT, remove))
      const expected: Entry = { op: 'remove', storage, key: keyBytes, ...(v && { version: v }) }
      return isEntry(found, expected) && isEncoded(found, expected)
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
      const expected: Entry = { op: name, storage, ...(v && { version: v }) }
      return isEntry(found, expected) && isEncoded(found, expected)
    }),
    { numRuns: 500 },
  )
  t.pass('500 entries')
})
