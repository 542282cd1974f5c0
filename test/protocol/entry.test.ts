/** Entries: the walk over a body and the decoder, on good, damaged and random bytes (docs/WAL_FORMAT.md, chapter 2). */
import fc from 'fast-check'
import t from 'tap'
import { type BodySummary, decodeEntries, type Entry, entryBytes, walkBody } from '../../protocol/entry.ts'
import { SESSION_BYTES_LIMIT, SESSION_ENTRIES_LIMIT } from '../../protocol/limits.ts'
import { encodeBody } from './codecs.ts'
import { codeOf, flips, prefixes, valueOrCode } from './damage.ts'
import { readVectors, toPlain } from './golden-file.ts'
import { naiveBody } from './naive-body.ts'

const vectors = readVectors().filter((v) => v.type === 'entry' || v.type === 'body')
const isExplicit = (given: Readonly<Record<string, unknown>>): boolean => given['explicit'] === true
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constant(new Uint8Array(0)),
  fc.constant(new Uint8Array(9).fill(255)),
)
const version = fc.record({ major: u64, minor: u64 })

const entryWith = (v: fc.Arbitrary<Pick<Entry, 'version'>>): fc.Arbitrary<Entry> =>
  fc
    .oneof(
      fc.tuple(fc.record({ op: fc.constant('put' as const), storage: u64, key: bytes, value: bytes }), v),
      fc.tuple(fc.record({ op: fc.constant('remove' as const), storage: u64, key: bytes }), v),
      fc.tuple(
        fc.record({
          op: fc.constantFrom('truncate_storage' as const, 'add_storage' as const, 'remove_storage' as const),
          storage: u64,
        }),
        v,
      ),
    )
    .map(([entry, extra]) => ({ ...entry, ...extra }) as Entry) // each pair is one of the union's members

const explicitEntries = fc.array(entryWith(version.map((v) => ({ version: v }))), { minLength: 1, maxLength: 6 })
const derivedEntries = fc.array(entryWith(fc.constant({})), { minLength: 1, maxLength: 6 })

/** Changes that keep a body close to a good one: lengths, codes and versions go wrong more often than in noise. */
const seldom = { freq: 4, nil: undefined } as const
const change = fc.record({
  at: fc.nat(),
  byte: fc.constantFrom(0, 1, 5, 7, 8, 9, 255),
  keep: fc.option(fc.constant(true), seldom), // of the old end; without it the body is cut
  cut: fc.nat(),
  more: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
})

interface Change {
  readonly at: number
  readonly byte: number
  readonly keep: true | undefined
  readonly cut: number
  readonly more: boolean
}

function changed(body: Buffer, { at, byte, keep, cut, more }: Change): Buffer {
  const copy = Buffer.from(body)
  copy[at % copy.length] = byte
  const end = keep ? copy.length : cut % (copy.length + 1)
  return more ? Buffer.concat([copy.subarray(0, end), Buffer.from([byte])]) : copy.subarray(0, end)
}

/**
 * Walks `body` at the end of a buffer, and in the middle of a larger one: a walk that leaves its bounds meets the end of
 * memory there, and bytes that look like entries here. Both must say the same.
 */
function walk(body: Buffer, explicit: boolean): BodySummary {
  const alone = valueOrCode(() => walkBody(Buffer.from(body), 0, body.length, explicit, {}))
  const inside = valueOrCode(() => walkInside(body, explicit))
  if (JSON.stringify(toPlain(alone)) !== JSON.stringify(toPlain(inside))) throw new Error('the place of a body matters')
  return walkInside(body, explicit)
}

function walkInside(body: Buffer, explicit: boolean): BodySummary {
  const around = encodeBody([
    { op: 'put', storage: 1n, key: Buffer.alloc(3), value: Buffer.alloc(3), version: { major: 9n, minor: 9n } },
  ])
  return walkBody(Buffer.concat([around, body, around]), around.length, around.length + body.length, explicit, {})
}

function agrees(body: Buffer, explicit: boolean): boolean {
  const expected = naiveBody(body, explicit)
  const result = valueOrCode(() => walk(body, explicit))
  if (expected === undefined) return 'code' in result && result.code === 'ENTRY_MALFORMED'
  const majorMax = explicit ? expected.reduce((max, e) => (e.version.major > max ? e.version.major : max), 0n) : 0n
  if (!('value' in result) || result.value.entryCount !== expected.length || result.value.majorMax !== majorMax)
    return false
  const decoded = [...decodeEntries(body, undefined)]
  return encodeBody(decoded).equals(body) && encodeBody(expected).equals(body)
}

t.test('WAL-20 WAL-21 WAL-22 WAL-23: walkBody and a naive second reading agree on random bodies', (t) => {
  const accepted = { good: 0, changed: 0 }
  fc.assert(
    fc.property(fc.oneof(explicitEntries, derivedEntries), change, fc.boolean(), (entries, how, explicit) => {
      const body = encodeBody(entries)
      const damaged = changed(body, how)
      if (naiveBody(body, true) !== undefined) accepted.good++
      if (naiveBody(damaged, explicit) !== undefined) accepted.changed++
      return agrees(body, explicit) && agrees(damaged, explicit)
    }),
    { numRuns: 5_000 },
  )
  t.equal(accepted.good, 5_000, 'every encoded body is one')
  t.ok(accepted.changed > 500 && accepted.changed < 4_500, 'changes give both sorts', accepted)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (noise, explicit) =>
      agrees(Buffer.from(noise), explicit),
    ),
  )
  t.end()
})

