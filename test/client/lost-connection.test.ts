/**
 * What becomes of sessions when a connection ends, by whomever and for whatever reason, and is not made anew.
 */
import t from 'tap'
import { encodeMessage } from '../../protocol/control-message.ts'
import { expectError } from './expect-error.ts'
import type { FakeLink } from './fake-node.ts'
import { entry, openOnce, session, settled, stateOf } from './open-channel.ts'

t.test('a lost log connection: what was sent is unknown', async (t) => {
  const { link, channel, client, node } = await openOnce(t)
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
  const { link, channel } = await openOnce(t)
  const receipts = [session(channel).end(), session(channel).end()]
  await link.received(2)
  link.stored(3, 1)
  link.propagated(3, 1)
  link.socket.end()
  t.equal((await receipts[0]!.propagated).epoch, 3n)
  await expectError(t, receipts[1]!.stored, 'CONNECTION_LOST', 'unknown')
})

t.test('a lost control connection ends all channels', async (t) => {
  const { node, link, channel, client } = await openOnce(t)
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
  const { node, link, channel, client } = await openOnce(t)
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
  const { link, channel } = await openOnce(t)
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
    const { link, channel } = await openOnce(t)
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
    const { link, channel } = await openOnce(t)
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
  const { link, channel } = await openOnce(t)
  session(channel).end()
  const half = session(channel).end()
  const late = session(channel)
  const { stored, propagated } = half
  void channel.write([entry], { level: 'stored' })
  await link.received(3)
  link.cut()
  await expectError(t, stored, 'CONNECTION_LOST', 'unknown')
  void late.end().stored // read, and dropped
  await settled()
  t.equal(await stateOf(propagated), 'CONNECTION_LOST')
  t.match(seen, [{ code: 'CONNECTION_LOST', outcome: 'unknown' }], 'the write, and nothing else')
  void channel.write([entry], { level: 'stored' })
  await settled()
  t.match(seen[1], { code: 'CONNECTION_LOST', outcome: 'not-applied' })
  t.equal(seen.length, 2)
})
