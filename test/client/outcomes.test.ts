/**
 * The three endings of a write: level reached, certainly not applied, unknown. None turns into another.
 */
import t from 'tap'
import { type Channel, type Client, connect } from '../../client/client.ts'
import { encodeMessage } from '../../protocol/control-message.ts'
import { expectError } from './expect-error.ts'
import { type FakeLink, FakeNode, type FakeNodeOptions, TERM, type Teardown } from './fake-node.ts'

interface Opened {
  readonly node: FakeNode
  readonly link: FakeLink
  readonly client: Client
  readonly channel: Channel
}

/** A channel to a node that answers only what the test says. */
async function open(t: Teardown, options: FakeNodeOptions = {}): Promise<Opened> {
  const node = await FakeNode.start(t, { answer: 'nothing', ...options })
  const client = await connect({ address: node.address })
  t.teardown(() => client.close({ deadlineMs: 1 }))
  const channel = await client.openChannel({ channel: 1 })
  return { node, link: await node.link(), client, channel }
}

const entry = { op: 'put', storage: 1n, key: 'k', value: Buffer.from('v') } as const
const session = (channel: Channel, limits = {}) => channel.beginSession(limits).put(1n, 'k', Buffer.from('v'))

/** All promise reactions and socket events that are due have run, also those that they have caused. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** 'pending', or how the promise has ended. */
async function stateOf(promise: Promise<unknown>): Promise<string> {
  const pending = Symbol('pending')
  await settled()
  return Promise.race([promise, Promise.resolve(pending)]).then(
    (value) => (value === pending ? 'pending' : 'reached'),
    (error: { code: string }) => error.code,
  )
}

/** Answers of the node that the client must have read: those before an answer it waits for. */
async function heard(link: FakeLink, channel: Channel, epoch: number): Promise<void> {
  const receipt = session(channel).end()
  await link.received(receipt.sequence)
  link.stored(epoch, receipt.sequence)
  await receipt.stored
}

t.test('STORED comes first, PROPAGATED later, both cumulative', async (t) => {
  const { link, channel } = await open(t)
  const receipts = [1, 2, 3].map(() => session(channel).end())
  const [first, second, third] = receipts
  t.strictSame(
    receipts.map(({ sequence }) => sequence),
    [1, 2, 3],
  )
  await link.received(3)
  t.strictSame(channel.unanswered, { sessions: 3, bytes: 3 * (72 + 33 + 2), waitingCalls: 0 })
  link.stored(20, 2)
  t.strictSame(await first?.stored, { term: TERM, epoch: 20n, sequence: 1 })
  t.strictSame(await second?.stored, { term: TERM, epoch: 20n, sequence: 2 })
  t.equal(await stateOf(third!.stored), 'pending')
  t.equal(await stateOf(first!.propagated), 'pending')
  link.stored(21, 3)
  link.propagated(21, 2)
  t.strictSame(await second?.propagated, { term: TERM, epoch: 20n, sequence: 2 }, 'with the epoch of its STORED')
  t.strictSame(await first?.propagated, { term: TERM, epoch: 20n, sequence: 1 })
  t.equal((await third?.stored)?.epoch, 21n)
  t.equal(await stateOf(third!.propagated), 'pending')
  link.propagated(21, 3)
  await third?.propagated
  t.strictSame(channel.unanswered, { sessions: 0, bytes: 0, waitingCalls: 0 })
})

t.test('a receipt says the same whenever it is read', async (t) => {
  const { link, channel } = await open(t)
  const early = session(channel).end()
  const late = session(channel).end()
  const never = session(channel).end()
  const read = [early.stored, early.propagated]
  await link.received(3)
  link.stored(1, 3)
  await early.stored
  link.propagated(1, 3)
  await early.propagated
  t.strictSame(await late.propagated, { term: TERM, epoch: 1n, sequence: 2 }, 'read after the answers')
  t.strictSame(await late.stored, { term: TERM, epoch: 1n, sequence: 2 })
  t.equal(early.stored, read[0], 'one promise, however often it is read')
  t.equal(early.propagated, read[1])
  t.equal(never.sequence, 3)
})

t.test('PROPAGATED may be asked for between the answers, in any order', async (t) => {
  const { link, channel } = await open(t)
  const receipts = Array.from({ length: 6 }, () => session(channel).end())
  const early = [receipts[1]!.propagated, receipts[4]!.propagated]
  await link.received(6)
  link.stored(1, 6)
  await receipts[5]!.stored
  const late = [receipts[5]!.propagated, receipts[0]!.propagated]
  link.propagated(1, 1)
  t.equal((await late[1])?.sequence, 1)
  link.propagated(1, 5)
  t.strictSame(
    (await Promise.all(early)).map(({ sequence }) => sequence),
    [2, 5],
  )
  t.equal(await stateOf(late[0]!), 'pending')
  t.equal((await receipts[2]!.propagated).sequence, 3, 'asked for after it was reached')
  link.propagated(1, 6)
  await late[0]
})

