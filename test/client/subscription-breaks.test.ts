/** Subscriptions over restarts and changes of history, against real nodes: nothing twice, nothing left out (REP-77). */
import t from 'tap'
import { Cluster } from '../daemon/cluster.ts'
import { until } from '../daemon/raw-client.ts'
import { linesInFiles, linesOf, reader, readThrough, writer, writeSome } from './reading.ts'

t.test('a restart of the node, and of its master, in the middle: nothing twice, nothing left out', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
  await cluster.untilStreaming()
  const lost: string[] = []
  const resumed: string[] = []
  const subscription = await reader(t, cluster, 'r1', {
    onLost: (error) => lost.push(error.name),
    onResumed: ({ address }) => resumed.push(address),
  })
  const lines: string[] = []
  for (const round of ['r1', 'm', 'r1', 'm']) {
    const before = lost.length
    const client = await writer(t, cluster)
    const written = writeSome(client, `round of ${round}`, 400, 'propagated')
    lines.push(...linesOf((await subscription.next())!)) // in the middle: more is on its way
    await written
    await cluster.stop(round)
    await cluster.run(round)
    await cluster.untilStreaming()
    await until('the reader is back', () => lost.length > before && subscription.state === 'open')
  }
  await writeSome(await writer(t, cluster), 'last', 100, 'propagated')
  await readThrough(subscription, cluster.node('m').status().propagated, lines)
  t.ok(lost.length >= 4 && resumed.length >= 4)
  t.equal(new Set(resumed).size, 1)
  await cluster.stop('m')
  t.strictSame(lines, linesInFiles(cluster.directory('m')))
  t.equal(new Set(lines.map((line) => line.split('/')[0])).size, 3, 'entries of three terms')
})

t.test('a change of history: what was cut was never shown, and what was shown is not cut in silence', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 2 })
  await cluster.untilStreaming()
  const client = await writer(t, cluster)
  const subscription = await reader(t, cluster, 'r1')
  await writeSome(client, 'kept', 50, 'propagated')
  const lines = await readThrough(subscription, cluster.node('m').status().propagated)
  await cluster.save('m', 'before')
  await cluster.stop('r2')
  await writeSome(client, 'surplus', 50, 'stored') // r1 holds it, but r2 does not: it is not PROPAGATED
  await until('the reader holds the surplus', () => subscription.bytesAhead > 5_000)
  await cluster.stop('m')
  cluster.restore('m', 'before') // as if the disk of the master had lost its tail
  await cluster.run('m')
  await cluster.run('r2')
  await cluster.untilStreaming()
  await writeSome(await writer(t, cluster), 'after', 50, 'propagated')
  await readThrough(subscription, cluster.node('m').status().propagated, lines)
  const shown = lines.map(
    (line) =>
      Buffer.from(line.split(' ')[4] ?? '', 'hex')
        .toString()
        .split(' ')[0],
  )
  t.same(new Set(shown), new Set(['kept', 'after', '']))

  await cluster.stop('m')
  t.strictSame(lines, linesInFiles(cluster.directory('m')))

  await t.test('HISTORY_DIVERGED: a disk that has lost what was PROPAGATED', async (t) => {
    cluster.restore('m', 'before')
    await cluster.run('m') // a second term 2, which the replicas refuse
    await cluster.stop('m')
    await cluster.run('m')
    await t.rejects(subscription.next(), { code: 'HISTORY_DIVERGED', where: { channel: Number } })
    t.equal(subscription.state, 'ended')
    await t.rejects(subscription.next(), { code: 'HISTORY_DIVERGED' }, 'again, to whoever asks again')
  })
})
