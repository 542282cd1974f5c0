/** Producers that come back: after a break, after restarts of the master, beside themselves, and too late (chapter 7). */
import t from 'tap'
import { MIB } from '../../protocol/limits.ts'
import { ChannelHarness } from './channel-harness.ts'
import { Cluster, readKeys } from './cluster.ts'
import { put, until, writeMany } from './raw-client.ts'

t.test(
  'REP-60 REP-62 REP-66: a producer goes on over another connection, and hears what became of its sessions',
  async (t) => {
    const cluster = await Cluster.start(t, { replicas: 1 })
    await cluster.untilStreaming()
    const first = await (await cluster.client()).open(0)
    const keys = writeMany(first, 'first', 20)
    await first.untilPropagated(20)
    await first.end()
    const { producer } = first
    const client = await cluster.client()
    const { link, answer } = await client.resume(0, { producer, sent: 20, answered: 5, since: 0n })
    t.match(answer, { sequence: 20, missing: [], lastEpoch: BigInt(first.epochs.at(-1)!) })
    await link.untilPropagated(20)
    t.equal(link.stored, 20)
    keys.push(...writeMany(link, 'second', 5))
    await link.untilPropagated(25)
    await cluster.stop('m')
    await cluster.stop('r1')
    t.same(readKeys(cluster.directory('m')), keys)
  },
)

t.test('REP-62 REP-66: also after restarts, where PROPAGATED waits for the replica', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1 })
  await cluster.untilStreaming()
  const link = await (await cluster.client()).open(0)
  const { producer } = link
  writeMany(link, 'key', 30)
  await link.untilPropagated(30)
  const term = cluster.node('m').status().term
  await cluster.stop('m')
  await cluster.stop('r1')
  await cluster.run('m')
  const client = await cluster.client()
  const resumed = await client.resume(0, { producer, sent: 33, answered: 0, since: 0n })
  t.match(resumed.answer, { sequence: 30, missing: [], lastTerm: { number: term }, term: { number: term + 1n } })
  t.equal(resumed.answer.since, 0n, 'since never grows')
  await resumed.link.untilStored(30)
  t.equal(resumed.link.propagated, 0, 'no replica has said so in this term')
  await cluster.run('r1')
  await resumed.link.untilPropagated(30)
  resumed.link.sequence = 31 // session 31 is left out, as one whose caller has given up
  resumed.link.write(put('last'))
  await resumed.link.untilPropagated(32)
  const again = await (await cluster.client()).resume(0, { producer, sent: 33, answered: 0, since: 0n })
  t.match(again.answer, { sequence: 32, missing: [[31, 31]] })
  await again.link.untilPropagated(32)
})

t.test(
  'REP-65: of two connections of one producer the older one is closed, and nothing is written twice',
  async (t) => {
    const cluster = await Cluster.start(t)
    const client = await cluster.client()
    const older = await client.open(0)
    const { producer } = older
    for (let i = 1; i <= 200; i++) older.write(put(`key-${i}`))
    // both in the same turn: sessions may be queued, read or on their way when the other connection is opened
    const { link, answer } = await (await cluster.client()).resume(0, { producer, sent: 200, answered: 0, since: 0n })
    t.same(answer.missing, [])
    for (let i = answer.sequence + 1; i <= 200; i++) {
      link.sequence = i - 1
      link.write(put(`key-${i}`))
    }
    await link.untilStored(200)
    await cluster.stop('m')
    t.ok(older.connection.closed)
    const keys = readKeys(cluster.directory('m'))
    t.same(
      keys,
      Array.from({ length: 200 }, (_, i) => `key-${i + 1}`),
      'each once, in order',
    )
  },
)

