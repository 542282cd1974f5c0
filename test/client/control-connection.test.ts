/**
 * Heartbeats: a node that has gone silent is gone, one that was only slow to be read is not.
 */
import t from 'tap'
import { parseAddress } from '../../client/address.ts'
import { connect } from '../../client/client.ts'
import { ControlConnection } from '../../client/control-connection.ts'
import { shakeHands } from '../../client/handshake.ts'
import { encodeMessage, type Message } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { HEARTBEAT_TIMEOUT_MS } from '../../protocol/limits.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { expectError } from './expect-error.ts'
import { FakeNode, type Teardown } from './fake-node.ts'

interface Opened {
  readonly node: FakeNode
  readonly connection: ControlConnection
  /** Resolves with the reason when the connection is lost. */
  readonly lost: Promise<TravertineError>
}

async function open(t: Teardown, timing: { intervalMs: number; timeoutMs: number }): Promise<Opened> {
  const node = await FakeNode.start(t)
  const limits = { deadlineMs: 20_000, deadline: performance.now() + 20_000, signal: undefined }
  const hello = { type: 'client_hello', versionMin: 1, versionMax: 1, clusterId: '' } as const
  const opened = await shakeHands(nodeWorld, parseAddress(node.address), hello, 'client_hello_ok', limits)
  return new Promise((resolve) => {
    const lost = new Promise<TravertineError>((tell) => {
      const connection = new ControlConnection(nodeWorld.clock, opened, tell, timing)
      t.teardown(() => connection.close())
      queueMicrotask(() => resolve({ node, connection, lost }))
    })
  })
}

const heartbeats = (node: FakeNode): Message<'heartbeat'>[] => node.messages.filter((m) => m.type === 'heartbeat')

t.test('heartbeats go out, and a node that answers them is not silent', async (t) => {
  const { node, connection, lost } = await open(t, { intervalMs: 5, timeoutMs: 50 })
  const many = node.until(() => heartbeats(node).length >= 30)
  t.equal(await Promise.race([many, lost]), undefined)
  t.strictSame(
    heartbeats(node).map(({ sequence }) => sequence),
    heartbeats(node).map((_, i) => i),
  )
  connection.close()
  await connection.closed
  const state = await Promise.race([lost, Promise.resolve('not lost')])
  t.equal(state, 'not lost', 'a connection that we close is not lost')
})

t.test('silence ends the connection', async (t) => {
  const { node, connection, lost } = await open(t, { intervalMs: 10, timeoutMs: 40 })
  node.heartbeats = false
  const begin = performance.now()
  const error = await lost
  t.equal(error.code, 'CONNECTION_LOST')
  t.match(error.message, /40 ms of silence/)
  t.ok(performance.now() - begin >= 20, 'not at once')
  await connection.closed
})

t.test('a process that was busy first reads what has arrived', async (t) => {
  const { node, lost } = await open(t, { intervalMs: 10, timeoutMs: 150 })
  await node.until(() => heartbeats(node).length >= 1)
  for (let round = 0; round < 3; round++) {
    const sent = heartbeats(node).length
    node.controls[0]?.write(encodeMessage({ type: 'heartbeat_ok', sequence: 1 }))
    const busyUntil = performance.now() + 300
    while (performance.now() < busyUntil);
    const next = await Promise.race([node.until(() => heartbeats(node).length > sent), lost])
    t.equal(next, undefined, 'twice the limit in one turn is not silence')
  }
})

t.test('what a node says besides heartbeats ends the connection with its reason', async (t) => {
  const error = toWireError(new TravertineError('CHANNEL_POISONED', 'Cannot go on: found trouble'))
  const messages: [Message | Buffer, string, RegExp][] = [
    [{ type: 'error', error }, 'CHANNEL_POISONED', /found trouble/],
    [{ type: 'session_end', reason: 'maintenance' }, 'SHUTTING_DOWN', /maintenance/],
    [{ type: 'epoch', epoch: 4n }, 'MESSAGE_UNEXPECTED', /epoch message/],
    [Buffer.from('garbage and more garbage'), 'MESSAGE_TOO_LARGE', /length/],
  ]
  for (const [message, code, text] of messages) {
    const { node, lost } = await open(t, { intervalMs: 1_000, timeoutMs: 60_000 })
    node.controls[0]?.write(Buffer.isBuffer(message) ? message : encodeMessage(message))
    const found = await lost
    t.equal(found.code, code)
    t.match(found.message, text)
  }
})

t.test('with the limits of the house', async (t) => {
  const node = await FakeNode.start(t, { heartbeats: false, answer: 'nothing' })
  const begin = performance.now()
  const client = await connect({ address: node.address, reconnect: false })
  const channel = await client.openChannel()
  const receipt = channel.beginSession().put(1n, 'k', Buffer.from('v')).end()
  await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
  t.ok(performance.now() - begin >= HEARTBEAT_TIMEOUT_MS)
  t.ok(heartbeats(node).length >= 1)
  await client.close()
})
