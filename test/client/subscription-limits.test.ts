/** What a subscription is told, how far it reads ahead, and how it ends. */
import t from 'tap'
import { type SubscribeOptions, subscribe } from '../../client/client.ts'
import { MIB } from '../../protocol/limits.ts'
import { Cluster } from '../daemon/cluster.ts'
import { put, until } from '../daemon/raw-client.ts'
import { linesOf, readAll, reader, readThrough, writer, writeSome } from './reading.ts'

t.test('a slow reader: what is read ahead is bounded, the sockets wait, and nothing is lost', async (t) => {
  const cluster = await Cluster.start(t)
  const link = await (await cluster.client()).open(0)
  const memoryBytes = 16 * MIB
  const subscription = await reader(t, cluster, 'm', { memoryBytes })
  const value = Buffer.alloc(256 * 1024)
  let most = 0
  const look = (): void => {
    most = Math.max(most, subscription.bytesAhead)
  }
  for (let i = 0; i < 200; i++) {
    link.write(put(`key ${i}`, value))
    if (i % 4 === 3) await link.untilStored(link.sequence)
    look()
  }
  await until('as much as it may is here', () => subscription.bytesAhead >= memoryBytes)
  look()
  t.ok(most < memoryBytes + 6 * MIB, `${most} bytes of 50 MiB, one epoch and a piece above the limit`)
  const lines = await readThrough(subscription, cluster.node('m').status().stored)
  t.equal(lines.filter((line) => line.includes(' put ')).length, 200)
  t.equal(subscription.bytesAhead, 0)
})

t.test('storages, after, from an epoch on, and the end', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2 })
  const client = await writer(t, cluster)
  await writeSome(client, 'k', 200, 'stored')
  const all = await readAll(await reader(t, cluster, 'm', { follow: false }))
  const storageOf = (line: string): string => line.split(' ')[3] ?? ''
  const some = await readAll(await reader(t, cluster, 'm', { follow: false, storages: [1, 7n] }))
  t.strictSame(
    some,
    all.filter((line) => ['1', '7'].includes(storageOf(line))),
  )
  t.strictSame(await readAll(await reader(t, cluster, 'm', { follow: false, storages: [99] })), [])

  const from = BigInt(all.at(-1)?.split(/[/ ]/)[1] ?? 0)
  const last = await readAll(await reader(t, cluster, 'm', { follow: false, fromEpoch: from }))
  t.strictSame(last, all.slice(-last.length))
  const subscription = await reader(t, cluster, 'm')
  const first = await subscription.next()
  t.ok(first !== undefined)
  const rest = await readAll(await reader(t, cluster, 'm', { follow: false, after: first! }))
  t.strictSame([...linesOf(first!), ...rest], all, 'behind what was handed out')
  const wrong = { term: { number: 1n, tag: first!.term.tag === 1 ? 2 : 1 }, epoch: first!.epoch }
  await t.rejects(readAll(await reader(t, cluster, 'm', { follow: false, after: wrong })), { code: 'HISTORY_DIVERGED' })
  await subscription.close()
  t.equal(await subscription.next(), undefined, 'closed')
  t.equal(subscription.state, 'ended')

  const abort = new AbortController()
  const aborted = await reader(t, cluster, 'm', { signal: abort.signal, fromEpoch: 1_000_000n })
  const pending = aborted.next()
  abort.abort()
  await t.rejects(pending, { code: 'ABORTED' })
  await until('the node has let go of all of them', () => cluster.node('m').status().readers === 0)
})

t.test('wrong options end in VALUE_INVALID', async (t) => {
  const address = '127.0.0.1:7400'
  const wrong: readonly object[] = [
    { address: 'nonsense' },
    { address: [] },
    { address, fromEpoch: -1 },
    { address, fromEpoch: 1n << 64n },
    { address, fromEpoch: 1, after: { term: { number: 1, tag: 1 }, epoch: 1 } },
    { address, after: { term: { number: 1, tag: 0 }, epoch: 1 } },
    { address, after: { term: { number: 1, tag: 1 }, epoch: 0 } },
    { address, storages: [] },
    { address, storages: ['1'] },
    { address, follow: 'yes' },
    { address, memoryBytes: 1 },
    { address, reconnectMs: 0 },
    { address, deadlineMs: 0 },
    { address, onLost: 1 },
    { address, clusterId: 'x' },
  ]
  for (const options of wrong) {
    // a program in JavaScript passes anything
    await t.rejects(
      subscribe(options as SubscribeOptions),
      { code: 'VALUE_INVALID' },
      JSON.stringify(options, (_, v) => `${v}`),
    )
  }
})