t.test('REJECTED: certainly not applied, and the connection goes on', async (t) => {
  const { link, channel } = await open(t)
  const receipts = Array.from({ length: 3 }, () => session(channel).end())
  const write = channel.write([entry], { level: 'propagated' })
  await link.received(4)
  link.rejected(2, 'DISK_LOW', 'Cannot accept a session: found 1 MiB free, expected 128 MiB')
  link.rejected(4, 'VERSION_ABOVE_EPOCH')
  link.stored(1, 3)
  const error = await expectError(t, receipts[1]!.stored, 'DISK_LOW')
  t.match(error.message, /session 2: .*1 MiB free/)
  t.equal(error.where.channel, 1)
  t.equal(error.hint, 'do something else')
  t.ok(error.retryable)
  await expectError(t, receipts[1]!.propagated, 'DISK_LOW')
  await expectError(t, write, 'VERSION_ABOVE_EPOCH')
  t.equal((await receipts[0]!.stored).epoch, 1n)
  t.equal((await receipts[2]!.stored).epoch, 1n)
  t.equal(channel.unanswered.sessions, 0)
  t.equal(channel.state, 'open')
})

t.test('PROPAGATED without a replica is an error, not a success', async (t) => {
  const { link, channel, client } = await open(t, { replicas: 0 })
  const entries = [entry]
  await expectError(t, channel.write(entries, { level: 'propagated' }), 'NO_REPLICA_IN_SET')
  await expectError(t, client.write(entries, { level: 'propagated' }), 'NO_REPLICA_IN_SET')
  t.equal(link.frames.length, 0, 'a call that names its level sends nothing')
  const receipt = session(channel).end()
  const early = expectError(t, receipt.propagated, 'NO_REPLICA_IN_SET', 'unknown')
  await link.received(1)
  link.stored(1, 1)
  link.propagated(1, 1)
  await early
  t.equal((await receipt.stored).epoch, 1n, 'stored is not touched by it')
  const late = session(channel).end()
  await link.received(2)
  link.stored(2, 2)
  await late.stored
  await expectError(t, late.propagated, 'NO_REPLICA_IN_SET', 'unknown')
})

t.test('a deadline ends in unknown, and no later answer changes that', async (t) => {
  const { link, channel } = await open(t)
  const unread = session(channel, { deadlineMs: 20 }).end()
  const receipt = session(channel, { deadlineMs: 20 }).end()
  const patient = session(channel).end()
  const write = channel.write([entry], { level: 'stored', deadlineMs: 20 })
  const error = await expectError(t, receipt.stored, 'DEADLINE_EXCEEDED', 'unknown')
  t.match(error.message, /session 2: its deadline of 20 ms/)
  await expectError(t, receipt.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, write, 'DEADLINE_EXCEEDED', 'unknown')
  await link.received(4)
  t.equal(channel.unanswered.sessions, 4, 'the node may still be working on them')
  link.stored(1, 4)
  link.propagated(1, 4)
  await patient.propagated
  t.equal(channel.unanswered.sessions, 0)
  await expectError(t, unread.stored, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, unread.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, receipt.stored, 'DEADLINE_EXCEEDED', 'unknown')
  await heard(link, channel, 2)
})

