/**
 * Subscriptions against real nodes: every committed epoch once, in order, with exactly what stands in the files, and nothing
 * that is not committed (REP-76).
 */
import t from 'tap'
import { Cluster } from '../daemon/cluster.ts'
import { until } from '../daemon/raw-client.ts'
import { linesInFiles, linesOf, readAll, reader, readThrough, writer, writeSome } from './reading.ts'

t.test('REP-76: what was written, all of it, in order, from a master and from a replica', async (t) => {
  const cluster = await Cluster.start(t, { channels: 3, replicas: 1 })
  await cluster.untilStreaming()
  const client = await writer(t, cluster)
  await writeSome(client, 'before', 2_000, 'propagated')
  const following = await Promise.all(['m', 'r1'].map((name) => reader(t, cluster, name)))
  await writeSome(client, 'while', 2_000, 'propagated')
  const { propagated } = cluster.node('m').status()
  const [onMaster, onReplica] = await Promise.all(
    following.map((subscription) => readThrough(subscription, propagated)),
  )
  const ended = await Promise.all(
    ['m', 'r1'].map(async (name) => readAll(await reader(t, cluster, name, { follow: false }))),
  )
  await cluster.stop('m')
  const lines = linesInFiles(cluster.directory('m'))
  t.ok(lines.length > 4_000)
  t.strictSame(onMaster, lines, 'following on the master')
  t.strictSame(onReplica, lines, 'following on the replica')
  t.strictSame(ended, [lines, lines], 'up to what was committed')
})

t.test('REP-71 REP-76: while a replica is away the master shows nothing beyond what is PROPAGATED', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
  await cluster.untilStreaming()
  const client = await writer(t, cluster)
  await writeSome(client, 'before', 100, 'propagated')
  const subscription = await reader(t, cluster, 'm')
  const { propagated } = cluster.node('m').status()
  const lines = await readThrough(subscription, propagated)
  await cluster.stop('r1')
  await writeSome(client, 'alone', 500, 'stored')
  t.ok(cluster.node('m').status().stored > propagated)

  let isShown = false
  const next = subscription.next().then((epoch) => {
    isShown = true
    return epoch
  })
  await until('the reader holds what was STORED since', () => subscription.bytesAhead > 50_000)
  t.equal(isShown, false, 'and keeps it to itself')
  t.equal(subscription.committedEpoch, propagated)
  t.strictSame(
    await readAll(await reader(t, cluster, 'm', { follow: false })),
    lines,
    'whoever comes now sees the same',
  )

  await cluster.run('r1')
  const first = await next
  t.ok(first !== undefined && first.epoch > propagated)
  lines.push(...linesOf(first!))
  while (subscription.nextEpoch <= cluster.node('m').status().stored) {
    const epoch = await subscription.next()
    t.ok(epoch!.epoch <= cluster.node('m').status().propagated || epoch === undefined, 'PROPAGATED by now')
    lines.push(...linesOf(epoch!))
  }
  await cluster.stop('m')
  t.strictSame(lines, linesInFiles(cluster.directory('m')))
})
