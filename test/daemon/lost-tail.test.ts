/**
 * A master that lost a tail and went on without it: it wrote other frames where the lost ones had stood, and beyond, before
 * it met the replica that still holds them. Both end with one history, and what was lost is in divergent/.
 */
import t from 'tap'
import { verifyLog } from '../../tools/verify-log.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { Cluster, divergentBytes, readKeys } from './cluster.ts'
import { writeMany } from './raw-client.ts'

for (const lives of [1, 2]) {
  t.test(`other frames stand past the end of the replica, written in ${lives} terms`, async (t) => {
    const cluster = await Cluster.start(t, { replicas: 1 })
    await cluster.untilStreaming()
    const before = await (await cluster.client()).open(0)
    writeMany(before, 'kept', 20)
    await before.untilPropagated(20)
    await cluster.save('m', 'killed')
    writeMany(before, 'lost', 20)
    await before.untilPropagated(40)
    for (const name of ['m', 'r1']) await cluster.stop(name)
    cluster.restore('m', 'killed')
    for (let life = 1; life <= lives; life++) {
      await cluster.run('m')
      const link = await (await cluster.client()).open(0)
      writeMany(link, `other${life}`, 60)
      await link.untilStored(60)
      if (life < lives) await cluster.stop('m')
    }
    await cluster.run('r1')
    await cluster.untilStreaming()
    const last = await (await cluster.client()).open(0)
    writeMany(last, 'last', 1)
    await last.untilPropagated(1)
    t.equal(cluster.node('m').status().term, BigInt(1 + lives))
    t.ok((await cluster.compare('m', 'r1')).same, 'one history, byte for byte')
    const keys = readKeys(cluster.directory('r1'))
    t.equal(keys.length, 20 + 60 * lives + 1)
    t.notOk(keys.some((key) => key.startsWith('lost')))
    t.ok(divergentBytes(cluster.directory('r1')) > 20 * 200, 'the lost tail is kept')
    for (const name of ['m', 'r1']) {
      const { findings } = await verifyLog({ directory: cluster.directory(name), disk: new NodeDisk() })
      t.same(findings, [], `${name} is sound`)
    }
  })
}
