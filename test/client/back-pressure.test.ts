/**
 * The window: what an application can await, in which order, and what ends the wait.
 */
import { Socket } from 'node:net'
import t from 'tap'
import { type Channel, connect } from '../../client/client.ts'
import { CLIENT_UNANSWERED_BYTES_LIMIT, CLIENT_WINDOW_BYTES, MIB } from '../../protocol/limits.ts'
import { expectError } from './expect-error.ts'
import { type FakeLink, FakeNode, type Teardown } from './fake-node.ts'
import { stateOf } from './open-channel.ts'

const VALUE = Buffer.alloc(MIB - 200, 1)
const entry = { op: 'put', storage: 1n, key: 'k', value: VALUE } as const
const small = { op: 'put', storage: 1n, key: 'k', value: Buffer.from('v') } as const

async function open(t: Teardown, reconnect = true): Promise<{ node: FakeNode; link: FakeLink; channel: Channel }> {
  const node = await FakeNode.start(t, { answer: 'nothing' })
  const client = await connect({ address: node.address, reconnect })
  t.teardown(() => client.close({ deadlineMs: 1 }))
  const channel = await client.openChannel()
  return { node, link: await node.link(), channel }
}

/** Sends sessions until the window is full, awaiting room as an application should. @returns how many */
async function fill(channel: Channel): Promise<number> {
  let count = 0
  while (channel.unanswered.bytes < CLIENT_WINDOW_BYTES) {
    await channel.ready()
    channel.beginSession().put(1n, 'k', VALUE).end()
    count += 1
  }
  return count
}

t.test('ready() and write() wait for room, first come first served', async (t) => {
  const { link, channel } = await open(t)
  const count = await fill(channel)
  t.equal(count, 17, '16 MiB in sessions of a little less than 1 MiB')
  const order: string[] = []
  const calls = [
    channel.ready().then(() => order.push('ready')),
    channel.write([small], { level: 'stored' }).then(({ sequence }) => order.push(`write ${sequence}`)),
    channel.ready().then(() => order.push('ready again')),
  ]
  t.equal(channel.unanswered.waitingCalls, 3)
  await link.received(count)
  t.strictSame(order, [])
  link.stored(1, 2)
  await calls[2]
  t.strictSame(order, ['ready', 'ready again'])
  await link.received(count + 1)
  link.stored(2, count + 1)
  await calls[1]
  t.strictSame(order, ['ready', 'ready again', `write ${count + 1}`])
  t.strictSame(channel.unanswered, { sessions: 0, bytes: 0, waitingCalls: 0 })
})

t.test('a rejected session gives its room back too, when those before it have', async (t) => {
  const { link, channel } = await open(t)
  const count = await fill(channel)
  const { bytes } = channel.unanswered
  const ready = channel.ready()
  await link.received(count)
  link.rejected(count, 'DISK_LOW')
  link.rejected(2, 'DISK_LOW')
  t.equal(await stateOf(ready), 'pending')
  t.strictSame(channel.unanswered, { sessions: count - 2, bytes, waitingCalls: 1 })
  link.rejected(1, 'DISK_LOW')
  await ready
  t.strictSame(channel.unanswered, { sessions: count - 3, bytes: bytes - 2 * (bytes / count), waitingCalls: 0 })
})

t.test('a write that waits does not overtake, and does not overfill', async (t) => {
  const { link, channel } = await open(t)
  const count = await fill(channel)
  const writes = Array.from({ length: 20 }, () => channel.write([entry], { level: 'stored' }))
  await link.received(count)
  link.stored(1, 3)
  await link.received(count + 3)
  t.ok(channel.unanswered.bytes >= CLIENT_WINDOW_BYTES, 'the room was used')
  t.ok(channel.unanswered.bytes < CLIENT_WINDOW_BYTES + MIB, 'and at most one session more')
  t.equal(channel.unanswered.waitingCalls, 17)
  link.stored(2, count)
  await link.received(count + 17)
  link.stored(3, count + 17)
  await link.received(count + 20)
  link.stored(4, count + 20)
  const sequences = (await Promise.all(writes)).map(({ sequence }) => sequence)
  t.strictSame(
    sequences,
    writes.map((_, i) => count + 1 + i),
  )
})

t.test('callers of ready() that then do nothing do not keep others waiting', async (t) => {
  const { link, channel } = await open(t)
  const count = await fill(channel)
  const waiting = Array.from({ length: 1000 }, () => channel.ready())
  await link.received(count)
  link.stored(1, 2)
  await Promise.all(waiting)
  t.equal(channel.unanswered.waitingCalls, 0)
})

