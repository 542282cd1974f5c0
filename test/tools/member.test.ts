/**
 * `member`, `policy` and `init --join` on a running cluster that asks for secrets: replicas come and go, and what was answered
 * last rules, also after a kill -9. At the end the CONFIG frames are read back from the files, by offsets of WAL-37.
 */
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { type Client, connect } from '../../client/client.ts'
import { shakeHands } from '../../client/handshake.ts'
import { checkConnectOptions } from '../../client/options.ts'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { decodeHeader, FRAME_HEADER_BYTES } from '../../protocol/frame.ts'
import { readManifest } from '../../wal/manifest.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { readChannel } from '../daemon/cluster.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster, newReplica, type ReadyNode, runNode } from './node-pair.ts'
import { type Ended, errorCode, lastObject, run } from './travertine.ts'

const SECRET = 'all-0123456789abcdef0123456789abcdef'
const WRITER = 'writer-0123456789abcdef0123456789ab'
const put = { op: 'put', storage: 1, key: 'k', value: Buffer.from('v') } as const
const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'done',
    (error: unknown) => (error instanceof TravertineError ? error.code : error),
  )

const directory = temporaryDirectory(t)
const path = (name: string): string => join(directory, name)
const fileOf = (name: string, text: string): string => {
  writeFileSync(path(name), text, { mode: 0o600 })
  return path(name)
}
const secrets = fileOf('secrets', `all ${SECRET}\nreader,writer ${WRITER}\n`)
const writerSecrets = fileOf('writer', `reader,writer ${WRITER}\n`)
const env = { TRAVERTINE_SECURITY_SECRET_FILE: secrets }

let master: ReadyNode
const masterAddress = (): string => `127.0.0.1:${master.port}`

/** With the node to begin with, and a secret of all roles unless `words` name another one. */
function line(words: readonly string[]): readonly string[] {
  const node = words.includes('--node') ? [] : ['--node', masterAddress()]
  const secret = words.includes('--secret-file') ? [] : ['--secret-file', secrets]
  return [...words, ...node, ...secret, '--json']
}

const travertine = (...words: readonly string[]): Promise<Ended> => runHere(line(words))
const asProcess = (...words: readonly string[]): Promise<Ended> => run(t, line(words))

async function connected(): Promise<Client> {
  const client = await connect({ address: masterAddress(), security: { secret: SECRET } })
  t.teardown(() => client.close({ signal: AbortSignal.abort() }))
  return client
}

/** A change as the wire has it, so that two can be made from the same config. */
function ask(base: number, quorum: number, members: Message<'config_change'>['members']): Promise<unknown> {
  const checked = checkConnectOptions({ address: masterAddress(), security: { secret: SECRET } }, nodeWorld, 'admin')
  const message = { type: 'config_change', versionMin: 2, versionMax: 2, clusterId: '', base, loosen: false } as const
  const asked = { ...message, quorum, members }
  const place = { host: '127.0.0.1', port: master.port }
  return shakeHands(checked.world, place, asked, 'config_change_ok', checked, checked.credential).then(
    ({ connection }) => connection.destroy(),
  )
}

