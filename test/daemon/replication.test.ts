/**
 * A master, a replica and a client on real sockets and files: what is answered is on both disks, byte for byte, and
 * PROPAGATED waits for whoever is away while STORED goes on. Restarts are in restart.test.ts.
 */
import t from 'tap'
import { SENDER_QUEUE_BYTES_LIMIT } from '../../protocol/limits.ts'
import { Cluster, readKeys, TEST_SEGMENT_BYTES } from './cluster.ts'
import { put, until, writeMany } from './raw-client.ts'

for (const channels of [1, 3]) {
  t.test(`STORED, then PROPAGATED, then the same bytes on both disks: ${channels} channels`, async (t) => {
    const cluster = await Cluster.start(t, { channels, replicas: 1 })
    await cluster.untilStreaming()
    const client = await cluster.client()
    t.equal(client.hello.channels, channels)
    t.equal(client.hello.replicas, 1)
    const links = await Promise.all(Array.from({ length: channels }, (_, channel) => client.open(channel)))
    const keys = links.map((link, channel) => writeMany(link, `c${channel}`, 200))
    for (const link of links) await link.untilPropagated(200)
    for (const link of links) {
      t.equal(link.stored, 200)
      t.ok(
        link.epochs.every((epoch, i) => i === 0 || epoch > link.epochs[i - 1]!),
        'epochs ascend',
      )
    }
    const { stored, propagated, closed, open } = cluster.node('m').status()
    t.ok(propagated <= stored && stored <= closed && closed < open, 'the watermarks stand in their order')
    const { same, bytes } = await cluster.compare('m', 'r1')
    t.ok(same && bytes > 200 * 200 * channels, `${bytes} bytes are the same`)
    for (let channel = 0; channel < channels; channel++) {
      t.same(readKeys(cluster.directory('r1'), channel), keys[channel], 'each entry once, in its order')
    }
  })
}

t.test(
  'a replica that is behind catches up from the files while writes go on; STORED never waits for it',
  async (t) => {
    const cluster = await Cluster.start(t, { replicas: 1 })
    await cluster.untilStreaming()
    const link = await (await cluster.client()).open(0)
    writeMany(link, 'level', 10)
    await link.untilPropagated(10)
    await cluster.stop('r1')
    const value = Buffer.alloc(2_000, 9)
    writeMany(link, 'away', 1_000, value)
    await link.untilStored(1_010)
    t.equal(link.propagated, 10, 'PROPAGATED waits for the replica')
    const { stored, propagated } = cluster.node('m').status()
    t.ok(propagated < stored)
    t.ok(1_000 * 2_000 > 4 * TEST_SEGMENT_BYTES && 1_000 * 2_000 < SENDER_QUEUE_BYTES_LIMIT, 'several segments to read')
    await cluster.run('r1')
    let sent = 0
    while (link.propagated < 1_010) {
      link.write(put(`meanwhile-${sent++}`, value))
      await link.untilStored(1_010 + sent)
    }
    await link.untilPropagated(1_010 + sent)
    t.ok((await cluster.compare('m', 'r1')).same)
    t.equal(readKeys(cluster.directory('r1')).length, 1_010 + sent)
  },
)

t.test('two replicas: PROPAGATED asks for both', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 2 })
  await cluster.untilStreaming()
  const client = await cluster.client()
  t.equal(client.hello.replicas, 2)
  const link = await client.open(0)
  await link.untilPropagated(link.write(put('both')))
  await cluster.stop('r2')
  const alone = link.write(put('one is away'))
  await link.untilStored(alone)
  await until(
    'the replica that is there has it',
    () => cluster.node('r1').status().whole >= cluster.node('m').status().stored,
  )
  t.equal(link.propagated, alone - 1)
  await cluster.run('r2')
  await link.untilPropagated(alone)
  t.ok((await cluster.compare('m', 'r1')).same)
  t.ok((await cluster.compare('m', 'r2')).same)
})

t.test('without a replica nothing is PROPAGATED, and a client is told so when it says hello', async (t) => {
  const cluster = await Cluster.start(t)
  const client = await cluster.client()
  t.equal(client.hello.replicas, 0)
  const link = await client.open(0)
  await link.untilStored(link.write(put('a')))
  await link.untilStored(link.write(put('b')))
  t.equal(link.propagated, 0)
  t.equal(cluster.node('m').status().propagated, 0n)
})
