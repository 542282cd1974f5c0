/** What is bounded: the queue of a channel, the replies to a client that does not read, the life of one that is broken. */
import t from 'tap'
import { encodeMessage } from '../../protocol/control-message.ts'
import { CHANNEL_QUEUE_BYTES_LIMIT, MIB, UNREAD_BYTES_LIMIT } from '../../protocol/limits.ts'
import { ChannelHarness } from './channel-harness.ts'
import { Cluster } from './cluster.ts'
import { put, until } from './raw-client.ts'

t.test('a full queue pauses all sockets of the channel, and reading goes on when it has been written', async (t) => {
  const harness = new ChannelHarness(t)
  await harness.listen()
  const heavy = await harness.open()
  const light = await harness.open()
  const [heavySocket, lightSocket] = harness.accepted
  const value = Buffer.alloc(MIB)
  const frames: Buffer[] = []
  for (let bytes = 0; bytes <= CHANNEL_QUEUE_BYTES_LIMIT; bytes += value.length)
    frames.push(heavy.frame([put('k', value)]))

  // As if all of it had arrived in one turn of the event loop: the next one writes, 4 MiB at a time.
  heavySocket!.emit('data', Buffer.concat(frames))
  t.ok(heavySocket!.isPaused(), 'the one who has sent too much')
  t.ok(lightSocket!.isPaused(), 'and all others of this channel')
  const late = await harness.open()

  await heavy.untilStored(frames.length)
  t.notOk(heavySocket!.isPaused())
  t.notOk(lightSocket!.isPaused())
  await light.untilStored(light.write(put('l')))
  await late.untilStored(late.write(put('m')))
  t.ok(heavy.epochs.length > frames.length / 8, 'it took many flushes')
})

t.test('less than the limit pauses nobody', async (t) => {
  const harness = new ChannelHarness(t)
  await harness.listen()
  const link = await harness.open()
  const half = Buffer.alloc(CHANNEL_QUEUE_BYTES_LIMIT / 4)
  harness.accepted[0]!.emit('data', Buffer.concat([link.frame([put('a', half)]), link.frame([put('b', half)])]))
  t.notOk(harness.accepted[0]!.isPaused())
  await link.untilStored(2)
})

t.test('a client that never reads its replies is cut off; the others are not', async (t) => {
  const cluster = await Cluster.start(t)
  const client = await cluster.client()
  const good = await client.open(0)
  const deaf = await client.open(0)
  await good.untilStored(good.write(put('before')))
  deaf.connection.socket.pause()
  // Each rejection is an answer of more than 300 bytes, and leaves nothing in the log.
  const future = { ...put('k'), version: { major: 1n << 60n, minor: 0n } }
  let answered = 0
  const most = 20 * UNREAD_BYTES_LIMIT
  while (deaf.connection.socket.writable && answered < most) {
    const frames = Array.from({ length: 500 }, () => deaf.frame([future]))
    answered += 500 * 300
    await new Promise<void>((resolve) => deaf.connection.socket.write(Buffer.concat(frames), () => resolve()))
    await new Promise((resolve) => setImmediate(resolve)) // heartbeats and their answers run in this thread, too
  }
  t.ok(answered < most, `cut off after about ${Math.round(answered / MIB)} MiB of replies`)
  await good.untilStored(good.write(put('after')))
  t.equal(cluster.node('m').status().clients, 1, 'the session lives: it was the one connection')
})

t.test('a control connection that asks and never reads is cut off, too', async (t) => {
  const cluster = await Cluster.start(t)
  const { socket } = (await cluster.client()).control // a client with heartbeats: it is not cut for its silence
  const ask = encodeMessage({ type: 'status' })
  const answerBytes = encodeMessage({ type: 'status_ok', status: { ...cluster.node('m').status() } }).length
  socket.pause()
  let answered = 0
  const most = 20 * UNREAD_BYTES_LIMIT
  while (socket.writable && answered < most) {
    answered += 100 * answerBytes
    socket.write(Buffer.alloc(100 * ask.length, ask))
    await new Promise((resolve) => setImmediate(resolve)) // the node lives in this thread, and answers now
  }
  t.ok(answered < most, `cut off after about ${Math.round(answered / MIB)} MiB of answers`)
  const link = await (await cluster.client()).open(0)
  await link.untilStored(link.write(put('undisturbed')))
})

t.test('a failed fdatasync poisons the channel: nobody is answered, nothing is tried again', async (t) => {
  const harness = new ChannelHarness(t)
  await harness.listen()
  const link = await harness.open()
  const other = await harness.open()
  await link.untilStored(link.write(put('good')))
  harness.disk.failing = true
  link.write(put('bad'))
  await until('both connections are closed', () => link.connection.closed && other.connection.closed)
  t.equal(link.error?.code, 'CHANNEL_POISONED')
  t.equal(other.error?.code, 'CHANNEL_POISONED')
  t.equal(link.stored, 1, 'what was not durable was not answered')
  t.same(
    harness.poisons.map((error) => error.code),
    ['CHANNEL_POISONED'],
  )
  t.match(harness.poisons[0]?.where, { channel: 0, offset: Number })

  harness.disk.failing = false
  const syncs = harness.disk.syncs
  harness.channel.wakened()
  harness.channel.setDiskLow(false)
  const late = await harness.open().catch(() => undefined)
  late?.write(put('late'))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(harness.disk.syncs, syncs, 'the disk is not touched again')
})