t.test('members and policy of a running cluster', async (t) => {
  const whole = t
  newMaster(path('m'), [], undefined, 2)
  master = await runNode(t, path('m'), [], env)
  t.match(lastObject(await asProcess('member', 'list')), { ok: true, number: 1, quorum: 0, members: [] })
  const alone = await connected()
  t.equal(await codeOf(alone.write([put], { level: 'propagated' })), 'NO_REPLICA_IN_SET', 'an error, no success')

  const addresses: string[] = []
  const replicas: ReadyNode[] = []
  for (const name of ['r1', 'r2']) {
    const words = ['init', path(name), '--join', masterAddress(), '--segment-bytes', '65536', '--json']
    const made = lastObject(await run(t, [...words, '--secret-file', writerSecrets]))
    t.match(made, { ok: true, role: 'replica', channels: 2 }, 'join has asked for what it needs')
    const replica = await runNode(t, path(name), [], env)
    replicas.push(replica)
    addresses.push(`127.0.0.1:${replica.port}`)
  }
  const [r1 = '', r2 = ''] = addresses

  await t.test('a member counts as soon as the command is done', async (t) => {
    const added = lastObject(await asProcess('member', 'add', r1))
    t.match(added, { ok: true, changed: true, number: 2, members: [{ address: r1, inSync: true }] })
    while (alone.info.replicas === 0) await alone.write([put], { level: 'stored' }) // it comes back by itself, and has heard of it then
    t.ok(await alone.write([put], { level: 'propagated' }))
    const again = lastObject(await travertine('member', 'add', r1))
    t.match(again, { ok: true, changed: false, number: 2 }, 'once more is no change')
  })

  await t.test('one that does not count is streamed to, and the master is found from a replica', async (t) => {
    const added = lastObject(await travertine('member', 'add', r2, '--not-in-sync', '--node', r1))
    t.match(added, { number: 3, members: [{ address: r1 }, { address: r2, inSync: false }] })
    await untilHealthy()
  })

  await t.test('who may not, and what is refused', async (t) => {
    const denied = await travertine('policy', '1', '--secret-file', writerSecrets)
    t.equal(denied.code, 2, 'a secret file without the role is a wrong option')
    const forged = fileOf('forged', `all ${WRITER}\n`)
    const refused = await asProcess('policy', '1', '--secret-file', forged)
    t.same([refused.code, errorCode(lastObject(refused))], [6, 'PERMISSION_DENIED'], 'the node knows better')
    t.equal((await travertine('member', 'list', '--secret-file', writerSecrets)).code, 0, 'who reads may look')
    t.equal(errorCode(lastObject(await travertine('member', 'remove', '10.0.0.9:1'))), 'MEMBER_UNKNOWN')
    t.equal((await travertine('member', 'add')).code, 2)
    t.equal((await travertine('member', 'list', r1)).code, 2)
    t.equal((await travertine('member', 'add', 'a:b:c')).code, 2)
    const before = lastObject(await travertine('member', 'list'))
    t.equal(errorCode(lastObject(await travertine('member', 'add', '127.0.0.1:1'))), 'CONNECT_FAILED', 'nobody there')
    const itself = lastObject(await travertine('member', 'add', masterAddress()))
    t.match(itself, { error: { code: 'CONFIG_INVALID', message: /found a master, expected another replica/ } })
    const twice = lastObject(await travertine('member', 'add', `localhost:${replicas[0]?.port}`))
    t.match(twice, { error: { code: 'CONFIG_INVALID', message: new RegExp(`found the same node as ${r1}`) } })
    newReplica(path('stranger'), '00000000-0000-4000-8000-0000000000ff', 2)
    const stranger = await runNode(t, path('stranger'), [], env)
    const foreign = await travertine('member', 'add', `127.0.0.1:${stranger.port}`)
    t.same([foreign.code, errorCode(lastObject(foreign))], [6, 'CLUSTER_MISMATCH'])
    newReplica(path('narrow'), String(before['clusterId']), 1)
    const narrow = await runNode(t, path('narrow'), [], env)
    const misfit = await travertine('member', 'add', `127.0.0.1:${narrow.port}`)
    t.same(
      [misfit.code, errorCode(lastObject(misfit))],
      [6, 'CHANNEL_COUNT_MISMATCH'],
      'PROPAGATED would wait for ever',
    )
    t.strictSame(lastObject(await travertine('member', 'list')), before, 'nothing was changed')
    const unseen = await travertine('member', 'add', '127.0.0.1:1', '--no-check', '--not-in-sync')
    t.match(lastObject(unseen), { number: 4, members: [{}, {}, { address: '127.0.0.1:1' }] })
    t.match(lastObject(await travertine('member', 'remove', '127.0.0.1:1')), { number: 5 })
    t.equal(errorCode(lastObject(await travertine('member', 'list', '--node', '127.0.0.1:1'))), 'CONNECT_FAILED')
  })

  await t.test('of two changes from the same config one is told so', async (t) => {
    const both = [
      { address: r1, inSync: true },
      { address: r2, inSync: true },
    ]
    const codes = await Promise.all([codeOf(ask(5, 1, both)), codeOf(ask(5, 2, both.slice(0, 1)))])
    t.same(codes.sort(), ['CONFIG_CONFLICT', 'done'])
    await travertine('member', 'add', r1, r2)
    t.match(lastObject(await asProcess('policy', '2')), { quorum: 2, members: both })
  })

  await t.test('to loosen takes a word, is counted, and is told in the log', async (t) => {
    const before = lastObject(await travertine('policy'))
    const refused = await travertine('policy', '1')
    t.same([refused.code, errorCode(lastObject(refused))], [2, 'POLICY_LOOSENED'])
    t.equal(errorCode(lastObject(await travertine('member', 'remove', r1))), 'POLICY_LOOSENED')
    t.strictSame(lastObject(await travertine('policy')), before, 'nothing was changed')
    t.match(lastObject(await travertine('policy', '1', '--loosen')), { quorum: 1, loosened: 1 })
    await master.command.has('stderr', /POLICY_LOOSENED/)
    const status = lastObject(await runHere(['status', masterAddress(), '--secret-file', secrets, '--json']))
    t.match(status, { policy: { quorum: 1, loosened: 1 } })
  })

  await t.test('a kill -9 between changes loses none that was answered', async (t) => {
    const answered = lastObject(await travertine('policy', '2'))
    master.command.kill('SIGKILL')
    await master.command.ended
    master = await runNode(whole, path('m'), [], env)
    const { master: _, ok: __, changed: ___, ...config } = answered
    t.match(lastObject(await travertine('member', 'list')), config)
    t.match(config, { quorum: 2, loosened: 1 })
  })

  await t.test('a dead member waits, and is let go by a command', async (t) => {
    replicas[0]!.command.kill('SIGKILL') // two were started
    await replicas[0]!.command.ended
    const client = await connected()
    const waiting = client.write([put], { level: 'propagated' })
    const removed = lastObject(await travertine('member', 'remove', r1, '--loosen'))
    t.match(removed, { loosened: 2, quorum: 2, members: [{ address: r2, inSync: true }] })
    const late = (await client.openChannel()).beginSession().put(1, 'k', Buffer.from('v')).end() // while the set is too small
    await late.stored
    t.match(lastObject(await travertine('policy', '1', '--loosen')), { quorum: 1, loosened: 3 })
    t.ok(await late.propagated, 'so is one that was written when there were too few')
    t.ok(await waiting, 'the session that waited for it is PROPAGATED by the member that is left')
    await untilHealthy()
  })

  await t.test(
    'whoever waits for PROPAGATED when the last member goes hears that it cannot be asked for',
    async (t) => {
      const client = await connected()
      replicas[1]!.command.kill('SIGTERM') // two were started
      await replicas[1]!.command.ended
      const session = (await client.openChannel()).beginSession()
      session.put(1, 'k', Buffer.from('v'))
      const receipt = session.end()
      await receipt.stored
      const waiting = codeOf(receipt.propagated)
      t.match(lastObject(await travertine('member', 'remove', r2, '--loosen')), { loosened: 4, members: [] })
      t.equal(await waiting, 'NO_REPLICA_IN_SET')
    },
  )

  const last = lastObject(await travertine('member', 'list'))
  master.command.kill('SIGTERM')
  await master.command.ended
  const [written = [], received = []] = ['m', 'r2'].map((name) => configsIn(path(name)))
  t.strictSame(received, written.slice(0, -1), 'the replica has the same, until it was stopped')
  const numbers = written.map(({ number }) => number)
  t.same(numbers.slice(0, 3), [1, 2, 3])
  t.ok(
    numbers.every((number, i) => i === 0 || [0, 1].includes(number - numbers[i - 1]!)), // there is one before
    'one by one; a mastership begins with what ruled before',
  )
  t.match(written.at(-2), { quorum: 1, loosened: 3, addresses: [r2] })
  t.match(written.at(-1), { number: last['number'], quorum: 1, loosened: 4, addresses: [] })
  t.equal(readManifest(new NodeDisk(), path('m')).config.number, last['number'])
})