t.test(
  'WAL-20: a body cut inside an entry or damaged in any bit gives entries or ENTRY_MALFORMED, nothing else',
  (t) => {
    for (const { name, bytes: body, given } of vectors) {
      const explicit = isExplicit(given)
      let boundaries = 0
      for (const prefix of prefixes(body)) {
        if (!agrees(prefix, explicit)) t.fail(`${name} cut at ${prefix.length}`)
        if (codeOf(() => walk(prefix, explicit)) === 'none') boundaries++
      }
      t.equal(boundaries, naiveBody(body, explicit)!.length, `${name}: only cuts between entries are bodies`)
      for (const { bytes: flipped, bit } of flips(body)) if (!agrees(flipped, explicit)) t.fail(`${name} bit ${bit}`)
    }
    t.end()
  },
)

t.test('WAL-20: a malformed entry is named by its offset in the body', (t) => {
  const good = encodeBody([{ op: 'add_storage', storage: 1n }])
  const body = Buffer.concat([good, good, Buffer.from([10])])
  t.throws(() => walkBody(body, 0, body.length, false, { channel: 3, offset: 1_000 }), {
    code: 'ENTRY_MALFORMED',
    where: { channel: 3, offset: 50 },
    message: /found entry code 10/,
  })
  t.end()
})

t.test('WAL-23: a write version without the flag is refused, in each of its 16 bytes and kinds', (t) => {
  for (const { name, bytes: body, given, type } of vectors) {
    if (isExplicit(given) || type !== 'entry') continue
    t.equal(
      codeOf(() => walk(body, false)),
      'none',
      name,
    )
    const at = naiveVersionOffset(body)
    for (let i = 0; i < 16; i++) {
      const copy = Buffer.from(body)
      copy[at + i] = 0x80
      t.equal(
        codeOf(() => walk(copy, false)),
        'ENTRY_MALFORMED',
        `${name}: version byte ${i}`,
      )
      t.equal(
        codeOf(() => walk(copy, true)),
        'none',
        `${name}: byte ${i} with the flag`,
      )
    }
  }
  t.end()
})

function naiveVersionOffset(body: Buffer): number {
  if (body[0] === 1) return 17 + body.readUInt32LE(1)
  return body[0] === 5 ? 13 + body.readUInt32LE(1) : 9
}

t.test('WAL-24: derived versions count up from the first minor, modulo 2^64', (t) => {
  fc.assert(
    fc.property(derivedEntries, u64, u64, (entries, major, minor) => {
      const decoded = [...decodeEntries(encodeBody(entries), { major, minor })]
      return decoded.every((e, i) => e.version.major === major && e.version.minor === (minor + BigInt(i)) % (1n << 64n))
    }),
    {
      examples: [
        [
          [
            { op: 'add_storage', storage: 1n },
            { op: 'add_storage', storage: 2n },
          ],
          1n,
          (1n << 64n) - 1n,
        ],
      ],
    },
  )
  t.end()
})

t.test('WAL-25: the walk finds the highest explicit major, unsigned', (t) => {
  const of = (...majors: bigint[]): bigint =>
    walk(
      encodeBody(
        majors.map((major) => ({ op: 'add_storage', storage: 1n, version: { major, minor: (1n << 64n) - 1n } })),
      ),
      true,
    ).majorMax
  t.equal(of(3n, 9n, 4n), 9n)
  t.equal(of(5n, (1n << 64n) - 1n), (1n << 64n) - 1n)
  t.equal(of(0n), 0n)
  t.end()
})

t.test('WAL-8: a body has at most 650,000 entries', (t) => {
  const one = encodeBody([{ op: 'add_storage', storage: 1n }])
  const body = Buffer.alloc(25 * (SESSION_ENTRIES_LIMIT + 1), one)
  t.ok(body.length <= SESSION_BYTES_LIMIT, 'the limit can be reached')
  t.equal(walkBody(body, 0, body.length - 25, false, {}).entryCount, SESSION_ENTRIES_LIMIT)
  t.equal(
    codeOf(() => walkBody(body, 0, body.length, false, {})),
    'ENTRY_MALFORMED',
  )
  t.end()
})

t.test('WAL-21: sizes are known before anything is written, and keys and values are views of the body', (t) => {
  for (const { bytes: body, given, type } of vectors) {
    const [entry] = [...decodeEntries(body, isExplicit(given) ? undefined : { major: 0n, minor: 0n })]
    if (type === 'entry') t.equal(entryBytes(entry!), body.length)
    if (entry?.op === 'put') t.equal(entry.value.buffer, body.buffer)
  }
  t.end()
})
