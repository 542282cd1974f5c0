/**
 * What bad input gets: the right error code, and nothing else happens. The node stays up, a good client beside the bad
 * one is not disturbed, and nothing of the bad session is in the log.
 */
import t from 'tap'
import type { TravertineNode } from '../../daemon/node.ts'
import { encodeMessage, type Message } from '../../protocol/control-message.ts'
import { FRAME_HEADER_BYTES, FrameKind, HeaderOffset, headerCrcOf } from '../../protocol/frame.ts'
import { CONTROL_MESSAGE_BYTES_LIMIT, SESSION_BYTES_LIMIT } from '../../protocol/limits.ts'
import { scrape } from '../metrics/scrape.ts'
import { Cluster, readKeys } from './cluster.ts'
import { HELLO, put, RawClient, RawConnection, type RawLink, until } from './raw-client.ts'

const OTHER_CLUSTER = '00000000-0000-4000-8000-0000000000bb'

/** Changes bytes of the header and makes its CRC right again, as a broken but careful client would. */
function resealed(link: RawLink, frame: Buffer, change: (frame: Buffer) => void): Buffer {
  change(frame)
  frame.writeUInt32LE(headerCrcOf(frame, 0, link.seed), 0)
  return frame
}

function flipped(frame: Buffer, at: number): Buffer {
  frame[at]! ^= 1 // inside the frame
  return frame
}

const BAD = [put('bad')]

