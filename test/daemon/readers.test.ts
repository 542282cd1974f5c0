/** What a node sends to readers, byte by byte, on a master and on a replica; and what bad readers get (REP-70 to REP-75). */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { decodeHeader, FRAME_HEADER_BYTES, FrameKind } from '../../protocol/frame.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { RECOVERY_POINT_NAME } from '../../wal/recovery-point.ts'
import { channelDirectory, listSegments, segmentName } from '../../wal/segments.ts'
import { Cluster, readChannel } from './cluster.ts'
import { put, type RawLink, until, writeMany } from './raw-client.ts'
import { RawReader, refusalOf } from './raw-reader.ts'

/** Headers of all whole frames. */
function headersOf(bytes: Buffer): ReturnType<typeof decodeHeader>[] {
  const headers: ReturnType<typeof decodeHeader>[] = []
  for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const header = decodeHeader(bytes, at)
    headers.push(header)
    at += FRAME_HEADER_BYTES + header.bodyLength
  }
  return headers
}

async function writePropagated(link: RawLink, name: string, count: number): Promise<void> {
  writeMany(link, name, count)
  await link.untilPropagated(link.sequence)
}

t.test(
  'REP-75: a reader gets the bytes of the log, those that were there and those that come, from either node',
  async (t) => {
    const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
    await cluster.untilStreaming()
    const client = await cluster.client()
    const links = [await client.open(0), await client.open(1)]
    for (const link of links) await writePropagated(link, 'before', 3_000)
    const readers = [await RawReader.connect(cluster.node('m').port), await RawReader.connect(cluster.node('r1').port)]
    const streams = await Promise.all(readers.flatMap((reader) => [reader.open(0), reader.open(1)]))
    for (const link of links) await writePropagated(link, 'after', 3_000)
    await Promise.all(streams.map((stream) => until('it has something new', () => stream.received > 1_000_000)))
    const last = Math.max(...links.map((link) => link.epochs.at(-1) ?? 0))
    for (const [i, reader] of readers.entries()) {
      await until(`reader ${i} hears of epoch ${last}`, () => (reader.committed.at(-1) ?? 0n) >= BigInt(last))
      t.same(
        [...reader.committed].sort((a, b) => Number(a - b)),
        reader.committed,
        'REP-72: it never goes back',
      )
      t.ok(reader.hello.committed < (reader.committed[0] ?? 0n), 'and begins above the hello')
      t.equal(reader.hello.history.length, 1)
    }
    const status = [cluster.node('m').status(), cluster.node('r1').status()]
    t.same(
      status.map((s) => s.readers),
      [1, 1],
    )
    await cluster.stop('m')
    await cluster.stop('r1')
    t.same(
      readers.map((reader) => reader.goodbye),
      ['the node shuts down', 'the node shuts down'],
    )
    for (const [i, stream] of streams.entries()) {
      const log = readChannel(cluster.directory(i < 2 ? 'm' : 'r1'), i % 2)
      t.ok(stream.received <= log.length && log.length - stream.received <= 88, 'all but the last MARK at most')
      t.ok(stream.bytes.equals(log.subarray(0, stream.received)), `stream ${i}`)
    }
  },
)

t.test('REP-74: a reader begins where it says, also where nothing stands yet', async (t) => {
  const cluster = await Cluster.start(t)
  const link = await (await cluster.client()).open(0)
  await link.untilStored(link.write(put('one')))
  const reader = await RawReader.connect(cluster.node('m').port)
  const all = await reader.open(0)
  // a MARK stands among them where the session came late
  const unmarked = (): ReturnType<typeof headersOf> =>
    headersOf(all.bytes).filter(({ kind }) => kind !== FrameKind.MARK)
  await until('the CONFIG, the session, and their seals', () => unmarked().length >= 4)
  const [config, , first, seal] = unmarked()
  const second = await reader.open(0, seal?.position)
  t.equal(second.position, seal?.position)
  await until('the seal', () => headersOf(second.bytes).length >= 1)
  t.equal(headersOf(second.bytes)[0]?.kind, FrameKind.SEAL)
  t.ok(all.bytes.subarray(second.position).equals(second.bytes))
  t.equal(config?.kind, FrameKind.CONFIG)
  t.equal(first?.kind, FrameKind.ENTRIES)

  await until('the idle channel is marked', () => headersOf(all.bytes).at(-1)?.kind === FrameKind.MARK)
  const end = all.received
  const later = await reader.open(0, end)
  await link.untilStored(link.write(put('two')))
  await later.reached(end + 200)
  t.same(headersOf(later.bytes)[0]?.position, end, 'the first frame stands where it was asked for')
  const far = await reader.open(0, Number.MAX_SAFE_INTEGER)
  await link.untilStored(link.write(put('three')))
  await all.reached(later.position + later.received)
  t.equal(far.received, 0, 'who asks for what is far off waits')
  t.equal(far.connection.closed, false)
})

