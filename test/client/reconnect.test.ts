/**
 * Sessions outlive connections: for each point at which a connection can break, and for each state in which the log can
 * be found afterwards, what is sent again, and what each session is told.
 */
import t from 'tap'
import { expectError } from './expect-error.ts'
import {
  EMPTY_LOG,
  expired,
  type FakeLink,
  type FakeNode,
  type FakeNodeOptions,
  NEXT_TERM,
  TERM,
  type Teardown,
} from './fake-node.ts'
import { entry, type Opened, openChannel, session, settled, stateOf } from './open-channel.ts'

const open = (t: Teardown, more = {}): Promise<Opened> => openChannel(t, {}, { reconnect: true, ...more })

/** Its log is found like this by whoever opens a connection from now on. */
function holds(node: FakeNode, sequence: number, missing: [number, number][] = []): void {
  node.log = { sequence, missing, lastEpoch: 5n, lastTerm: TERM }
}

/** Breaks the connection of `link`, and waits for the one that comes after it. */
async function breakLink(node: FakeNode, link: FakeLink): Promise<FakeLink> {
  const next = node.links.length
  link.cut()
  return node.link(next)
}

t.test('broken before anything was sent: sessions are taken meanwhile, and sent in their order', async (t) => {
  const { node, link, channel } = await open(t)
  link.cut()
  while (channel.state === 'open') await settled()
  t.equal(channel.state, 'reconnecting')
  const receipts = [1, 2, 3].map(() => session(channel).end())
  const write = channel.write([entry], { level: 'stored' })
  const next = await node.link(1)
  await next.received(4)
  t.same(next.sequences, [1, 2, 3, 4])
  t.equal(next.open.producer, link.open.producer, 'the same producer')
  t.match(next.open, { since: 11n }, 'what it was given to hand back')
  next.stored(1, 4)
  for (const receipt of receipts) t.equal((await receipt.stored).epoch, 1n)
  await write
  t.equal(channel.state, 'open')
  t.equal(channel.reconnects, 1)
})

t.test('broken in the middle of a frame: it is sent again as a whole', async (t) => {
  const { node, link, channel } = await open(t)
  link.socket.pause()
  const value = Buffer.alloc(8_000_000, 'x')
  const receipt = channel.beginSession().put(1n, 'k', value).end()
  await settled()
  const next = await breakLink(node, link)
  const [frame] = await next.received(1)
  t.equal(link.frames.length, 0)
  t.match(frame?.entries, [{ op: 'put', value }])
  next.stored(1, 1)
  await receipt.stored
})

t.test('broken after frames without an answer', async (t) => {
  const cases: [string, number, number[]][] = [
    ['the log has none', 0, [1, 2, 3]],
    ['the log has some', 2, [3]],
    ['the log has all', 3, []],
  ]
  for (const [name, inLog, again] of cases) {
    const { node, link, channel } = await open(t)
    const receipts = [1, 2, 3].map(() => session(channel).end())
    await link.received(3)
    holds(node, inLog)
    const next = await breakLink(node, link)
    t.match(next.open, { sent: 3, answered: 0 }, name)
    if (inLog > 0) next.stored(5, inLog)
    await next.received(again.length)
    t.same(next.sequences, again, name)
    for (const frame of next.frames) {
      const before = link.frames.find(({ header }) => header.producerSequence === frame.header.producerSequence)
      t.ok(before?.bytes.equals(frame.bytes), 'to the byte')
    }
    if (again.length > 0) next.stored(6, 3)
    const epochs = (await Promise.all(receipts.map(({ stored }) => stored))).map(({ epoch }) => epoch)
    t.same(
      epochs,
      [1, 2, 3].map((n) => (n <= inLog ? 5n : 6n)),
      name,
    )
    const late = session(channel).end()
    await next.received(again.length + 1)
    t.equal(next.lastSequence, late.sequence, 'and numbers go on')
  }
})