t.test('a deadline between STORED and PROPAGATED says what was reached', async (t) => {
  const { link, channel } = await open(t)
  const receipt = session(channel, { deadlineMs: 800 }).end()
  const late = session(channel, { deadlineMs: 800 }).end()
  await link.received(2)
  link.stored(5, 2)
  await receipt.stored
  const error = await expectError(t, receipt.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  t.strictSame(error.stored, { term: TERM, epoch: 5n, sequence: 1 })
  t.match(error.message, /reach PROPAGATED for session 1/)
  await expectError(t, late.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  t.equal((await receipt.stored).epoch, 5n)
  link.propagated(5, 2)
  await heard(link, channel, 6)
  await expectError(t, receipt.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, late.propagated, 'DEADLINE_EXCEEDED', 'unknown')
})

t.test('deadlines of any order are kept', async (t) => {
  const { channel } = await open(t)
  const [long, short, middle, longer] = [600_000, 20, 60, 900_000].map((deadlineMs) => {
    const begin = performance.now()
    const { stored } = session(channel, { deadlineMs }).end()
    return { stored, deadlineMs, begin }
  })
  for (const call of [short!, middle!]) {
    await expectError(t, call.stored, 'DEADLINE_EXCEEDED', 'unknown')
    t.ok(performance.now() - call.begin >= call.deadlineMs, 'not before its time')
  }
  t.equal(await stateOf(long!.stored), 'pending')
  t.equal(await stateOf(longer!.stored), 'pending')
})

t.test('an abort ends in unknown once it is sent, in not-applied before', async (t) => {
  const { link, channel, node } = await open(t)
  const abort = new AbortController()
  const { signal } = abort
  const receipts = Array.from({ length: 30 }, () => session(channel, { signal }).end())
  const write = channel.write([entry], { level: 'propagated', signal })
  const other = session(channel).end()
  const building = session(channel, { signal })
  await link.received(32)
  link.stored(1, 1)
  await receipts[0]!.stored
  abort.abort('changed my mind')
  const error = await expectError(t, receipts[1]!.stored, 'ABORTED', 'unknown')
  t.equal(error.cause, 'changed my mind')
  await expectError(t, write, 'ABORTED', 'unknown')
  await expectError(t, receipts[0]!.propagated, 'ABORTED', 'unknown')
  t.equal((await receipts[0]!.stored).epoch, 1n)
  await expectError(t, () => building.end(), 'ABORTED')
  await expectError(t, () => building.end(), 'SESSION_ENDED')
  await expectError(t, () => channel.beginSession({ signal }), 'ABORTED')
  await expectError(t, channel.write([entry], { level: 'stored', signal }), 'ABORTED')
  link.stored(2, 32)
  t.equal((await other.stored).epoch, 2n)
  await expectError(t, receipts[1]!.stored, 'ABORTED', 'unknown')
  t.equal(link.frames.length, 32)
  t.equal(node.links.length, 1)
})

t.test('one signal for many sessions: one listener, and none is left', async (t) => {
  const { link, channel } = await open(t)
  const warnings: Error[] = []
  const onWarning = (warning: Error): unknown => warnings.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const { signal } = new AbortController()
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove(...args)
  }
  const receipts = Array.from({ length: 50 }, () => session(channel, { signal }).end())
  t.equal(listeners, 1)
  await link.received(50)
  link.stored(1, 50)
  await receipts.at(-1)?.stored
  t.equal(listeners, 0)
  t.strictSame(warnings, [])
})

t.test('a lost log connection: what was sent is unknown', async (t) => {
  const { link, channel, client, node } = await open(t)
  const stored = session(channel).end()
  const sent = session(channel).end()
  const unread = session(channel).end()
  const building = session(channel)
  await link.received(3)
  link.stored(1, 1)
  await stored.stored
  link.cut()
  const error = await expectError(t, sent.stored, 'CONNECTION_LOST', 'unknown')
  t.equal(error.where.channel, 1)
  await expectError(t, sent.propagated, 'CONNECTION_LOST', 'unknown')
  await expectError(t, unread.stored, 'CONNECTION_LOST', 'unknown')
  t.equal((await stored.stored).epoch, 1n)
  const half = await expectError(t, stored.propagated, 'CONNECTION_LOST', 'unknown')
  t.equal(half.stored?.epoch, 1n)
  t.equal(channel.state, 'ended')
  await expectError(t, building.end().stored, 'CONNECTION_LOST')
  await expectError(t, () => channel.beginSession(), 'CONNECTION_LOST')
  await expectError(t, channel.write([entry], { level: 'stored' }), 'CONNECTION_LOST')
  await expectError(t, channel.ready(), 'CONNECTION_LOST')
  t.equal(client.state, 'open', 'the client may open another channel')
  await client.openChannel()
  await node.until(() => node.links.length === 2)
})

t.test('answers that arrive together with the end of the connection count', async (t) => {
  const { link, channel } = await open(t)
  const receipts = [session(channel).end(), session(channel).end()]
  await link.received(2)
  link.stored(3, 1)
  link.propagated(3, 1)
  link.socket.end()
  t.equal((await receipts[0]!.propagated).epoch, 3n)
  await expectError(t, receipts[1]!.stored, 'CONNECTION_LOST', 'unknown')
})

t.test('a lost control connection ends all channels', async (t) => {
  const { node, link, channel, client } = await open(t)
  const receipt = session(channel).end()
  await link.received(1)
  node.controls[0]?.destroy()
  await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
  t.equal(client.state, 'lost')
  await expectError(t, client.openChannel(), 'CONNECTION_LOST')
  await expectError(t, client.write([entry], { level: 'stored' }), 'CONNECTION_LOST')
  await node.until(() => link.socket.destroyed)
  await client.close()
  t.equal(client.state, 'closed')
})

t.test('a node that says good-bye after its last answers is heard to the end', async (t) => {
  const { node, link, channel, client } = await open(t)
  const [answered, rejected, unanswered] = [1, 2, 3].map(() => session(channel).end())
  await link.received(3)
  node.controls[0]?.end(encodeMessage({ type: 'session_end', reason: 'maintenance' }))
  while (client.state === 'open') await settled() // the good-bye is read before the answers are even sent
  await expectError(t, () => channel.beginSession(), 'CONNECTION_LOST')
  link.stored(1, 1)
  link.propagated(1, 1)
  link.rejected(2, 'DISK_LOW')
  t.equal((await answered!.propagated).epoch, 1n)
  await expectError(t, rejected!.stored, 'DISK_LOW')
  link.socket.end()
  const error = await expectError(t, unanswered!.stored, 'CONNECTION_LOST', 'unknown')
  t.match(error.message, /closed/)
  await client.close()
})

t.test('ERROR from the node: the reason is told, the outcome is unknown', async (t) => {
  const { link, channel } = await open(t)
  const receipt = session(channel).end()
  await link.received(1)
  link.error('CHANNEL_POISONED')
  const error = await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
  t.match(error.message, /CHANNEL_POISONED: Cannot go on/)
  t.match(error.cause, { code: 'CHANNEL_POISONED', hint: 'look at the node' })
  const next = await expectError(t, () => channel.beginSession(), 'CONNECTION_LOST')
  t.equal(next.hint, 'look at the node')
})

t.test('a node that answers what cannot be true is not believed', async (t) => {
  const impossible: [string, (link: FakeLink) => void][] = [
    ['STORED of a session that was never sent', (link) => link.stored(1, 3)],
    ['STORED in epoch 0', (link) => link.stored(0, 1)],
    ['PROPAGATED before STORED', (link) => link.propagated(1, 1)],
    ['REJECTED of a session that was never sent', (link) => link.rejected(3, 'DISK_LOW')],
    ['REJECTED of session 0', (link) => link.rejected(0, 'DISK_LOW')],
    ['DURABLE, which is for masters', (link) => link.raw(Buffer.from([3, ...new Array<number>(23).fill(0)]))],
    ['an unknown reply', (link) => link.raw(Buffer.alloc(24, 9))],
    ['text', (link) => link.raw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))],
  ]
  for (const [name, answer] of impossible) {
    const { link, channel } = await open(t)
    const receipts = [session(channel).end(), session(channel).end()]
    await link.received(2)
    answer(link)
    for (const receipt of receipts) await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
    t.equal(channel.state, 'ended', name)
  }
})

