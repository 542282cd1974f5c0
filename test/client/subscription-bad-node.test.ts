/** A node that is not what it should be: what a subscription makes of its bytes, and when it gives up. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { subscribe } from '../../client/client.ts'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { helloOf, ModelLog } from './model-log.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

interface BadNode {
  /** Changes the bytes of the log at the n-th connection, counted from 1. */
  readonly bytes?: (log: Buffer, connection: number) => Buffer
  readonly hello?: (normal: Message<'reader_hello_ok'>, connection: number) => Message
  readonly start?: number
}

/** One channel of ten epochs, all committed. */
async function badNode(t: Teardown, options: BadNode): Promise<{ address: string; heard: string[]; log: ModelLog }> {
  const log = new ModelLog(1, new SeededRandom(3))
  for (let i = 0; i < 10; i++) log.newEpoch()
  const heard: string[] = []
  const sockets = new Set<Socket>()
  let hellos = 0
  let reads = 0
  const server = createServer((socket) => {
    const reader = new MessageReader()
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        heard.push(message.type)
        if (message.type === 'reader_hello') {
          const { port } = server.address() as AddressInfo // it listens on TCP
          const normal = helloOf(log, [port])
          socket.write(encodeMessage(options.hello?.(normal, ++hellos) ?? normal))
          socket.write(encodeMessage({ type: 'group_commit', epoch: log.epochs.at(-1)?.epoch ?? 0n }))
        } else if (message.type === 'log_read') {
          const position = options.start ?? message.position
          socket.write(encodeMessage({ type: 'log_read_ok', position }))
          const bytes = Buffer.from(log.bytes[0]!.subarray(position)) // it has one channel
          socket.write(options.bytes?.(bytes, ++reads) ?? bytes)
        }
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo // it listens on a port
  return { address: `127.0.0.1:${port}`, heard, log }
}

function flipped(bytes: Buffer): Buffer {
  const last = bytes.length - 1
  bytes[last] = (bytes[last] ?? 0) ^ 1
  return bytes
}

async function epochsOf(t: Teardown, address: string): Promise<number> {
  const subscription = await subscribe({ address, reconnectMs: 20_000 })
  t.teardown(() => subscription.close())
  let count = 0
  while (count < 10) {
    if ((await subscription.next()) === undefined) break
    count++
  }
  return count
}

t.test('an honest one is read, and its group_commit is answered', async (t) => {
  const { address, heard } = await badNode(t, {})
  t.equal(await epochsOf(t, address), 10)
  t.ok(heard.includes('group_commit_ok'))
})

t.test('bytes damaged on the way are read again; damaged again at the same place they end it', async (t) => {
  const once = await badNode(t, { bytes: (log, connection) => (connection === 1 ? flipped(log) : log) })
  t.equal(await epochsOf(t, once.address), 10)
  t.equal(once.heard.filter((type) => type === 'log_read').length, 2)
  const always = await badNode(t, { bytes: flipped })
  await t.rejects(epochsOf(t, always.address), { code: 'FRAME_CORRUPT', where: { channel: 0 } })
})

t.test('NOT_READY is asked again, also by one that has just begun', async (t) => {
  const error = toWireError(new TravertineError('NOT_READY', 'Cannot begin: it is too early'))
  const { address } = await badNode(t, {
    hello: (normal, connection) => (connection < 3 ? { type: 'error', error } : normal),
  })
  t.equal(await epochsOf(t, address), 10)
  const never = await badNode(t, { hello: () => ({ type: 'error', error }) })
  await t.rejects(subscribe({ address: never.address, deadlineMs: 300 }), { code: 'NOT_READY' })
})

t.test('answers that make no sense', async (t) => {
  const cases: readonly (readonly [string, string, BadNode])[] = [
    ['no history', 'HISTORY_DIVERGED', { hello: (normal) => ({ ...normal, history: [] }) }],
    ['two ports for one channel', 'MESSAGE_MALFORMED', { hello: (normal) => ({ ...normal, logPorts: [1, 2] }) }],
    ['a newer protocol', 'PROTOCOL_VERSION_UNSUPPORTED', { hello: (normal) => ({ ...normal, version: 9 }) }],
    ['another message', 'MESSAGE_UNEXPECTED', { hello: () => ({ type: 'heartbeat_ok', sequence: 1 }) }],
    ['frames from elsewhere', 'POSITION_MISMATCH', { bytes: (log) => log.subarray(72 + log.readUInt32LE(8)) }],
  ]
  for (const [what, code, options] of cases) {
    const { address } = await badNode(t, options)
    await t.rejects(epochsOf(t, address), { code }, what)
  }
})
