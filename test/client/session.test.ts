/**
 * What a session puts on the wire, and every way in which it refuses to.
 */
import t from 'tap'
import { type Channel, connect, decodeValue, type Entry } from '../../client/client.ts'
import { FLAG_EXPLICIT_VERSIONS, FrameKind } from '../../protocol/frame.ts'
import { SESSION_BYTES_LIMIT, SESSION_ENTRIES_LIMIT } from '../../protocol/limits.ts'
import { expectError } from './expect-error.ts'
import { type FakeLink, FakeNode, type Teardown } from './fake-node.ts'

const U64_MAX = 2n ** 64n - 1n
const bytes = (...values: number[]): Buffer => Buffer.from(values)

async function open(t: Teardown): Promise<{ node: FakeNode; link: FakeLink; channel: Channel }> {
  const node = await FakeNode.start(t)
  const client = await connect({ address: node.address })
  t.teardown(() => client.close())
  const channel = await client.openChannel({ channel: 1 })
  return { node, link: await node.link(), channel }
}

t.test('every operation, as the node reads it', async (t) => {
  const { link, channel } = await open(t)
  const session = channel.beginSession()
  session
    .addStorage(1)
    .put(1n, 'k\u00e9y', bytes(1, 2, 3))
    .remove(U64_MAX, bytes())
  session.truncateStorage(Number.MAX_SAFE_INTEGER).removeStorage(2n).put(0, bytes(9), bytes())
  t.equal(session.entryCount, 6)
  const expectedBytes = 25 + (33 + 4 + 3) + 29 + 25 + 25 + (33 + 1)
  t.equal(session.bytes, expectedBytes)
  const receipt = session.end()
  t.equal(receipt.sequence, 1)
  const [frame] = await link.received(1)
  const version = { major: 0n, minor: 0n }
  t.strictSame(
    frame?.entries.map((entry) => ({ ...entry, version })),
    [
      { op: 'add_storage', storage: 1n, version },
      { op: 'put', storage: 1n, key: Buffer.from('k\u00e9y'), value: bytes(1, 2, 3), version },
      { op: 'remove', storage: U64_MAX, key: bytes(), version },
      { op: 'truncate_storage', storage: BigInt(Number.MAX_SAFE_INTEGER), version },
      { op: 'remove_storage', storage: 2n, version },
      { op: 'put', storage: 0n, key: bytes(9), value: bytes(), version },
    ],
  )
  t.match(frame?.header, { kind: FrameKind.ENTRIES, flags: 0, bodyLength: expectedBytes, producerSequence: 1 })
  const unstamped = { position: 0, epoch: 0n, term: 0n, termTag: 0, firstMinor: 0n }
  t.match(frame?.header, unstamped, 'what the node stamps is zero')
  await receipt.propagated
})

t.test('explicit write versions: for all entries of a session or for none', async (t) => {
  const { link, channel } = await open(t)
  const version = { major: 7, minor: U64_MAX }
  const session = channel.beginSession()
  session.put(1, 'a', bytes(1), version).remove(1, 'b', { major: 6n, minor: 2n }).addStorage(4, version)
  await expectError(t, () => session.put(1, 'c', bytes()), 'VALUE_INVALID')
  await expectError(t, () => session.put(1, 'c', bytes(), { major: -1, minor: 0 }), 'VALUE_INVALID')
  t.equal(session.entryCount, 3, 'a refused entry leaves no trace')
  await session.end().stored
  const [frame] = await link.received(1)
  t.equal(frame?.header.flags, FLAG_EXPLICIT_VERSIONS)
  t.strictSame(
    frame?.entries.map((entry) => entry.version),
    [
      { major: 7n, minor: U64_MAX },
      { major: 6n, minor: 2n },
      { major: 7n, minor: U64_MAX },
    ],
  )
  const derived = channel.beginSession().put(1, 'a', bytes())
  await expectError(t, () => derived.remove(1, 'a', version), 'VALUE_INVALID')
  await derived.end().stored
  t.equal((await link.received(2))[1]?.header.flags, 0, 'the flag of one session is not that of the next')
})

