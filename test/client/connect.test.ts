/**
 * Finding the master: addresses in turn, redirects with an end, and every way in which a hello can go wrong.
 */
import { createServer } from 'node:net'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { type Message, PROTOCOL_VERSION_MAX } from '../../protocol/control-message.ts'
import { CLIENT_REDIRECT_COUNT_LIMIT } from '../../protocol/limits.ts'
import { expectError } from './expect-error.ts'
import { CLUSTER, FakeNode, NODE, notMaster, TERM } from './fake-node.ts'

/** A port on which nobody listens: it was just given back. */
async function deadAddress(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const port = (server.address() as { port: number }).port // a TCP server has a port
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
}

t.test('a client knows what it is connected to', async (t) => {
  const node = await FakeNode.start(t, { channels: 3, replicas: 2 })
  const client = await connect({ address: node.address, clusterId: CLUSTER })
  t.match(client.info, {
    address: node.address,
    clusterId: CLUSTER,
    nodeId: NODE,
    term: TERM,
    channels: 3,
    replicas: 2,
    protocolVersion: 1,
    storedEpoch: 11n,
    propagatedEpoch: 10n,
  })
  t.equal(client.state, 'open')
  t.match(node.messages[0], {
    type: 'client_hello',
    versionMin: 1,
    versionMax: PROTOCOL_VERSION_MAX,
    clusterId: CLUSTER,
  })
  await client.close()
  t.equal(client.state, 'closed')
})

t.test('addresses are tried in turn', async (t) => {
  const node = await FakeNode.start(t)
  const cutting = await FakeNode.start(t, { onHello: () => 'cut' })
  const client = await connect({ address: [await deadAddress(), cutting.address, node.address] })
  t.equal(client.info.address, node.address)
  t.equal(cutting.messages.length, 1)
  await client.close()

  const [dead, deadToo] = [await deadAddress(), await deadAddress()]
  const error = await expectError(t, connect({ address: [dead, deadToo] }), 'CONNECT_FAILED')
  t.match(error.message, dead, 'names the first')
  t.match(error.message, deadToo, 'and the second')
  await expectError(t, connect({ address: dead }), 'CONNECT_FAILED')
})

t.test('a replica names the master, and the client goes there', async (t) => {
  const master = await FakeNode.start(t)
  const replica = await FakeNode.start(t, { onHello: () => notMaster(master.address) })
  const client = await connect({ address: replica.address })
  t.equal(client.info.address, master.address)
  await client.close()
})

t.test('where no master answers, the error names it as far as it is known', async (t) => {
  const dead = await deadAddress()
  const replica = await FakeNode.start(t, { onHello: () => notMaster(dead) })
  const error = await expectError(t, connect({ address: replica.address }), 'NOT_MASTER')
  t.equal(error.where.peer, dead)
  t.match(error.message, replica.address)

  const lost = await FakeNode.start(t, { onHello: () => notMaster() })
  const unknown = await expectError(t, connect({ address: lost.address }), 'NOT_MASTER')
  t.equal(unknown.where.peer, undefined, 'a replica is not called master because it has answered')

  const odd = await FakeNode.start(t, { onHello: () => notMaster('somewhere else') })
  await expectError(t, connect({ address: odd.address }), 'NOT_MASTER')
})

t.test('redirects end: in a circle, and in a long chain', async (t) => {
  let other = ''
  const a = await FakeNode.start(t, { onHello: () => notMaster(other) })
  const b = await FakeNode.start(t, { onHello: () => notMaster(a.address) })
  other = b.address
  await expectError(t, connect({ address: a.address }), 'NOT_MASTER')
  t.equal(a.messages.length + b.messages.length, 2, 'each was asked once')

  const chain = [await FakeNode.start(t)]
  for (let i = 0; i <= CLIENT_REDIRECT_COUNT_LIMIT; i++) {
    const next = chain[0]?.address
    chain.unshift(await FakeNode.start(t, { onHello: () => notMaster(next) }))
  }
  const [tooFar, near] = chain
  const error = await expectError(t, connect({ address: tooFar?.address ?? '' }), 'NOT_MASTER')
  t.equal(error.where.peer, chain.at(-1)?.address, 'the last named one, which was not tried any more')
  const client = await connect({ address: near?.address ?? '' })
  t.equal(client.info.address, chain.at(-1)?.address)
  await client.close()
})

t.test('a hello that makes no sense is refused', async (t) => {
  const cases = {
    CLUSTER_MISMATCH: { clusterId: '99999999-2222-4333-8444-555555555555' },
    PROTOCOL_VERSION_UNSUPPORTED: { version: 9 },
    MESSAGE_MALFORMED: { channels: 65 },
  } as const
  for (const [code, change] of Object.entries(cases)) {
    const node = await FakeNode.start(t, { onHello: (normal) => ({ ...normal, ...change }) })
    const call = connect({ address: node.address, clusterId: CLUSTER })
    await expectError(t, call, code as keyof typeof cases) // Object.entries has lost the type
  }
  for (const change of [{ channels: 0, logPorts: [] }, { logPorts: [1] }]) {
    const node = await FakeNode.start(t, { onHello: (normal) => ({ ...normal, ...change }) })
    await expectError(t, connect({ address: node.address }), 'MESSAGE_MALFORMED')
  }
  const node = await FakeNode.start(t, { onHello: () => ({ type: 'heartbeat_ok', sequence: 1 }) })
  await expectError(t, connect({ address: node.address }), 'MESSAGE_UNEXPECTED')
})