t.test('a receipt names the mastership that wrote the session, whichever one says that it is STORED', async (t) => {
  const { node, link, channel } = await open(t)
  const receipts = [1, 2, 3].map(() => session(channel).end())
  await link.received(3)
  holds(node, 3)
  node.term = NEXT_TERM
  node.breakAll()
  const second = await node.link(1)
  receipts.push(...[4, 5].map(() => session(channel).end()))
  await second.received(2) // and breaks before it has said anything
  node.log = { sequence: 5, missing: [], lastEpoch: 9n, lastTerm: NEXT_TERM }
  const third = await breakLink(node, second)
  third.stored(5, 3) // below the last epoch of the log, and not of its term
  third.stored(9, 5)
  const commits = await Promise.all(receipts.map(({ stored }) => stored))
  const places = commits.map(({ term, epoch }) => [term.number, epoch])
  const [old, young] = [
    [TERM.number, 5n],
    [NEXT_TERM.number, 9n],
  ]
  t.same(places, [old, old, old, young, young])
})

t.test('what was rejected is not sent again, heard or unheard', async (t) => {
  const { node, link, channel } = await open(t)
  const receipts = [1, 2, 3, 4].map(() => session(channel).end())
  await link.received(4)
  link.rejected(2, 'VERSION_ABOVE_EPOCH')
  await expectError(t, receipts[1]!.stored, 'VERSION_ABOVE_EPOCH')
  const next = await breakLink(node, link)
  await next.received(3)
  t.same(next.sequences, [1, 3, 4], 'the one between is left out')

  holds(node, 3, [[1, 2]])
  const last = await breakLink(node, next)
  const refused = await expectError(t, receipts[0]!.stored, 'CONNECTION_LOST', 'not-applied')
  t.match(refused.message, /its reason was lost/)
  last.stored(5, 3)
  await receipts[2]!.stored
  await last.received(1)
  t.same(last.sequences, [4])
})

t.test('between STORED and PROPAGATED, the same history: PROPAGATED is reached later', async (t) => {
  const { node, link, channel } = await open(t)
  const receipt = session(channel).end()
  const { propagated } = receipt
  await link.received(1)
  link.stored(5, 1)
  await receipt.stored
  holds(node, 1)
  const next = await breakLink(node, link)
  t.match(next.open, { sent: 1, answered: 1 })
  next.stored(5, 1)
  next.propagated(5, 1)
  t.strictSame(await propagated, { term: TERM, epoch: 5n, sequence: 1 })
  t.equal(next.frames.length, 0)
})

t.test('between STORED and PROPAGATED, another history: what it does not hold is lost, and said so', async (t) => {
  const told: object[] = []
  const { node, link, channel } = await open(t, { onLost: (lost: object) => told.push(lost) })
  const [kept, waiting, unread, unanswered] = [1, 2, 3, 4].map(() => session(channel).end())
  const early = waiting!.propagated
  await link.received(4)
  link.stored(5, 3)
  await unread!.stored
  node.term = NEXT_TERM
  holds(node, 1)
  node.breakAll()
  const error = await expectError(t, early, 'SESSION_LOST', 'lost')
  t.strictSame(error.stored, { term: TERM, epoch: 5n, sequence: 2 }, 'where it was')
  await expectError(t, unread!.propagated, 'SESSION_LOST', 'lost')
  t.equal((await unread!.stored).epoch, 5n, 'what was reached stays reached')
  t.equal(channel.lostSessions, 2)

  const next = await node.link(1)
  await next.received(1)
  t.strictSame(told, [{ channel: 1, from: 2, to: 3 }])
  t.same(next.sequences, [4], 'the numbers of lost ones are not used again')
  next.stored(3, 4) // the new mastership uses epoch numbers of the lost tail again
  next.stored(6, 4)
  t.strictSame(await unanswered!.stored, { term: NEXT_TERM, epoch: 3n, sequence: 4 })
  next.propagated(6, 4)
  t.equal((await kept!.propagated).sequence, 1)
  const later = session(channel).end()
  await next.received(2)
  next.stored(7, 5)
  t.strictSame((await later.stored).term, NEXT_TERM, 'later ones are of the new mastership')
})