t.test('what is no entry is refused, and the session goes on', async (t) => {
  const { link, channel } = await open(t)
  const session = channel.beginSession().put(1, 'good', bytes(1))
  for (const storage of [-1, 1.5, 2 ** 53, -1n, 2n ** 64n, Number.NaN]) {
    await expectError(t, () => session.put(storage, 'k', bytes()), 'VALUE_INVALID')
    await expectError(t, () => session.truncateStorage(storage), 'VALUE_INVALID')
  }
  await expectError(t, () => session.put(1, 'half \ud800', bytes()), 'VALUE_INVALID')
  // the casts below are what plain JavaScript does without asking
  const odd = session as unknown as { put(...args: unknown[]): void; add(entry: unknown): void }
  for (const key of [1, null, undefined, {}]) await expectError(t, () => odd.put(1, key, bytes()), 'VALUE_INVALID')
  for (const value of ['text', 1, null, undefined]) await expectError(t, () => odd.put(1, 'k', value), 'VALUE_INVALID')
  await expectError(t, () => odd.put('1', 'k', bytes()), 'VALUE_INVALID')
  for (const entry of [null, 1, {}, { op: 'begin' }]) await expectError(t, () => odd.add(entry), 'VALUE_INVALID')
  session.put(1, '\u{1f600}', bytes(2))
  await session.end().stored
  const [frame] = await link.received(1)
  t.strictSame(
    frame?.entries.map((entry) => 'key' in entry && entry.key),
    [Buffer.from('good'), Buffer.from('\u{1f600}')],
  )
})

t.test('a session ends once', async (t) => {
  const { link, channel } = await open(t)
  await expectError(t, () => channel.beginSession().end(), 'SESSION_EMPTY')
  const ended = channel.beginSession().put(1, 'a', bytes(1))
  await ended.end().stored
  const abandoned = channel.beginSession().put(1, 'b', bytes(1))
  abandoned.abandon()
  abandoned.abandon()
  for (const session of [ended, abandoned]) {
    await expectError(t, () => session.put(1, 'k', bytes()), 'SESSION_ENDED')
    await expectError(t, () => session.remove(1, 'k'), 'SESSION_ENDED')
    await expectError(t, () => session.addStorage(1), 'SESSION_ENDED')
    await expectError(t, () => session.end(), 'SESSION_ENDED')
  }
  await expectError(t, () => ended.abandon(), 'SESSION_ENDED')
  await channel.write([{ op: 'put', storage: 1, key: 'c', value: bytes(1) }], { level: 'stored' })
  const keys = link.frames.flatMap(({ entries }) => entries.map((entry) => 'key' in entry && `${entry.key}`))
  t.strictSame(keys, ['a', 'c'], 'nothing of an abandoned session was sent')
})

t.test('an empty session may go on to be used', async (t) => {
  const { channel } = await open(t)
  const session = channel.beginSession()
  await expectError(t, () => session.end(), 'SESSION_EMPTY')
  await session.put(1, 'a', bytes(1)).end().stored
  t.pass('it was written')
})

t.test('a session that would be too large is refused before anything is sent', async (t) => {
  const { link, channel } = await open(t)
  const full = Buffer.alloc(SESSION_BYTES_LIMIT - 33 - 1, 5)
  const session = channel.beginSession().put(1, 'k', full)
  await expectError(t, () => session.addStorage(1), 'SESSION_TOO_LARGE')
  await expectError(
    t,
    channel.write([{ op: 'put', storage: 1, key: 'kk', value: full }], { level: 'stored' }),
    'SESSION_TOO_LARGE',
  )
  t.equal(link.frames.length, 0)
  await session.end().stored
  t.equal(link.frames[0]?.header.bodyLength, SESSION_BYTES_LIMIT, 'the largest session arrives whole')

  const many = channel.beginSession()
  for (let i = 0; i < SESSION_ENTRIES_LIMIT; i++) many.addStorage(i)
  await expectError(t, () => many.addStorage(0), 'SESSION_TOO_LARGE')
  t.equal(many.entryCount, SESSION_ENTRIES_LIMIT)
  many.abandon()
})

