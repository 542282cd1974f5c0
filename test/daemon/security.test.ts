/** REP-50 to REP-55 on real nodes: secrets and TLS between clients, a master and its replica; strangers get nothing. */
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { subscribe } from '../../client/subscription.ts'
import { initNode, type NodeSecurity, startNode, type TravertineNode } from '../../daemon/node.ts'
import { PEER_ROLES, type SharedSecret } from '../../protocol/authentication.ts'
import type { Message } from '../../protocol/control-message.ts'
import { readTlsFiles } from '../../world/tls-network.ts'
import { repositoryRoot } from '../protocol/repository-root.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { RawConnection, until } from './raw-client.ts'

const CLUSTER = '00000000-0000-4000-8000-0000000000aa'
const ALL: SharedSecret = { secret: 'all '.padEnd(40, '0123456789').replace(' ', '-'), roles: PEER_ROLES }
const READER: SharedSecret = { secret: 'reader-'.padEnd(40, '0123456789'), roles: ['reader'] }
const NEXT: SharedSecret = { secret: 'next-'.padEnd(40, '0123456789'), roles: PEER_ROLES }
const file = (name: string): string => join(repositoryRoot, 'test/tls/keys', name)
const nodeTls = readTlsFiles({
  certificateFile: file('node.crt'),
  keyFile: file('node.key'),
  authorityFile: file('ca.crt'),
})
const authority = readTlsFiles({ authorityFile: file('ca.crt') })

type Teardown = { teardown(handler: () => unknown): unknown }

interface Pair {
  readonly master: TravertineNode
  readonly replica: TravertineNode
  readonly address: string
}

async function startPair(
  t: Teardown,
  of: { master: NodeSecurity; replica: NodeSecurity; host?: string },
): Promise<Pair> {
  const { host = '127.0.0.1' } = of
  const root = temporaryDirectory(t)
  const shared = { clusterId: CLUSTER, channels: 1, segmentBytes: 1 << 20 }
  const run = async (role: 'master' | 'replica', replicas: readonly string[]): Promise<TravertineNode> => {
    const directory = join(root, role)
    initNode({ directory, role, replicas, ...shared })
    const node = await startNode({ directory, port: 0, security: of[role] })
    t.teardown(() => node.close())
    return node
  }
  const replica = await run('replica', [])
  const master = await run('master', [`${host}:${replica.port}`])
  return { master, replica, address: `${host}:${master.port}` }
}

const put = { op: 'put', storage: 1, key: 'key', value: Buffer.from('value') } as const

async function codeOf(act: Promise<unknown>): Promise<unknown> {
  return act.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  )
}

/** What a stranger with bare hands is answered. */
async function askRaw(t: Teardown, port: number, message: Message): Promise<Message | undefined> {
  const connection = new RawConnection(port)
  t.teardown(() => connection.socket.destroy())
  connection.send(message)
  return connection.next()
}

t.test('REP-50 REP-54: the secret is asked for on the way in and on the way to the replica', async (t) => {
  const security = { secrets: [ALL, READER] }
  const { master, replica, address } = await startPair(t, { master: security, replica: security })
  const client = await connect({ address, security: { secret: ALL.secret } })
  t.teardown(() => client.close())
  t.ok(await client.write([put], { level: 'propagated' }), 'a writer with the secret, and a master to its replica')

  const hello = { type: 'client_hello', versionMin: 1, versionMax: 1, clusterId: '' } as const
  for (const port of [master.port, replica.port]) {
    for (const message of [hello, { type: 'status' } as const]) {
      const answer = await askRaw(t, port, message)
      t.match(answer, { type: 'error', error: { code: 'AUTHENTICATION_FAILED' } }, `${message.type} without a secret`)
    }
  }
  t.equal(await codeOf(connect({ address })), 'AUTHENTICATION_FAILED')
  t.equal(await codeOf(connect({ address, security: { secret: 'x'.repeat(40) } })), 'AUTHENTICATION_FAILED')
  t.equal(await codeOf(connect({ address, security: { secret: READER.secret } })), 'PERMISSION_DENIED')

  for await (const epoch of await subscribe({ address, security: { secret: READER.secret } })) {
    const entries = [...epoch.entries()]
    if (entries.length === 0) continue // who is master
    t.equal(entries.length, 1, 'a reader reads')
    break
  }
  t.ok(await client.write([put], { level: 'propagated' }), 'and nobody was disturbed')
})