t.test('PRODUCER_EXPIRED: what was sent is unknown, and the channel goes on under another id', async (t) => {
  let isExpired = false
  const onLogOpen: FakeNodeOptions['onLogOpen'] = (normal, { sent }) => (isExpired && sent > 0 ? expired() : normal)
  const { node, link, channel } = await openChannel(t, { onLogOpen }, { reconnect: true })
  const [stored, sent] = [session(channel).end(), session(channel).end()]
  await link.received(2)
  link.stored(1, 1)
  await stored.stored
  isExpired = true
  link.cut()
  await expectError(t, sent.stored, 'PRODUCER_EXPIRED', 'unknown')
  const half = await expectError(t, stored.propagated, 'PRODUCER_EXPIRED', 'unknown')
  t.equal(half.stored?.epoch, 1n)
  await node.until(() => node.links.at(-1)?.open.sent === 0 && node.links.length >= 3)
  const next = node.links.at(-1)!
  t.not(next.open.producer, link.open.producer)
  t.match(next.open, { sent: 0, answered: 0, since: 0n })
})

t.test('deadlines go on while there is no connection; what has expired is not sent any more', async (t) => {
  const { node, link, channel } = await open(t)
  const sent = session(channel, { deadlineMs: 60 }).end()
  const patient = session(channel).end()
  await link.received(2)
  node.silent = true
  link.cut()
  while (channel.state === 'open') await settled()
  const never = session(channel, { deadlineMs: 60 }).end()
  const after = session(channel).end()
  const error = await expectError(t, never.stored, 'DEADLINE_EXCEEDED', 'not-applied')
  t.match(error.message, /before it was sent/)
  await expectError(t, sent.stored, 'DEADLINE_EXCEEDED', 'unknown')
  node.silent = false
  node.breakAll()
  await node.until(() => (node.links.at(-1)?.frames.length ?? 0) === 2 && node.links.length > 1)
  const next = node.links.at(-1)!
  t.same(next.sequences, [2, 4])
  next.stored(1, 4)
  await Promise.all([patient.stored, after.stored])
  await expectError(t, sent.stored, 'DEADLINE_EXCEEDED', 'unknown')
  t.strictSame(channel.unanswered, { sessions: 0, bytes: 0, waitingCalls: 0 })
})

t.test('SHUTTING_DOWN refuses for one node only: the next one gets the session', async (t) => {
  const { node, link, channel } = await open(t)
  const receipts = [1, 2].map(() => session(channel).end())
  await link.received(2)
  link.stored(1, 1)
  link.rejected(2, 'SHUTTING_DOWN')
  await receipts[0]!.stored
  t.equal(await stateOf(receipts[1]!.stored), 'pending')
  holds(node, 1)
  node.term = NEXT_TERM
  node.breakAll()
  const next = await node.link(1)
  await next.received(1)
  t.same(next.sequences, [2])
  next.stored(9, 2)
  t.strictSame(await receipts[1]!.stored, { term: NEXT_TERM, epoch: 9n, sequence: 2 })
})

t.test('SHUTTING_DOWN counts no more where the session is found in the log that comes next', async (t) => {
  const { node, link, channel } = await open(t)
  const receipt = session(channel).end()
  await link.received(1) // this node has it in its log, and dies
  node.term = NEXT_TERM
  node.breakAll()
  const second = await node.link(1)
  await second.received(1)
  second.rejected(1, 'SHUTTING_DOWN')
  t.equal(await stateOf(receipt.stored), 'pending')
  holds(node, 1)
  node.breakAll()
  const third = await node.link(2)
  third.stored(5, 1)
  t.equal((await receipt.stored).epoch, 5n)
})

t.test(
  'onLost is told when the channel is open again, and nothing hangs on what the application does there',
  async (t) => {
    const states: string[] = []
    const opened: { channel?: Opened['channel'] } = {}
    const onLost = (): void => void states.push(opened.channel!.state)
    const { node, link, channel } = await open(t, { onLost })
    opened.channel = channel
    const receipt = session(channel).end()
    await link.received(1)
    link.stored(5, 1)
    await receipt.stored
    node.term = NEXT_TERM
    holds(node, 0)
    node.breakAll()
    await node.link(1)
    while (states.length === 0) await settled()
    t.same(states, ['open'])
  },
)

