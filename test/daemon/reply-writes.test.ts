/** When answers leave: one write for STORED and PROPAGATED where both are known, and who waits for STORED has it one turn later. */
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { encodeMessage, MessageReader } from '../../protocol/control-message.ts'
import { FRAME_HEADER_BYTES } from '../../protocol/frame.ts'
import { UNPROPAGATED_RECORDS_LIMIT } from '../../protocol/limits.ts'
import { encodeReply, ReplyType } from '../../protocol/log-reply.ts'
import { SEAL_BODY_BYTES } from '../../protocol/seal.ts'
import { ChannelHarness } from './channel-harness.ts'
import type { Teardown } from './cluster.ts'
import { put, until } from './raw-client.ts'

const SEAL_BYTES = FRAME_HEADER_BYTES + SEAL_BODY_BYTES

/** A channel with a replica in row 1 that acknowledges when the test wants it. */
async function channelWithReplica(
  t: Teardown,
): Promise<{ harness: ChannelHarness; acknowledge: (position: number) => void; isUp: () => boolean }> {
  const harness = new ChannelHarness(t, [1])
  await harness.listen()
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    const reader = new MessageReader()
    let open = false
    socket.on('data', (chunk) => {
      if (open || reader.push(chunk, 1).length === 0) return
      open = true
      const term = { number: 1n, nodeId: '00000000-0000-4000-8000-000000000001', tag: 1 }
      const noProducer = { sequence: 0, missing: [], lastEpoch: 0n, lastTerm: term, since: 0n }
      socket.write(encodeMessage({ type: 'log_open_ok', position: 0, term, ...noProducer }))
      sockets.push(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const peer = { host: '127.0.0.1', port, peerSession: 1n, version: 1, secret: Buffer.alloc(16), resume: 0 }
  harness.channel.rows.open(1, 1n, peer)
  await until('the replica is connected', () => sockets.length > 0)
  return {
    harness,
    acknowledge: (position) => sockets[0]!.write(encodeReply(ReplyType.DURABLE, position, position)),
    isUp: () => harness.rows.includes('rowOpen'),
  }
}

/** Sizes of the writes to a socket from now on. */
function writesTo(socket: Socket): number[] {
  const sizes: number[] = []
  const write = socket.write.bind(socket)
  // cast: of the overloads only this one is used by the node
  socket.write = ((bytes: Buffer) => {
    sizes.push(bytes.length)
    return write(bytes)
  }) as typeof socket.write
  return sizes
}

t.test('an ack that is there when fdatasync returns is told together with STORED', async (t) => {
  const { harness, acknowledge, isUp } = await channelWithReplica(t)
  await until('the row is up', isUp)
  const link = await harness.open()
  const sizes = writesTo(harness.accepted[0]!)
  const frame = link.frame([put('k')])
  harness.disk.onSync = () => acknowledge(frame.length + SEAL_BYTES)
  link.connection.socket.write(frame)
  await link.untilPropagated(1)
  t.same(sizes, [48], 'two replies, one write')
})

t.test('without an ack STORED leaves one turn after its flush', async (t) => {
  const { harness, acknowledge, isUp } = await channelWithReplica(t)
  await until('the row is up', isUp)
  const link = await harness.open()
  const sizes = writesTo(harness.accepted[0]!)
  const frame = link.frame([put('k')])
  const seen: number[] = []
  harness.disk.onSync = () => {
    harness.disk.onSync = () => undefined
    setImmediate(() => {
      seen.push(sizes.length) // before the node's own turn
      setImmediate(() => seen.push(sizes.length))
    })
  }
  link.connection.socket.write(frame)
  await link.untilStored(1)
  t.same(seen, [0, 1])
  t.same(sizes, [24])
  acknowledge(frame.length + SEAL_BYTES)
  await link.untilPropagated(1)
  t.same(sizes, [24, 24])
})

t.test('REP-37: for writers that wait for PROPAGATED a STORED waits to go with it', async (t) => {
  const { harness, acknowledge, isUp } = await channelWithReplica(t)
  await until('the row is up', isUp)
  const link = await harness.open('propagated')
  const sizes = writesTo(harness.accepted[0]!)
  const frame = link.frame([put('k')])
  harness.disk.onSync = () => {
    harness.disk.onSync = () => undefined
    setImmediate(() => setImmediate(() => setImmediate(() => acknowledge(frame.length + SEAL_BYTES))))
  }
  link.connection.socket.write(frame)
  await link.untilPropagated(1)
  t.same(sizes, [48], 'though the ack came turns after the flush')

  const last = link.frame([put('k')])
  link.connection.socket.write(last)
  await link.untilStored(2)
  t.same(sizes, [48, 24], 'and a STORED whose PROPAGATED does not come leaves alone')
  t.equal(link.propagated, 1)
})

t.test('a replica that was away for many flushes of many writers: all are answered when it is back', async (t) => {
  const { harness, acknowledge } = await channelWithReplica(t)
  const links = await Promise.all(Array.from({ length: 60 }, () => harness.open()))
  const rounds = 2 * Math.ceil(UNPROPAGATED_RECORDS_LIMIT / links.length)
  for (let round = 1; round <= rounds; round++) {
    for (const link of links) link.write(put('k'))
    for (const link of links) await link.untilStored(round)
  }
  t.ok(links.every((link) => link.propagated === 0))
  acknowledge(harness.writer.durablePosition)
  for (const link of links) await link.untilPropagated(rounds)
})