t.test('answers that go backwards, or come twice for a rejection, are not believed', async (t) => {
  const backwards: [string, (link: FakeLink) => unknown][] = [
    ['STORED of an earlier session', (link) => link.stored(5, 1)],
    ['STORED in an earlier epoch', (link) => link.stored(4, 3)],
    ['REJECTED of a stored session', (link) => link.rejected(2, 'DISK_LOW')],
    ['PROPAGATED of an earlier session', (link) => [2, 1].map((last) => link.propagated(5, last))],
  ]
  for (const [name, answer] of backwards) {
    const { link, channel } = await open(t)
    const receipts = [1, 2, 3].map(() => session(channel).end())
    await link.received(3)
    link.stored(5, 2)
    await receipts[1]?.stored
    answer(link)
    await expectError(t, receipts[2]!.stored, 'CONNECTION_LOST', 'unknown')
    t.equal((await receipts[0]!.stored).epoch, 5n, `${name}: what was reached stays`)
  }
})

t.test('receipts that nobody reads, or reads half, are no unhandled rejections; a write is', async (t) => {
  const seen: unknown[] = []
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (reason) => seen.push(reason))
  t.teardown(() => {
    process.removeAllListeners('unhandledRejection')
    for (const listener of others) process.on('unhandledRejection', listener)
  })
  const { link, channel } = await open(t)
  session(channel).end()
  const half = session(channel).end()
  const late = session(channel)
  const { stored, propagated } = half
  await link.received(2)
  link.cut()
  await expectError(t, stored, 'CONNECTION_LOST', 'unknown')
  void late.end().stored // read, and dropped
  await settled()
  t.strictSame(seen, [])
  t.equal(await stateOf(propagated), 'CONNECTION_LOST')
  void channel.write([entry], { level: 'stored' })
  await settled()
  t.match(seen, [{ code: 'CONNECTION_LOST' }])
})
