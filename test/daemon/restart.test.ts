/** Whoever restarts, in whatever order and however far apart the disks are: the nodes end with one history. */
import t from 'tap'
import { Cluster, divergentBytes, readKeys } from './cluster.ts'
import { type RawLink, writeMany } from './raw-client.ts'

t.test('whoever restarts, in whatever order: a new term for each start as master, and one history', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1 })
  const orders: readonly (readonly string[])[] = [['m'], ['r1'], ['m', 'r1'], ['r1', 'm']]
  const keys: string[] = []
  let term = cluster.node('m').status().term
  for (const [round, order] of orders.entries()) {
    await cluster.untilStreaming()
    const link = await (await cluster.client()).open(0)
    keys.push(...writeMany(link, `round${round}`, 50))
    await link.untilPropagated(50)
    for (const name of order) await cluster.stop(name)
    for (const name of order) await cluster.run(name)
    const now = cluster.node('m').status().term
    t.equal(now, order.includes('m') ? term + 1n : term, `term after ${order.join(' and ')}`)
    term = now
  }
  await cluster.untilStreaming()
  const link = await (await cluster.client()).open(0)
  keys.push(...writeMany(link, 'last', 1))
  await link.untilPropagated(1)
  t.ok((await cluster.compare('m', 'r1')).same)
  t.same(readKeys(cluster.directory('r1')), keys)
  t.equal(divergentBytes(cluster.directory('r1')), 0, 'nothing was cut off')
})

for (const order of [
  ['m', 'r1'],
  ['r1', 'm'],
]) {
  t.test(`the replica is ahead of a master that was killed; ${order[0]} starts first`, async (t) => {
    const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
    await cluster.untilStreaming()
    const links = await openAll(cluster, 2)
    for (const link of links) writeMany(link, 'kept', 20)
    for (const link of links) await link.untilPropagated(20)
    // The kill: the master's disk is as it was now, the replica has gone on.
    await cluster.save('m', 'killed')
    for (const link of links) writeMany(link, 'lost', 20)
    for (const link of links) await link.untilPropagated(40)
    for (const name of ['m', 'r1']) await cluster.stop(name)
    cluster.restore('m', 'killed')
    for (const name of order) await cluster.run(name)
    await cluster.untilStreaming()
    const after = await openAll(cluster, 2)
    for (const link of after) writeMany(link, 'after', 20)
    for (const link of after) await link.untilPropagated(20)
    t.ok((await cluster.compare('m', 'r1')).same, 'one history')
    for (let channel = 0; channel < 2; channel++) {
      const keys = readKeys(cluster.directory('r1'), channel)
      t.equal(keys.filter((key) => key.startsWith('kept')).length, 20)
      t.equal(keys.filter((key) => key.startsWith('lost')).length, 0)
      t.equal(keys.filter((key) => key.startsWith('after')).length, 20)
    }
    t.ok(divergentBytes(cluster.directory('r1')) > 40 * 200, 'the surplus is kept in divergent/')
    t.ok(
      cluster.lines.some((line) => line.code === 'HISTORY_DIVERGED'),
      'and the log says so',
    )
  })
}

async function openAll(cluster: Cluster, channels: number): Promise<RawLink[]> {
  const client = await cluster.client()
  return Promise.all(Array.from({ length: channels }, (_, channel) => client.open(channel)))
}