t.test('a node without secrets is not taken for one that knows them', async (t) => {
  const { address } = await startPair(t, { master: {}, replica: {} })
  t.equal(await codeOf(connect({ address, security: { secret: ALL.secret } })), 'MESSAGE_UNEXPECTED')
})

t.test('a master whose secret the replica does not know stays without it, and says why', async (t) => {
  const { master } = await startPair(t, { master: { secrets: [ALL] }, replica: { secrets: [NEXT] } })
  await until('the reason is shown', () =>
    master.status().replicas.some((r) => r.error?.includes('AUTHENTICATION_FAILED') === true),
  )
  t.equal(master.status().replicas[0]?.state === 'streaming', false)
})

t.test('REP-51: secrets are changed without a pause, two being valid for a while', async (t) => {
  const { master, replica, address } = await startPair(t, { master: { secrets: [ALL] }, replica: { secrets: [ALL] } })
  const client = await connect({ address, security: { secret: ALL.secret } })
  t.teardown(() => client.close())
  for (const node of [replica, master]) node.renewSecurity({ secrets: [ALL, NEXT] })
  const newer = await connect({ address, security: { secret: NEXT.secret } })
  t.teardown(() => newer.close())
  for (const node of [replica, master]) node.renewSecurity({ secrets: [NEXT] })
  t.ok(await client.write([put], { level: 'propagated' }), 'who is connected stays')
  t.ok(await newer.write([put], { level: 'propagated' }))
  t.equal(await codeOf(connect({ address, security: { secret: ALL.secret } })), 'AUTHENTICATION_FAILED')
  t.throws(() => master.renewSecurity({ secrets: [] }), { code: 'CONFIG_INVALID' })
})

t.test('REP-55: TLS on control and log ports, between nodes too, together with a secret', async (t) => {
  const security = { secrets: [ALL], tls: nodeTls }
  const { master, address } = await startPair(t, { master: security, replica: security })
  const client = await connect({ address, security: { secret: ALL.secret, tls: authority } })
  t.teardown(() => client.close())
  t.ok(await client.write([put], { level: 'propagated' }))
  t.equal(await codeOf(connect({ address, security: { secret: ALL.secret } })), 'CONNECT_FAILED', 'without TLS')
  t.equal(
    await codeOf(connect({ address, security: { secret: ALL.secret, tls: true } })),
    'CONNECT_FAILED',
    'not trusted',
  )
  master.renewSecurity({ secrets: [ALL], tls: nodeTls })
  t.ok(await client.write([put], { level: 'propagated' }), 'renewed while in use')
})

t.test('REP-1 REP-55: certificates that name a host and no address, for control and log connections', async (t) => {
  const [certificateFile, keyFile, authorityFile] = ['named.crt', 'named.key', 'named-ca.crt'].map(file)
  const tls = readTlsFiles({ certificateFile, keyFile, authorityFile })
  const named = { tls }
  const { master, address } = await startPair(t, { master: named, replica: named, host: 'localhost' })
  const client = await connect({ address, security: { tls: readTlsFiles({ authorityFile }) } })
  t.teardown(() => client.close())
  t.ok(await client.write([put], { level: 'propagated' }))
  t.equal(master.status().replicas[0]?.state, 'streaming')
})

t.test('an address that others can reach wants a secret, TLS, or a word in writing', async (t) => {
  const directory = join(temporaryDirectory(t), 'master')
  initNode({ directory, role: 'master', segmentBytes: 1 << 20 })
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.invalid']) {
    t.equal(await codeOf(startNode({ directory, host, port: 0 })), 'CONFIG_INVALID', host)
  }
  for (const security of [{ secrets: [ALL] }, { tls: nodeTls }, { insecure: true }]) {
    const node = await startNode({ directory, host: '0.0.0.0', port: 0, security })
    await node.close()
  }
})
