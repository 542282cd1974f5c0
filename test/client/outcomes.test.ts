/**
 * The three endings of a write: level reached, certainly not applied, unknown. None turns into another.
 */
import t from 'tap'
import { expectError } from './expect-error.ts'
import { TERM } from './fake-node.ts'
import { entry, heard, openChannel, session, stateOf } from './open-channel.ts'

t.test('STORED comes first, PROPAGATED later, both cumulative', async (t) => {
  const { link, channel } = await openChannel(t)
  const receipts = [1, 2, 3].map(() => session(channel).end())
  const [first, second, third] = receipts
  t.strictSame(
    receipts.map(({ sequence }) => sequence),
    [1, 2, 3],
  )
  await link.received(3)
  t.strictSame(channel.unanswered, { sessions: 3, bytes: 3 * (72 + 33 + 2), waitingCalls: 0 })
  link.stored(20, 2)
  t.strictSame(await first?.stored, { term: TERM, epoch: 20n, sequence: 1 })
  t.strictSame(await second?.stored, { term: TERM, epoch: 20n, sequence: 2 })
  t.equal(await stateOf(third!.stored), 'pending')
  t.equal(await stateOf(first!.propagated), 'pending')
  link.stored(21, 3)
  link.propagated(21, 2)
  t.strictSame(await second?.propagated, { term: TERM, epoch: 20n, sequence: 2 }, 'with the epoch of its STORED')
  t.strictSame(await first?.propagated, { term: TERM, epoch: 20n, sequence: 1 })
  t.equal((await third?.stored)?.epoch, 21n)
  t.equal(await stateOf(third!.propagated), 'pending')
  link.propagated(21, 3)
  await third?.propagated
  t.strictSame(channel.unanswered, { sessions: 0, bytes: 0, waitingCalls: 0 })
})

t.test('a receipt says the same whenever it is read', async (t) => {
  const { link, channel } = await openChannel(t)
  const early = session(channel).end()
  const late = session(channel).end()
  const never = session(channel).end()
  const read = [early.stored, early.propagated]
  await link.received(3)
  link.stored(1, 3)
  await early.stored
  link.propagated(1, 3)
  await early.propagated
  t.strictSame(await late.propagated, { term: TERM, epoch: 1n, sequence: 2 }, 'read after the answers')
  t.strictSame(await late.stored, { term: TERM, epoch: 1n, sequence: 2 })
  t.equal(early.stored, read[0], 'one promise, however often it is read')
  t.equal(early.propagated, read[1])
  t.equal(never.sequence, 3)
})

t.test('PROPAGATED may be asked for between the answers, in any order', async (t) => {
  const { link, channel } = await openChannel(t)
  const receipts = Array.from({ length: 6 }, () => session(channel).end())
  const early = [receipts[1]!.propagated, receipts[4]!.propagated]
  await link.received(6)
  link.stored(1, 6)
  await receipts[5]!.stored
  const late = [receipts[5]!.propagated, receipts[0]!.propagated]
  link.propagated(1, 1)
  t.equal((await late[1])?.sequence, 1)
  link.propagated(1, 5)
  t.strictSame(
    (await Promise.all(early)).map(({ sequence }) => sequence),
    [2, 5],
  )
  t.equal(await stateOf(late[0]!), 'pending')
  t.equal((await receipts[2]!.propagated).sequence, 3, 'asked for after it was reached')
  link.propagated(1, 6)
  await late[0]
})

t.test('REJECTED: certainly not applied, and the connection goes on', async (t) => {
  const { link, channel } = await openChannel(t)
  const receipts = Array.from({ length: 3 }, () => session(channel).end())
  const write = channel.write([entry], { level: 'propagated' })
  await link.received(4)
  link.rejected(2, 'DISK_LOW', 'Cannot accept a session: found 1 MiB free, expected 128 MiB')
  link.rejected(4, 'VERSION_ABOVE_EPOCH')
  link.stored(1, 3)
  const error = await expectError(t, receipts[1]!.stored, 'DISK_LOW')
  t.match(error.message, /session 2: .*1 MiB free/)
  t.equal(error.where.channel, 1)
  t.equal(error.hint, 'do something else')
  t.ok(error.retryable)
  await expectError(t, receipts[1]!.propagated, 'DISK_LOW')
  await expectError(t, write, 'VERSION_ABOVE_EPOCH')
  t.equal((await receipts[0]!.stored).epoch, 1n)
  t.equal((await receipts[2]!.stored).epoch, 1n)
  t.equal(channel.unanswered.sessions, 0)
  t.equal(channel.state, 'open')
})

t.test('PROPAGATED without a replica is an error, not a success', async (t) => {
  const { link, channel, client } = await openChannel(t, { replicas: 0 })
  const entries = [entry]
  await expectError(t, channel.write(entries, { level: 'propagated' }), 'NO_REPLICA_IN_SET')
  await expectError(t, client.write(entries, { level: 'propagated' }), 'NO_REPLICA_IN_SET')
  t.equal(link.frames.length, 0, 'a call that names its level sends nothing')
  const receipt = session(channel).end()
  const early = expectError(t, receipt.propagated, 'NO_REPLICA_IN_SET', 'unknown')
  await link.received(1)
  link.stored(1, 1)
  link.propagated(1, 1)
  await early
  t.equal((await receipt.stored).epoch, 1n, 'stored is not touched by it')
  const late = session(channel).end()
  await link.received(2)
  link.stored(2, 2)
  await late.stored
  await expectError(t, late.propagated, 'NO_REPLICA_IN_SET', 'unknown')
})