async function untilHealthy(): Promise<void> {
  while ((await runHere(['status', masterAddress(), '--secret-file', secrets])).code !== 0);
}

interface FoundConfig {
  readonly number: number
  readonly loosened: number
  readonly quorum: number
  readonly addresses: readonly string[]
}

/** By the tables of WAL-2 and WAL-37 alone. */
function configsIn(node: string): FoundConfig[] {
  const bytes = readChannel(node, 0)
  const found: FoundConfig[] = []
  for (let at = 0; at < bytes.length; ) {
    const { kind, bodyLength } = decodeHeader(bytes, at)
    const body = bytes.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + bodyLength)
    if (kind === 3) found.push(configOf(body))
    at += FRAME_HEADER_BYTES + bodyLength
  }
  return found
}

function configOf(body: Buffer): FoundConfig {
  const addresses: string[] = []
  for (let at = 40 + body.readUInt16LE(6); at < body.length; ) {
    const length = body.readUInt16LE(at + 4)
    addresses.push(body.toString('latin1', at + 6, at + 6 + length))
    at += 6 + length
  }
  const [number, loosened] = [8, 16].map((at) => Number(body.readBigUInt64LE(at)))
  return { number: number ?? 0, loosened: loosened ?? 0, quorum: body[4] ?? 0, addresses }
}