t.test('REP-22 REP-61: what a producer may not say', async (t) => {
  const cluster = await Cluster.start(t)
  const client = await cluster.client()
  const link = await client.open(0)
  const { producer } = link
  link.write(put('one'))
  await link.untilStored(1)
  await t.rejects(client.resume(0, { producer: 0n }), /MESSAGE_MALFORMED/)
  await t.rejects(client.resume(0, { producer, sent: 0 }), /PRODUCER_SEQUENCE/)
  await t.rejects(client.resume(0, { producer, sent: 3, answered: 4 }), /PRODUCER_SEQUENCE/)
  const resumed = await client.resume(0, { producer, sent: 1, since: 0n })
  const error = await resumed.link.errorOf(resumed.link.frame([put('old')], { sequence: 1 }))
  t.equal(error?.code, 'PRODUCER_SEQUENCE', 'a session that is in the log is not taken again')
  const leap = await client.resume(0, { producer, sent: 4, since: 0n })
  t.equal((await leap.link.errorOf(leap.link.frame([put('far')], { sequence: 6 })))?.code, 'PRODUCER_SEQUENCE')
  const { link: next } = await client.resume(0, { producer, sent: 4, since: 0n })
  next.sequence = 4
  next.write(put('next'))
  await next.untilStored(5)
  const { answer } = await client.resume(0, { producer, sent: 5, since: 0n })
  t.match(answer, { sequence: 5, missing: [[2, 4]] }, 'all that was sent may be left out, and the next one is taken')
})

t.test('REP-22: a new producer may begin with any number, and then counts one by one', async (t) => {
  const harness = new ChannelHarness(t)
  await harness.listen()
  const { link } = await harness.resume({ producer: 7n })
  link.sequence = 41 // as one that goes on after PRODUCER_EXPIRED
  link.write(put('first'))
  link.write(put('second'))
  await link.untilStored(43)
  t.equal((await link.errorOf(link.frame([put('far')], { sequence: 45 })))?.code, 'PRODUCER_SEQUENCE')
  const { answer } = await harness.resume({ producer: 7n, sent: 43, answered: 41 })
  t.match(answer, { sequence: 43, missing: [] })
  const beginner = await harness.resume({ producer: 7n, sent: 43, answered: 0 })
  t.same(beginner.answer.missing, [[1, 41]], 'who asks hears of what was left out')
})

t.test('REP-65: the answer waits for sessions that were accepted, and are not written yet', async (t) => {
  const harness = new ChannelHarness(t)
  await harness.listen()
  const older = await harness.open()
  const { producer } = older
  const newer = await harness.dial()
  // both are read in one turn, and the flush follows in the next
  const frames = Array.from({ length: 50 }, (_, i) => older.frame([put(`key-${i}`)]))
  older.connection.socket.write(Buffer.concat(frames))
  const { link, answer } = await harness.resume({ producer, sent: 50 }, newer)
  t.equal(answer.sequence, 50)
  await link.untilStored(50)
  t.ok(older.connection.closed)
})

t.test('REP-63 REP-64: a producer that was forgotten hears so, and a new one does not', async (t) => {
  const harness = new ChannelHarness(t, [], { producers: 2, ranges: 1 })
  await harness.listen()
  const first = await harness.open()
  first.write(put('one'))
  await first.untilStored(1)
  await first.end()
  for (let i = 0; i < 2; i++) {
    const other = await harness.open()
    other.write(put('other'))
    await other.untilStored(1)
  }
  await t.rejects(harness.resume({ producer: first.producer, sent: 1 }), /PRODUCER_EXPIRED/)
  const { answer } = await harness.resume({ producer: 99n })
  t.match(answer, { sequence: 0, lastEpoch: 0n })
  const later = await harness.resume({ producer: 99n, sent: 1, since: answer.since })
  t.equal(later.answer.sequence, 0, 'nobody was forgotten since it came first: nothing of it was ever written')
})

t.test('REP-27 REP-65: a client that has gone leaves more than one flush takes, and comes back', async (t) => {
  const harness = new ChannelHarness(t)
  await harness.listen()
  const gone = await harness.open()
  const { producer } = gone
  harness.heldTurns = []
  for (let i = 0; i < 3; i++) gone.write(put(`large-${i}`, Buffer.alloc(3 * MIB)))
  gone.connection.socket.end()
  await until('the node has read it all and seen the end', () => harness.accepted[0]!.destroyed)
  harness.releaseTurns()
  // with nobody waiting for an answer: the queue of one that left must not hold up the channel
  await until('it is written', () => harness.writer.durablePosition > 9 * MIB)
  const { link, answer } = await harness.resume({ producer, sent: 3 })
  t.equal(answer.sequence, 3)
  await link.untilStored(3)
})