t.test('sessions that are built side by side do not mix', async (t) => {
  const { link, channel } = await open(t)
  const sessions = Array.from({ length: 5 }, () => channel.beginSession())
  // 3 MB in pieces: through the tip of the slab, out of it, over its end
  for (let round = 0; round < 300; round++) {
    for (const [i, session] of sessions.entries()) session.put(i, `${round}`, Buffer.alloc(round * 13 * (i + 1), i))
  }
  for (const session of sessions.toReversed()) session.end()
  const frames = await link.received(5)
  for (const [at, frame] of frames.entries()) {
    const i = 4 - at
    t.equal(frame.entries.length, 300)
    const isRight = frame.entries.every(
      (entry, round) =>
        entry.op === 'put' &&
        entry.storage === BigInt(i) &&
        `${entry.key}` === `${round}` &&
        Buffer.alloc(round * 13 * (i + 1), i).equals(entry.value),
    )
    t.ok(isRight, `session ${i} has its own entries`)
  }
})

t.test('write() takes all forms of entries, and nothing if one of them is bad', async (t) => {
  const { link, channel } = await open(t)
  const entries: Entry[] = [
    { op: 'put', storage: 1, key: 'k', value: bytes(1), version: { major: 1n, minor: 2 } },
    { op: 'remove', storage: 1n, key: bytes(1), version: { major: 1, minor: 3n } },
    { op: 'add_storage', storage: 1, version: { major: 0, minor: 0 } },
    { op: 'remove_storage', storage: 2, version: { major: 0, minor: 0 } },
    { op: 'truncate_storage', storage: 3, version: { major: 0, minor: 0 } },
  ]
  const commit = await channel.write(entries, { level: 'stored' })
  t.match(commit, { term: { number: 7n }, epoch: 1n, sequence: 1 })
  t.strictSame(
    link.frames[0]?.entries.map(({ op }) => op),
    entries.map(({ op }) => op),
  )

  await expectError(t, channel.write([], { level: 'stored' }), 'SESSION_EMPTY')
  const bad: Entry[] = [
    { op: 'put', storage: 1, key: 'k', value: bytes(1) },
    { op: 'remove', storage: -1, key: 'k' },
  ]
  await expectError(t, channel.write(bad, { level: 'stored' }), 'VALUE_INVALID')
  await expectError(t, channel.write(null as unknown as Entry[], { level: 'stored' }), 'VALUE_INVALID') // plain JavaScript
  await expectError(t, channel.write(entries, { level: 'durable' as 'stored' }), 'VALUE_INVALID') // plain JavaScript
  await expectError(t, channel.write(entries, { level: 'stored', deadlineMs: 0 }), 'VALUE_INVALID')
  t.equal((await channel.write(entries, { level: 'stored' })).sequence, 2, 'none of those took a number')
})

t.test("values: 'msgpack' encodes what it is given", async (t) => {
  const node = await FakeNode.start(t)
  const client = await connect({ address: node.address, values: 'msgpack' })
  const values = [{ name: 'Rome', people: 2_748_109, at: [41.9, 12.5] }, 'text', null, 12n ** 15n, bytes(1, 2)]
  const entries = values.map((value, i) => ({ op: 'put', storage: 1, key: `${i}`, value }) as const)
  await client.write(entries, { level: 'propagated' })
  const read = (await node.link()).frames[0]?.entries.map((entry) => entry.op === 'put' && decodeValue(entry.value))
  t.strictSame(read, values)
  for (const value of [() => 1, 2n ** 64n, Symbol('x')]) {
    await expectError(
      t,
      client.write([{ op: 'put', storage: 1, key: 'k', value }], { level: 'stored' }),
      'VALUE_INVALID',
    )
  }
  await expectError(t, () => decodeValue(bytes(0x92, 1)), 'VALUE_INVALID')
  await client.close()
})