t.test('what ends a wait ends it as not-applied: deadline, abort, lost connection', async (t) => {
  const { link, channel } = await open(t, false)
  const count = await fill(channel)
  const abort = new AbortController()
  const expired = [channel.write([small], { level: 'stored', deadlineMs: 20 }), channel.ready({ deadlineMs: 20 })]
  const aborted = [
    channel.write([small], { level: 'stored', signal: abort.signal }),
    channel.ready({ signal: abort.signal }),
  ]
  const lost = [channel.write([small], { level: 'stored' }), channel.ready()]
  for (const call of expired) await expectError(t, call, 'DEADLINE_EXCEEDED')
  t.equal(channel.unanswered.waitingCalls, 4)
  abort.abort()
  for (const call of aborted) await expectError(t, call, 'ABORTED')
  t.equal(channel.unanswered.waitingCalls, 2)
  await link.received(count)
  link.cut()
  for (const call of lost) await expectError(t, call, 'CONNECTION_LOST')
  t.equal(link.frames.length, count, 'nothing of them was sent')
})

t.test('end() refuses where an application never waits, and the session can be ended later', async (t) => {
  const { link, channel } = await open(t)
  let refused = channel.beginSession()
  for (let i = 0; ; i++) {
    refused = channel.beginSession().put(1n, `${i}`, VALUE)
    if (channel.unanswered.bytes + refused.bytes > CLIENT_UNANSWERED_BYTES_LIMIT) break
    refused.end()
  }
  await expectError(t, () => refused.end(), 'WINDOW_FULL')
  const count = channel.unanswered.sessions
  await link.received(count)
  link.stored(1, count)
  await channel.ready()
  const receipt = refused.end()
  await link.received(count + 1)
  link.stored(2, count + 1)
  t.equal((await receipt.stored).sequence, count + 1)
})

t.test('what the kernel never took is not-applied when the connection is lost', async (t) => {
  const { link, channel } = await open(t, false)
  link.socket.pause() // as a node does whose queue is full
  const receipts = []
  const big = Buffer.alloc(8 * MIB)
  for (let i = 0; i < 7; i++) {
    receipts.push(channel.beginSession().put(1n, 'k', big).end())
    await new Promise((resolve) => setImmediate(resolve)) // each is a flush of its own
  }
  link.cut()
  const outcomes = await Promise.all(
    receipts.map(({ stored }) =>
      stored.then(
        () => 'reached',
        (error: { outcome: string }) => error.outcome,
      ),
    ),
  )
  t.equal(outcomes[0], 'unknown', 'the first was given to the kernel')
  t.equal(outcomes.at(-1), 'not-applied', 'the last was not')
  t.strictSame(outcomes, outcomes.toSorted().reverse(), 'first those that were sent, then those that were not')
})

t.test('a write does not overtake those who wait, even when there is room', async (t) => {
  const { link, channel } = await open(t)
  const count = await fill(channel)
  const order: string[] = []
  const waiting = Array.from({ length: 200 }, () => channel.ready().then(() => order.push('ready')))
  await link.received(count)
  link.stored(1, 2)
  await waiting[0]
  t.ok(channel.unanswered.bytes < CLIENT_WINDOW_BYTES, 'there is room')
  t.ok(channel.unanswered.waitingCalls > 0, 'and others are to be woken')
  const write = channel.write([small], { level: 'stored' })
  void link.received(count + 1).then(() => order.push('write'))
  await Promise.all(waiting)
  await link.received(count + 1)
  t.strictSame(order, [...waiting.map(() => 'ready'), 'write'])
  link.stored(2, count + 1)
  await write
})

t.test('pipelining: frames of one turn leave in one write', async (t) => {
  const { node, link, channel } = await open(t)
  node.answer = 'propagated'
  const writes: number[] = []
  const original = Socket.prototype.write
  t.teardown(() => {
    Socket.prototype.write = original
  })
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof original>) {
    if (this.remotePort === link.socket.localPort) writes.push((args[0] as Buffer).length) // the client writes buffers
    return original.apply(this, args)
  } as typeof original // its overloads
  const receipts = Array.from({ length: 300 }, (_, i) => channel.beginSession().put(1n, `${i}`, Buffer.alloc(20)).end())
  t.strictSame(writes, [], 'nothing leaves before the turn is over')
  const commits = await Promise.all(receipts.map(({ propagated }) => propagated))
  t.strictSame(
    commits.map(({ sequence }) => sequence),
    receipts.map((_, i) => i + 1),
  )
  t.strictSame(writes, [link.frames.reduce((sum, { bytes }) => sum + bytes.length, 0)], 'one write with all of them')

  writes.length = 0
  const large = Array.from({ length: 10 }, () => channel.beginSession().put(1n, 'k', Buffer.alloc(50_000)).end())
  t.ok(writes.length > 0, 'a lot leaves before the turn is over')
  await Promise.all(large.map(({ stored }) => stored))
})