t.test('a peer that is no Travertine is told as such', async (t) => {
  const node = await FakeNode.start(t, { onHello: () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') })
  const error = await expectError(t, connect({ address: node.address }), 'MESSAGE_TOO_LARGE')
  t.match(error.hint, /right port/)
  const odd = await FakeNode.start(t, { onHello: () => Buffer.from([3, 0, 0, 0, 0xc1, 0xc1, 0xc1]) })
  await expectError(t, connect({ address: odd.address }), 'MESSAGE_MALFORMED')
})

t.test('a silent peer costs a deadline, an abort ends the wait at once', async (t) => {
  const node = await FakeNode.start(t, { onHello: () => 'silence' })
  await expectError(t, connect({ address: node.address, deadlineMs: 50 }), 'DEADLINE_EXCEEDED')

  const abort = new AbortController()
  const hellos = node.messages.length
  const call = connect({ address: node.address, signal: abort.signal })
  await node.until(() => node.messages.length > hellos)
  abort.abort(new Error('enough'))
  const error = await expectError(t, call, 'ABORTED')
  t.match(error.cause, { message: 'enough' })
  await expectError(t, connect({ address: node.address, signal: abort.signal }), 'ABORTED')
  await node.until(() => node.controls.every((socket) => socket.destroyed))
  t.pass('no connection is left behind')
})

t.test('options that make no sense are refused before anything is dialled', async (t) => {
  const bad = ['', 'localhost', ':1', 'a:0', 'a:70000', 'a b:1', '::1:5', '[::1]', []]
  for (const address of bad) await expectError(t, connect({ address }), 'VALUE_INVALID')
  const address = '127.0.0.1:1'
  await expectError(t, connect({ address, clusterId: 'mine' }), 'VALUE_INVALID')
  for (const deadlineMs of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
    await expectError(t, connect({ address, deadlineMs }), 'VALUE_INVALID')
  }
  const plain: Record<string, unknown> = { address, values: 'json' }
  await expectError(t, connect(plain as { address: string }), 'VALUE_INVALID') // as from plain JavaScript
  const error = await expectError(t, connect({ address: '[::1]:1' }), 'CONNECT_FAILED')
  t.match(error.message, '[::1]:1', 'an IPv6 address is understood and printed as it was given')
})

t.test('opening a channel', async (t) => {
  const node = await FakeNode.start(t, { channels: 3 })
  const client = await connect({ address: node.address })
  for (const channel of [-1, 3, 0.5]) await expectError(t, client.openChannel({ channel }), 'CHANNEL_UNKNOWN')
  const two = await client.openChannel({ channel: 2 })
  t.equal(two.id, 2)
  const others = [await client.openChannel(), await client.openChannel()]
  t.same(others.map(({ id }) => id).sort(), [0, 1], 'the least used ones')
  await two.close()
  t.equal((await client.openChannel()).id, 2, 'which a closed channel is again')
  const opens = node.links.map(({ open }) => open)
  t.match(opens[0], { version: 1, session: 5n, secret: Buffer.alloc(16, 3), channel: 2 })
  t.equal(new Set(opens.map(({ producer }) => producer)).size, 4, 'each has a producer id of its own')
  t.notOk(opens.some(({ producer }) => producer === 0n))
  await client.close()
})

t.test('a channel that cannot be opened leaves nothing behind', async (t) => {
  const answers = {
    MESSAGE_UNEXPECTED: () => ({ type: 'heartbeat_ok', sequence: 1 }) as const,
    TERM_STALE: (normal: Message<'log_open_ok'>) => ({ ...normal, term: { ...TERM, tag: 100 } }),
    CONNECT_FAILED: () => 'cut' as const,
    DEADLINE_EXCEEDED: () => 'silence' as const,
    MESSAGE_TOO_LARGE: () => Buffer.alloc(8),
  }
  for (const [code, onLogOpen] of Object.entries(answers)) {
    const node = await FakeNode.start(t, { onLogOpen })
    const client = await connect({ address: node.address, reconnect: false })
    const deadlineMs = code === 'DEADLINE_EXCEEDED' ? 50 : 20_000
    await expectError(t, client.openChannel({ channel: 0, deadlineMs }), code as keyof typeof answers) // as above
    // where the deadline was too short for a busy machine, there may not even be a link
    await node.until(() => node.links.every(({ socket }) => socket.destroyed))
    t.equal(client.state, 'open')
    await client.close()
  }
})