t.test('a master of level 1 is told apart: it knows no such message', async (t) => {
  const status = { role: 'master', term: 1, configNumber: 1, quorum: 0, loosened: 0, replicas: [] }
  const clusterId = '00000000-0000-4000-8000-000000000001'
  const old = createServer((socket) => {
    const reader = new MessageReader()
    socket.on('data', (chunk) => {
      const [message] = reader.push(chunk)
      if (message?.type === 'status')
        return socket.write(encodeMessage({ type: 'status_ok', status: { ...status, clusterId } }))
      const text = `Cannot read a message: found type "${message?.type}", expected a known one`
      return socket.end(
        encodeMessage({ type: 'error', error: { code: 'MESSAGE_UNEXPECTED', message: text, hint: '', where: {} } }),
      )
    })
  })
  await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve))
  t.teardown(() => old.close())
  const { port } = old.address() as { port: number } // it listens on TCP
  const ended = await runHere(['policy', '1', '--node', `127.0.0.1:${port}`, '--json'])
  t.same([ended.code, errorCode(lastObject(ended))], [6, 'PROTOCOL_VERSION_UNSUPPORTED'])
})

t.test('a master that a node names, and that is not there: both are told', async (t) => {
  const status = { role: 'replica', term: 1, masterAddress: '127.0.0.1:1', replicas: [] }
  const replica = createServer((socket) =>
    socket.once('data', () => socket.end(encodeMessage({ type: 'status_ok', status }))),
  )
  await new Promise<void>((resolve) => replica.listen(0, '127.0.0.1', resolve))
  t.teardown(() => replica.close())
  const { port } = replica.address() as AddressInfo // it listens on a port
  const ended = await runHere(['member', 'list', '--node', `127.0.0.1:${port}`, '--json'])
  t.equal(ended.code, 6)
  const message = new RegExp(`^Cannot ask the master that 127.0.0.1:${port} knows of: Cannot connect to 127.0.0.1:1: `)
  t.match(lastObject(ended), { error: { code: 'CONNECT_FAILED', message, where: { peer: '127.0.0.1:1' } } })
})
