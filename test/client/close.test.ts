/**
 * Shutting down: what was accepted is finished, within a limit, and nothing is left behind.
 */
import t from 'tap'
import { type Channel, type Client, connect } from '../../client/client.ts'
import { expectError } from './expect-error.ts'
import { type FakeLink, FakeNode, type FakeNodeOptions, type Teardown } from './fake-node.ts'

const entry = { op: 'put', storage: 1n, key: 'k', value: Buffer.from('v') } as const

async function open(
  t: Teardown,
  options: FakeNodeOptions = {},
  reconnect = true,
): Promise<{ node: FakeNode; link: FakeLink; client: Client; channel: Channel }> {
  const node = await FakeNode.start(t, { answer: 'nothing', ...options })
  const client = await connect({ address: node.address, reconnect })
  t.teardown(() => client.close({ deadlineMs: 1 }))
  const channel = await client.openChannel()
  return { node, client, channel, link: await node.link() }
}

t.test('close() waits for what somebody waits for', async (t) => {
  const { node, link, client, channel } = await open(t)
  const building = channel.beginSession().put(1n, 'k', Buffer.alloc(1))
  const write = channel.write([entry], { level: 'propagated' })
  const receipt = channel.beginSession().put(1n, 'k', Buffer.alloc(1)).end()
  let isClosed = false
  const closing = client.close().then(() => {
    isClosed = true
  })
  t.equal(client.state, 'closing')
  t.equal(client.close({ deadlineMs: 5 }) instanceof Promise, true, 'a second close waits for the first')
  await expectError(t, client.openChannel(), 'CLIENT_CLOSED')
  await expectError(t, client.write([entry], { level: 'stored' }), 'CLIENT_CLOSED')
  await expectError(t, channel.write([entry], { level: 'stored' }), 'CLIENT_CLOSED')
  await expectError(t, () => channel.beginSession(), 'CLIENT_CLOSED')
  await expectError(t, building.end().stored, 'CLIENT_CLOSED')
  await link.received(2)
  link.stored(1, 2)
  await receipt.stored
  t.notOk(isClosed, 'one write still waits for PROPAGATED')
  link.propagated(1, 2)
  await write
  await closing
  t.equal(client.state, 'closed')
  t.equal(channel.state, 'ended')
  await node.until(() => link.socket.destroyed && node.controls.every((socket) => socket.destroyed))
  t.equal(link.frames.length, 2)
})

t.test('close() does not wait for PROPAGATED that nobody asked for', async (t) => {
  const { link, client, channel } = await open(t)
  const receipt = channel.beginSession().put(1n, 'k', Buffer.alloc(1)).end()
  await link.received(1)
  const closing = client.close()
  link.stored(1, 1)
  await closing
  t.equal((await receipt.stored).epoch, 1n)
  await expectError(t, receipt.propagated, 'CLIENT_CLOSED', 'unknown')
})

t.test('close() has a limit, and an abort makes it shorter', async (t) => {
  for (const limit of ['deadline', 'abort', 'aborted']) {
    const { link, client, channel } = await open(t)
    const receipt = channel.beginSession().put(1n, 'k', Buffer.alloc(1)).end()
    await link.received(1)
    const abort = new AbortController()
    if (limit === 'aborted') abort.abort()
    const closing = client.close(limit === 'deadline' ? { deadlineMs: 20 } : { signal: abort.signal })
    if (limit === 'abort') abort.abort()
    await closing
    await expectError(t, receipt.stored, 'CLIENT_CLOSED', 'unknown')
    t.equal(client.state, 'closed', limit)
  }
  const { client } = await open(t)
  await expectError(t, client.close({ deadlineMs: 0 }), 'VALUE_INVALID')
  t.equal(client.state, 'open', 'a refused close has closed nothing')
  await client.close()
})

t.test('close() finishes calls that waited for room', async (t) => {
  const { node, link, client, channel } = await open(t)
  const big = Buffer.alloc(9_000_000)
  channel.beginSession().put(1n, 'k', big).end()
  channel.beginSession().put(1n, 'k', big).end()
  const waiting = channel.write([entry], { level: 'propagated' })
  t.equal(channel.unanswered.waitingCalls, 1)
  const closing = client.close()
  await link.received(2)
  node.answer = 'propagated'
  link.stored(1, 2)
  node.epoch = 1
  t.equal((await waiting).sequence, 3)
  await closing
})

t.test('a channel can be closed alone', async (t) => {
  const { node, client, channel } = await open(t, { answer: 'propagated' })
  await channel.write([entry], { level: 'propagated' })
  await channel.close()
  await expectError(t, () => channel.beginSession(), 'CLIENT_CLOSED')
  t.equal(client.state, 'open')
  await client.write([entry], { level: 'propagated' })
  t.equal(node.links.length, 2)
  await client.close()
})

t.test('a connection that is lost while closing ends the wait, if it is not made anew', async (t) => {
  const { node, link, client, channel } = await open(t, {}, false)
  const write = channel.write([entry], { level: 'stored' })
  await link.received(1)
  const closing = client.close()
  node.controls[0]?.destroy()
  await expectError(t, write, 'CONNECTION_LOST', 'unknown')
  await closing
  t.equal(client.state, 'closed')
})

t.test('a channel that opens while the client closes is closed too', async (t) => {
  const { node, client } = await open(t)
  const opening = client.openChannel()
  const writing = client.write([entry], { level: 'stored' })
  const closing = client.close()
  await expectError(t, opening, 'CLIENT_CLOSED')
  await expectError(t, writing, 'CLIENT_CLOSED')
  await closing
  await node.until(() => node.links.every(({ socket }) => socket.destroyed))
})

t.test('client.write opens one channel, once, and another one when that has ended', async (t) => {
  const { node, client, channel } = await open(t, { answer: 'propagated' }, false)
  await channel.close()
  const commits = await Promise.all([1, 2, 3].map(() => client.write([entry], { level: 'propagated' })))
  t.strictSame(
    commits.map(({ sequence }) => sequence),
    [1, 2, 3],
  )
  t.equal(node.links.length, 2, 'first writes at the same time share one opening')
  await client.write([entry], { level: 'stored' })
  t.equal(node.links.length, 2)
  node.answer = 'nothing'
  const lost = client.write([entry], { level: 'stored' })
  await node.links[1]?.received(5)
  node.links[1]?.cut()
  await expectError(t, lost, 'CONNECTION_LOST', 'unknown')
  node.answer = 'propagated'
  t.equal((await client.write([entry], { level: 'stored' })).sequence, 1, 'a new producer')
  t.equal(node.links.length, 3)
  await client.close()
})

t.test('client.write: what happens before the channel is open is not-applied', async (t) => {
  const node = await FakeNode.start(t, { onLogOpen: () => 'silence' })
  const client = await connect({ address: node.address })
  const abort = new AbortController()
  const calls = [
    client.write([entry], { level: 'stored', deadlineMs: 20 }),
    client.write([entry], { level: 'stored', signal: abort.signal }),
  ]
  await expectError(t, calls[0]!, 'DEADLINE_EXCEEDED')
  abort.abort()
  await expectError(t, calls[1]!, 'ABORTED')
  node.links[0]?.cut()
  await client.close()
})
