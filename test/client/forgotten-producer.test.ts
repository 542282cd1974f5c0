/**
 * The shipped client and a channel as shipped, on a real disk, where the node has forgotten the client's producer: the
 * session without an answer is `unknown` and is not written again, although it is in the log; the channel goes on.
 */
import t from 'tap'
import { connect } from '../../client/client.ts'
import { FRAME_HEADER_BYTES, FrameKind, HeaderOffset } from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { Segments } from '../../wal/segments.ts'
import { ChannelHarness, SECRET } from '../daemon/channel-harness.ts'
import { put, until } from '../daemon/raw-client.ts'
import { expectError } from './expect-error.ts'
import { FakeNode } from './fake-node.ts'

/** Keys of the sessions in the log, in order: each has one entry, a put with a key of three letters. */
function keysOf({ files, seed, writer }: ChannelHarness): string[] {
  const segments = new Segments({ disk: new NodeDisk(), directory: files, segmentBytes: 0, access: 'read' })
  const bytes = Buffer.alloc(writer.durablePosition)
  segments.read(0, bytes)
  segments.close()
  const keys: string[] = []
  new FrameReader(seed, { channel: 0 }).push(bytes, (buffer, at) => {
    const body = at + FRAME_HEADER_BYTES
    if (buffer[at + HeaderOffset.kind] === FrameKind.ENTRIES) keys.push(buffer.toString('latin1', body + 17, body + 20))
  })
  return keys
}

t.test('PRODUCER_EXPIRED on a real channel', async (t) => {
  const harness = new ChannelHarness(t, [], { producers: 2, ranges: 4 })
  await harness.listen()
  let isAway = false
  const { clusterId, term } = harness
  const node = await FakeNode.start(t, {
    channels: 1,
    replicas: 0,
    onHello: (normal) =>
      isAway ? 'cut' : { ...normal, clusterId, term, session: 1n, secret: SECRET, logPorts: [harness.port] },
  })
  const client = await connect({ address: node.address })
  t.teardown(() => client.close({ deadlineMs: 1 }))
  const channel = await client.openChannel({ channel: 0 })
  const write = (key: string) => channel.beginSession().put(1n, key, Buffer.from('v')).end()
  await write('one').stored

  harness.heldTurns = []
  const unheard = write('two')
  await until('the node has taken it', () => harness.heldTurns!.length > 0)
  isAway = true
  node.breakAll()
  await until('the client looks for its master', () => client.state === 'reconnecting')
  harness.channel.registry.forget(1n) // and its log connection with it
  await until('its channel waits', () => channel.state === 'reconnecting')
  harness.channel.registry.register({ session: 1n, version: 1, secret: SECRET, kind: 'client' })
  const before = harness.writer.durablePosition
  harness.releaseTurns()
  await until('it is written', () => harness.writer.durablePosition > before)
  for (const key of ['xxx', 'yyy']) {
    const other = await harness.open()
    await other.untilStored(other.write(put(key)))
  }
  isAway = false

  await expectError(t, unheard.stored, 'PRODUCER_EXPIRED', 'unknown')
  t.equal((await write('six').stored).sequence, 3, 'it goes on, and so do its numbers')
  t.same(keysOf(harness), ['one', 'two', 'xxx', 'yyy', 'six'], 'each once')
})