/** what is wrong -> [the code it gets, the bytes] */
const BAD_FRAMES: Readonly<Record<string, readonly [string, (link: RawLink) => Buffer]>> = {
  'an oversized body': [
    'FRAME_TOO_LARGE',
    (link) => resealed(link, link.frame(BAD), (f) => f.writeUInt32LE(SESSION_BYTES_LIMIT + 1, HeaderOffset.bodyLength)),
  ],
  'a length of 4 GiB': [
    'FRAME_TOO_LARGE',
    (link) => resealed(link, link.frame(BAD), (f) => f.writeUInt32LE(0xffff_ffff, HeaderOffset.bodyLength)),
  ],
  'an empty body': ['FRAME_EMPTY', (link) => link.frame([])],
  'a wrong header CRC': ['FRAME_CORRUPT', (link) => flipped(link.frame(BAD), 0)],
  'a header changed on the way': ['FRAME_CORRUPT', (link) => flipped(link.frame(BAD), HeaderOffset.entryCount)],
  'a body changed on the way': ['FRAME_CORRUPT', (link) => flipped(link.frame(BAD), FRAME_HEADER_BYTES + 20)],
  'a body of nonsense': ['ENTRY_MALFORMED', (link) => link.frame(BAD, { body: Buffer.alloc(50, 0xee) })],
  'a body that ends in an entry': [
    'ENTRY_MALFORMED',
    (link) => link.frame(BAD, { body: Buffer.from([1, 200, 0, 0, 0, 0, 0, 0, 0]) }),
  ],
  'one entry too few': ['ENTRY_MALFORMED', (link) => link.frame(BAD, { entryCount: 2 })],
  'one entry too many': ['ENTRY_MALFORMED', (link) => link.frame([...BAD, ...BAD], { entryCount: 1 })],
  'a newer frame version': [
    'FRAME_VERSION_UNSUPPORTED',
    (link) =>
      resealed(link, link.frame(BAD), (f) => {
        f[HeaderOffset.version] = 2
      }),
  ],
  'an unknown flag': ['FRAME_VERSION_UNSUPPORTED', (link) => link.frame(BAD, { flags: 2 })],
  'an unknown kind': ['FRAME_KIND_UNKNOWN', (link) => link.frame(BAD, { kind: 99 })],
  'a reserved kind': ['FRAME_KIND_UNKNOWN', (link) => link.frame(BAD, { kind: FrameKind.CHECKPOINT })],
  'a config from a client': ['FRAME_KIND_UNKNOWN', (link) => link.frame(BAD, { kind: FrameKind.CONFIG })],
  'a seal from a client': ['FRAME_KIND_UNKNOWN', (link) => link.frame(BAD, { kind: FrameKind.SEAL })],
  'a sequence that leaves one out': ['PRODUCER_SEQUENCE', (link) => link.frame(BAD, { sequence: link.sequence + 2 })],
  'a sequence that was there': ['PRODUCER_SEQUENCE', (link) => link.frame(BAD, { sequence: link.sequence })],
  'the producer of somebody else': ['PRODUCER_SEQUENCE', (link) => link.frame(BAD, { producer: link.producer + 1n })],
  garbage: ['FRAME_CORRUPT', () => Buffer.alloc(1_000, 0x47)],
  'text of another protocol': [
    'FRAME_CORRUPT',
    () => Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${' '.repeat(72)}`),
  ],
}

t.test('log connections: every bad frame gets its code, ends its own connection, and leaves no trace', async (t) => {
  const cluster = await Cluster.start(t)
  const client = await cluster.client()
  const good = await client.open(0)
  let sequence = 0
  for (const [what, [code, make]] of Object.entries(BAD_FRAMES)) {
    const link = await client.open(0)
    link.write(put('before the bad one'))
    const error = await link.errorOf(make(link))
    t.equal(error?.code, code, what)
    t.equal(error?.where['channel'], 0, 'it says on which channel')
    sequence = good.write(put('beside'))
    await good.untilStored(sequence)
    t.equal(link.propagated, 0)
  }
  await cluster.stop('m')
  const keys = readKeys(cluster.directory('m'))
  const count = Object.keys(BAD_FRAMES).length
  t.equal(keys.filter((key) => key === 'beside').length, count)
  t.equal(keys.filter((key) => key === 'before the bad one').length, count, 'what was good before stays')
  t.equal(keys.length, 2 * count, 'and nothing of the bad ones is in the log')
})

t.test('a frame that comes byte by byte is a good frame', async (t) => {
  const cluster = await Cluster.start(t)
  const link = await (await cluster.client()).open(0)
  for (const byte of link.frame([put('slow')])) link.connection.socket.write(Buffer.from([byte]))
  await link.untilStored(1)
})

t.test('a version above the epoch is rejected, and the connection goes on', async (t) => {
  const cluster = await Cluster.start(t)
  const link = await (await cluster.client()).open(0)
  await link.untilStored(link.write(put('a')))
  const future = link.write({ ...put('future'), version: { major: 1_000_000n, minor: 0n } })
  const past = link.write({ ...put('past'), version: { major: 1n, minor: 5n } })
  await link.untilStored(past)
  t.equal(link.rejected.length, 1)
  t.equal(link.rejected[0]?.sequence, future)
  t.equal(link.rejected[0]?.error.code, 'VERSION_ABOVE_EPOCH')
  await cluster.stop('m')
  t.same(readKeys(cluster.directory('m')), ['a', 'past'])
})

t.test('log_open: who may not open a log connection, and why', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2 })
  const client = await cluster.client()
  const good = await client.open(1)
  const port = client.hello.logPorts[0]!
  const wrongSecret = Buffer.from(client.hello.secret)
  wrongSecret[3]! ^= 1
  const attempts: readonly (readonly [string, string, Buffer])[] = [
    ['a wrong secret', 'SECRET_INVALID', encodeMessage({ ...client.logOpen(0), secret: wrongSecret })],
    ['an unknown session', 'SECRET_INVALID', encodeMessage({ ...client.logOpen(0), session: 4711n })],
    ['another version', 'PROTOCOL_VERSION_UNSUPPORTED', encodeMessage({ ...client.logOpen(0), version: 2 })],
    ['a wrong channel', 'CHANNEL_UNKNOWN', encodeMessage(client.logOpen(1))],
    ['a channel that does not exist', 'CHANNEL_UNKNOWN', encodeMessage(client.logOpen(7))],
    ['another message', 'MESSAGE_UNEXPECTED', encodeMessage(HELLO)],
    ['garbage', 'MESSAGE_TOO_LARGE', Buffer.alloc(500, 0xff)],
    ['a huge length', 'MESSAGE_TOO_LARGE', lengthOnly(CONTROL_MESSAGE_BYTES_LIMIT + 1)],
    ['a length of zero', 'MESSAGE_TOO_LARGE', lengthOnly(0)],
    [
      'nonsense of the right length',
      'MESSAGE_MALFORMED',
      Buffer.concat([lengthOnly(3), Buffer.from([0xc1, 0xc1, 0xc1])]),
    ],
  ]
  for (const [what, code, bytes] of attempts) {
    const connection = new RawConnection(port)
    connection.socket.write(bytes)
    t.equal((await connection.refusal())?.code, code, what)
  }
  await t.test('a session that has ended', async (t) => {
    const gone = await RawClient.connect(cluster.node('m').port)
    const link = await gone.open(0)
    gone.close()
    await until('its log connection is closed', () => link.connection.closed)
    const late = new RawConnection(port)
    late.send(gone.logOpen(0))
    t.equal((await late.refusal())?.code, 'SECRET_INVALID')
  })
  await good.untilStored(good.write(put('undisturbed')))
})

t.test('control connections: bad hellos and garbage, told and counted by code', async (t) => {
  const cluster = await Cluster.start(t, { admin: true })
  const client = await cluster.client()
  const good = await client.open(0)
  const attempts: readonly (readonly [string, string, Buffer])[] = [
    ['another cluster', 'CLUSTER_MISMATCH', encodeMessage({ ...HELLO, clusterId: OTHER_CLUSTER })],
    ['a newer protocol', 'PROTOCOL_VERSION_UNSUPPORTED', encodeMessage({ ...HELLO, versionMin: 8, versionMax: 9 })],
    ['a session_begin', 'MESSAGE_UNEXPECTED', encodeMessage(sessionBegin(1))],
    ['a length of zero', 'MESSAGE_TOO_LARGE', lengthOnly(0)],
    ['a huge length', 'MESSAGE_TOO_LARGE', lengthOnly(0xffff_ffff)],
    ['garbage', 'MESSAGE_TOO_LARGE', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    [
      'nonsense of the right length',
      'MESSAGE_MALFORMED',
      Buffer.concat([lengthOnly(3), Buffer.from([0xc1, 0xc1, 0xc1])]),
    ],
  ]
  for (const [what, code, bytes] of attempts) {
    const connection = new RawConnection(cluster.node('m').port)
    connection.socket.write(bytes)
    t.equal((await connection.refusal())?.code, code, what)
  }
  await good.untilStored(good.write(put('undisturbed')))
  t.equal(cluster.node('m').status().clients, 1)
  const counted = await scrape(cluster.node('m').admin?.port ?? 0)
  for (const code of new Set(attempts.map(([, wanted]) => wanted))) {
    const told = attempts.filter(([, wanted]) => wanted === code).length
    t.equal(counted.value('travertine_errors_total', { code }), told, `${code} in the metrics`)
  }
})

t.test('half handshakes: connections that say nothing, or half a word, disturb nobody', async (t) => {
  const cluster = await Cluster.start(t)
  const { port, logPorts } = cluster.node('m')
  const halves = [port, logPorts[0]!].flatMap((to) => [
    new RawConnection(to),
    half(to, lengthOnly(100)),
    half(to, Buffer.concat([lengthOnly(100), Buffer.alloc(50)])),
    half(to, encodeMessage(HELLO).subarray(0, -1)),
  ])
  const link = await (await cluster.client()).open(0)
  await link.untilStored(link.write(put('undisturbed')))
  const stubborn = [port, logPorts[0]!].map((to) => new RawConnection(to, true))
  for (const { socket } of stubborn) socket.write(Buffer.alloc(500, 0xff))
  for (const { socket } of halves.slice(0, 4)) socket.destroy() // some leave in the middle
  await link.untilStored(link.write(put('still undisturbed')))
  for (const connection of halves.slice(4)) {
    t.equal((await connection.refusal())?.code, 'HANDSHAKE_TIMEOUT')
  }
  for (const { messages, socket, closed } of stubborn) {
    t.equal(messages[0]?.type, 'error')
    t.ok(closed || socket.readableEnded, 'the node has closed its side')
  }
  await until('who was refused and goes on talking is cut', () => {
    for (const { socket } of stubborn) if (socket.writable) socket.write('more')
    return stubborn.every(({ closed }) => closed)
  })
})

t.test('a client that speaks to a replica is told where the master is', async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
  await cluster.untilStreaming()
  const replica = cluster.node('r1')
  const connection = new RawConnection(replica.port)
  connection.send(HELLO)
  const error = await connection.refusal()
  t.equal(error?.code, 'NOT_MASTER')
  t.equal(error?.where['peer'], `127.0.0.1:${cluster.node('m').port}`)

  t.equal(await sessionRefusal(replica, sessionBegin(1)), 'CHANNEL_COUNT_MISMATCH')
  t.equal(await sessionRefusal(replica, { ...sessionBegin(2), clusterId: OTHER_CLUSTER }), 'CLUSTER_MISMATCH')
  t.equal(await sessionRefusal(replica, sessionBegin(2)), 'TERM_CONFLICT', 'term 1 is there already, of another node')

  await t.test('its log ports take replication sessions only', async (t) => {
    const client = await cluster.client()
    const log = new RawConnection(replica.logPorts[0]!)
    log.send(client.logOpen(0))
    t.equal((await log.refusal())?.code, 'SECRET_INVALID')
  })
  const link = await (await cluster.client()).open(1)
  await link.untilPropagated(link.write(put('undisturbed')))
})

async function sessionRefusal(node: TravertineNode, begin: Message): Promise<string | undefined> {
  const connection = new RawConnection(node.port)
  connection.send(begin)
  return (await connection.refusal())?.code
}

function sessionBegin(channels: number): Message<'session_begin'> {
  const term = { number: 1n, nodeId: '00000000-0000-4000-8000-0000000000cc', tag: 5 }
  const starts = new Array<number>(channels).fill(0)
  return {
    type: 'session_begin',
    versionMin: 1,
    versionMax: 1,
    clusterId: '00000000-0000-4000-8000-0000000000aa',
    nodeId: term.nodeId,
    address: '127.0.0.1:1',
    channels,
    term,
    history: [{ ...term, firstEpoch: 1n, baseEpoch: 0n, starts }],
    ends: starts,
    via: [],
  }
}

function lengthOnly(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}

function half(port: number, bytes: Buffer): RawConnection {
  const connection = new RawConnection(port)
  connection.socket.write(bytes)
  return connection
}