t.test('a deadline ends in unknown, and no later answer changes that', async (t) => {
  const { link, channel } = await openChannel(t)
  const unread = session(channel, { deadlineMs: 20 }).end()
  const receipt = session(channel, { deadlineMs: 20 }).end()
  const patient = session(channel).end()
  const write = channel.write([entry], { level: 'stored', deadlineMs: 20 })
  const error = await expectError(t, receipt.stored, 'DEADLINE_EXCEEDED', 'unknown')
  t.match(error.message, /session 2: its deadline of 20 ms/)
  await expectError(t, receipt.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, write, 'DEADLINE_EXCEEDED', 'unknown')
  await link.received(4)
  t.equal(channel.unanswered.sessions, 4, 'the node may still be working on them')
  link.stored(1, 4)
  link.propagated(1, 4)
  await patient.propagated
  t.equal(channel.unanswered.sessions, 0)
  await expectError(t, unread.stored, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, unread.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, receipt.stored, 'DEADLINE_EXCEEDED', 'unknown')
  await heard(link, channel, 2)
})

t.test('a deadline between STORED and PROPAGATED says what was reached', async (t) => {
  const { link, channel } = await openChannel(t)
  const receipt = session(channel, { deadlineMs: 800 }).end()
  const late = session(channel, { deadlineMs: 800 }).end()
  await link.received(2)
  link.stored(5, 2)
  await receipt.stored
  const error = await expectError(t, receipt.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  t.strictSame(error.stored, { term: TERM, epoch: 5n, sequence: 1 })
  t.match(error.message, /reach PROPAGATED for session 1/)
  await expectError(t, late.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  t.equal((await receipt.stored).epoch, 5n)
  link.propagated(5, 2)
  await heard(link, channel, 6)
  await expectError(t, receipt.propagated, 'DEADLINE_EXCEEDED', 'unknown')
  await expectError(t, late.propagated, 'DEADLINE_EXCEEDED', 'unknown')
})

t.test('deadlines of any order are kept', async (t) => {
  const { channel } = await openChannel(t)
  const [long, short, middle, longer] = [600_000, 20, 60, 900_000].map((deadlineMs) => {
    const begin = performance.now()
    const { stored } = session(channel, { deadlineMs }).end()
    return { stored, deadlineMs, begin }
  })
  for (const call of [short!, middle!]) {
    await expectError(t, call.stored, 'DEADLINE_EXCEEDED', 'unknown')
    t.ok(performance.now() - call.begin >= call.deadlineMs, 'not before its time')
  }
  t.equal(await stateOf(long!.stored), 'pending')
  t.equal(await stateOf(longer!.stored), 'pending')
})

t.test('an abort ends in unknown once it is sent, in not-applied before', async (t) => {
  const { link, channel, node } = await openChannel(t)
  const abort = new AbortController()
  const { signal } = abort
  const receipts = Array.from({ length: 30 }, () => session(channel, { signal }).end())
  const write = channel.write([entry], { level: 'propagated', signal })
  const other = session(channel).end()
  const building = session(channel, { signal })
  await link.received(32)
  link.stored(1, 1)
  await receipts[0]!.stored
  abort.abort('changed my mind')
  const error = await expectError(t, receipts[1]!.stored, 'ABORTED', 'unknown')
  t.equal(error.cause, 'changed my mind')
  await expectError(t, write, 'ABORTED', 'unknown')
  await expectError(t, receipts[0]!.propagated, 'ABORTED', 'unknown')
  t.equal((await receipts[0]!.stored).epoch, 1n)
  await expectError(t, () => building.end(), 'ABORTED')
  await expectError(t, () => building.end(), 'SESSION_ENDED')
  await expectError(t, () => channel.beginSession({ signal }), 'ABORTED')
  await expectError(t, channel.write([entry], { level: 'stored', signal }), 'ABORTED')
  link.stored(2, 32)
  t.equal((await other.stored).epoch, 2n)
  await expectError(t, receipts[1]!.stored, 'ABORTED', 'unknown')
  t.equal(link.frames.length, 32)
  t.equal(node.links.length, 1)
})

t.test('one signal for many sessions: one listener, and none is left', async (t) => {
  const { link, channel } = await openChannel(t)
  const warnings: Error[] = []
  const onWarning = (warning: Error): unknown => warnings.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const { signal } = new AbortController()
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove(...args)
  }
  const receipts = Array.from({ length: 50 }, () => session(channel, { signal }).end())
  t.equal(listeners, 1)
  await link.received(50)
  link.stored(1, 50)
  await receipts.at(-1)?.stored
  t.equal(listeners, 0)
  t.strictSame(warnings, [])
})