t.test('what another try cannot mend ends the channel', async (t) => {
  const ends: [string, (link: FakeLink) => void][] = [
    ['our frame is refused', (link) => link.error('ENTRY_MALFORMED')],
    ['the node breaks the protocol', (link) => link.stored(1, 9)],
  ]
  for (const [name, end] of ends) {
    const { node, link, channel } = await open(t)
    const receipt = session(channel).end()
    await link.received(1)
    end(link)
    await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
    t.equal(channel.state, 'ended', name)
    t.equal(node.links.length, 1, name)
  }
})

t.test('a log that holds what was never sent is not believed', async (t) => {
  const { node, link, channel } = await open(t)
  const receipt = session(channel).end()
  await link.received(1)
  holds(node, 2)
  link.cut()
  await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
  t.equal(channel.state, 'ended')
})

t.test('a master that was replaced is not believed, another cluster ends the client', async (t) => {
  const stale = await open(t)
  stale.node.term = { ...TERM, number: 6n }
  stale.node.breakAll()
  await stale.node.until(() => stale.node.messages.filter(({ type }) => type === 'client_hello').length >= 4)
  t.equal(stale.client.state, 'reconnecting')
  t.equal(stale.node.links.length, 1)
  stale.node.term = TERM
  await stale.node.link(1)
  t.equal(stale.client.state, 'open')

  const other = await open(t)
  const receipt = session(other.channel).end()
  await other.link.received(1)
  other.node.cluster = '99999999-2222-4333-8444-555555555555'
  other.node.breakAll()
  await expectError(t, receipt.stored, 'CONNECTION_LOST', 'unknown')
  t.equal(other.client.state, 'lost')
})

t.test('calls while the client looks for its master wait for it', async (t) => {
  const { node, client } = await open(t)
  node.silent = true
  node.breakAll()
  while (client.state === 'open') await settled()
  t.equal(client.state, 'reconnecting')
  const expired = await expectError(t, client.openChannel({ deadlineMs: 30 }), 'DEADLINE_EXCEEDED', 'not-applied')
  t.match(expired.message, /deadline of 30 ms/)
  const opening = client.openChannel({ channel: 0 })
  node.silent = false
  node.breakAll()
  const channel = await opening
  t.equal(channel.state, 'open')
  t.equal(client.state, 'open')
})

t.test('close() waits for what somebody waits for over a break, and not for ever', async (t) => {
  const { node, link, client, channel } = await open(t)
  const receipt = session(channel).end()
  await link.received(1)
  const closing = client.close()
  const next = await breakLink(node, link)
  await next.received(1)
  next.stored(1, 1)
  await receipt.stored
  await closing
  t.equal(client.state, 'closed')

  const gone = await open(t)
  const sent = session(gone.channel).end()
  await gone.link.received(1)
  gone.node.silent = true
  gone.node.breakAll()
  while (gone.client.state === 'open') await settled()
  const never = session(gone.channel).end()
  await gone.client.close({ deadlineMs: 30 })
  await expectError(t, sent.stored, 'CLIENT_CLOSED', 'unknown')
  await expectError(t, never.stored, 'CLIENT_CLOSED', 'not-applied')
})

t.test('a policy that asks for no replica any more ends the wait for PROPAGATED', async (t) => {
  const { node, link, channel } = await open(t)
  const [stored, sent] = [session(channel).end(), session(channel).end()]
  const waits = [stored.propagated, sent.propagated]
  await link.received(2)
  link.stored(5, 1)
  await stored.stored
  node.replicas = 0
  holds(node, 1)
  node.breakAll()
  await expectError(t, waits[0]!, 'NO_REPLICA_IN_SET', 'unknown')
  const next = await node.link(1)
  await next.received(1)
  next.stored(6, 2)
  await expectError(t, waits[1]!, 'NO_REPLICA_IN_SET', 'unknown')
  t.equal((await sent.stored).epoch, 6n)
  node.log = EMPTY_LOG
})