t.test('REP-74: from an epoch on, a node leaves out what it knows to be older', async (t) => {
  const cluster = await Cluster.start(t)
  const link = await (await cluster.client()).open(0)
  for (let i = 0; i < 20; i++) {
    writeMany(link, `round${i}`, 100, Buffer.alloc(1_000))
    await link.untilStored(link.sequence)
  }
  const reader = await RawReader.connect(cluster.node('m').port)
  const point = join(channelDirectory(cluster.directory('m'), 0), RECOVERY_POINT_NAME)
  await until('there is a recovery point', () => existsSync(point))
  // a point that is still due names the first of these; the second is newer than every point
  for (const key of ['due', 'newer']) await link.untilStored(link.write(put(key)))
  const from = BigInt(link.epochs.at(-1) ?? 0)
  const recent = await reader.open(0, 0, from)
  const all = await reader.open(0)
  t.equal(all.position, 0)
  t.ok(recent.position > 0, `it begins at ${recent.position}`)
  await until('all is there', () => headersOf(all.bytes).some((h) => h.kind === FrameKind.SEAL && h.epoch === from))
  const headers = headersOf(all.bytes)
  t.ok(
    headers.some((h) => h.position === recent.position),
    'at the begin of a frame',
  )
  t.ok(headers.filter((h) => h.position < recent.position && h.kind !== FrameKind.MARK).every((h) => h.epoch < from))
  const both = await reader.open(0, recent.position + 10_000, from)
  // it may be later: a point that was still on its way
  t.ok(both.position >= recent.position + 10_000, 'but never before the position')
})

t.test(
  'LOG_DROPPED: what a node has no more is refused, and what it cannot read ends the session, not the node',
  async (t) => {
    const cluster = await Cluster.start(t)
    const link = await (await cluster.client()).open(0)
    writeMany(link, 'k', 1_500, Buffer.alloc(1_000))
    await link.untilStored(link.sequence)
    const directory = channelDirectory(cluster.directory('m'), 0)
    const bases = listSegments(new NodeDisk(), directory)
    t.ok(bases.length >= 5)
    rmSync(join(directory, segmentName(bases[3]!)))
    const reader = await RawReader.connect(cluster.node('m').port)
    const broken = await reader.open(0)
    await until('the session ends', () => reader.control.closed && broken.connection.closed)
    t.equal(reader.error?.code, 'LOG_DAMAGED')
    t.ok(broken.received <= bases[3]!)

    for (const base of bases.slice(0, 3)) rmSync(join(directory, segmentName(base)))
    const late = await RawReader.connect(cluster.node('m').port)
    t.equal(await refusalOf(late.hello.logPorts[0]!, late.logRead(0)), 'LOG_DROPPED')
    t.equal(await refusalOf(late.hello.logPorts[0]!, late.logRead(0, bases[4]! - 1)), 'LOG_DROPPED')
    const rest = await late.open(0, bases[4])
    await until('there is more', () => rest.received > 0)
    await link.untilStored(link.write(put('undisturbed')))
  },
)

t.test('REP-70 REP-74: bad readers get their code, and disturb nobody', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
  await cluster.untilStreaming()
  const client = await cluster.client()
  const link = await client.open(0)
  await writePropagated(link, 'k', 10)
  for (const name of ['m', 'r1']) {
    const reader = await RawReader.connect(cluster.node(name).port)
    const good = await reader.open(0)
    const port = reader.hello.logPorts[0]!
    const wrongSecret = Buffer.from(reader.hello.secret)
    wrongSecret[3]! ^= 1
    const { session, secret } = reader.hello
    const producer = { producer: 5n, sent: 0, answered: 0, since: 0n, level: 'stored' } as const
    const append = { type: 'log_open', version: 1, session, secret, channel: 0, ...producer } as const
    const answers = [
      await refusalOf(port, { ...reader.logRead(0), secret: wrongSecret }),
      await refusalOf(port, { ...reader.logRead(0), session: 4711n }),
      await refusalOf(port, { ...reader.logRead(0), session: client.hello.session, secret: client.hello.secret }),
      await refusalOf(port, append),
      await refusalOf(port, { ...reader.logRead(0), version: 2 }),
      await refusalOf(port, reader.logRead(1)),
      await refusalOf(port, reader.logRead(0), link.frame([put('from a reader')])),
      await refusalOf(cluster.node(name).port, reader.logRead(0)),
    ]
    const forged = ['SECRET_INVALID', 'SECRET_INVALID', 'SECRET_INVALID', 'SECRET_INVALID']
    t.same(
      answers,
      [...forged, 'PROTOCOL_VERSION_UNSUPPORTED', 'CHANNEL_UNKNOWN', 'MESSAGE_UNEXPECTED', 'MESSAGE_UNEXPECTED'],
      name,
    )
    t.equal(good.connection.closed || reader.control.closed, false, 'the session itself lives')

    good.say(link.frame([put('from a reader')]))
    await until('the session ends', () => reader.control.closed && good.connection.closed)
    t.equal(reader.error?.code, 'MESSAGE_UNEXPECTED', `a reader that sends frames, ${name}`)
    t.equal(await refusalOf(port, reader.logRead(0)), 'SECRET_INVALID', 'and its secret is worth nothing')
  }
  link.sequence -= 4 // frames that readers have sent were never this producer's
  await writePropagated(link, 'undisturbed', 1)
  t.same([cluster.node('m').status().readers, cluster.node('r1').status().readers], [0, 0])
})

t.test('REP-73: a new mastership ends the sessions of a replica; the same one that comes back does not', async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1 })
  await cluster.untilStreaming()
  const reader = await RawReader.connect(cluster.node('r1').port)
  const stream = await reader.open(0)
  await cluster.stop('m')
  t.equal(reader.control.closed, false, 'the master has gone, the reader stays')
  await cluster.run('m')
  await until('the session has ended', () => reader.control.closed && stream.connection.closed)
  t.equal(reader.goodbye, 'the node follows another mastership')
  const again = await RawReader.connect(cluster.node('r1').port)
  t.equal(again.hello.history.length, 2)
})
