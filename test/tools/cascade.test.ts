/**
 * A master, a replica, and a replica that this one feeds, as real processes with secrets and TLS: through a kill of the one in
 * the middle, and a master that lost a tail, all three end with one history. What the leaf's readers and clients are told.
 */
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Client, connect } from '../../client/client.ts'
import { subscribe } from '../../client/subscription.ts'
import { askCluster } from '../../tools/ask-status.ts'
import { reportStatus, type StatusReport } from '../../tools/status-report.ts'
import { readTlsFiles } from '../../world/tls-network.ts'
import { divergentBytes, readKeys } from '../daemon/cluster.ts'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster, newReplica } from './node-pair.ts'
import { type Command, freePorts, lastObject, run, start } from './travertine.ts'

const CLUSTER = '00000000-0000-4000-8000-000000000001'
const SECRET = '0123456789abcdef0123456789abcdef'
const CHANNELS = 2
const POLL_MS = 50
const key = (name: string): string => join(PROJECT, 'test/tls/keys', name)
const SECURITY = { secret: SECRET, tls: readTlsFiles({ authorityFile: key('ca.crt') }) }

type Name = 'master' | 'middle' | 'leaf'

class Row {
  readonly #t: Parameters<typeof start>[0]
  readonly root: string
  readonly #first: number
  readonly #running = new Map<Name, Command>()

  constructor(t: Parameters<typeof start>[0], root: string, first: number) {
    this.#t = t
    this.root = root
    this.#first = first
    writeFileSync(join(root, 'secret'), `all ${SECRET}\n`, { mode: 0o600 })
    newReplica(this.directory('leaf'), CLUSTER, CHANNELS)
    newReplica(this.directory('middle'), CLUSTER, CHANNELS)
    newMaster(this.directory('master'), [this.address('middle')], CLUSTER, CHANNELS)
    this.writeSettings('middle', ['leaf'])
    this.writeSettings('master', [])
    this.writeSettings('leaf', [])
  }

  directory(name: Name | 'copy'): string {
    return join(this.root, name)
  }

  port(name: Name): number {
    return this.#first + ['master', 'middle', 'leaf'].indexOf(name) * (1 + CHANNELS)
  }

  address(name: Name): string {
    return `127.0.0.1:${this.port(name)}`
  }

  writeSettings(name: Name, fed: readonly Name[]): void {
    const security = [
      `secretFile = "${join(this.root, 'secret')}"`,
      `tlsCertificateFile = "${key('node.crt')}"`,
      `tlsKeyFile = "${key('node.key')}"`,
      `tlsAuthorityFile = "${key('ca.crt')}"`,
    ]
    const replicas = JSON.stringify(fed.map((one) => this.address(one)))
    writeFileSync(
      join(this.root, `${name}.toml`),
      `[listen]\nport = ${this.port(name)}\n[cascade]\nreplicas = ${replicas}\n[security]\n${security.join('\n')}\n`,
    )
  }

  node(name: Name): Command {
    return this.#running.get(name)! // it runs
  }

  async run(...names: readonly Name[]): Promise<void> {
    const started = names.map((name) => {
      const words = ['run', this.directory(name), '--config', join(this.root, `${name}.toml`), '--no-admin', '--json']
      const node = start(this.#t, words)
      this.#running.set(name, node)
      return node.has('stdout', /\n/)
    })
    await Promise.all(started)
  }

  async end(name: Name, signal: NodeJS.Signals): Promise<void> {
    this.node(name).kill(signal)
    await this.node(name).ended
  }

  /** As `travertine status`, which is asked by way of the leaf, until it is as wanted. */
  async status(isWanted: (report: StatusReport) => boolean): Promise<StatusReport> {
    for (;;) {
      const report = reportStatus(await askCluster([this.address('leaf')], SECURITY))
      if (isWanted(report)) return report
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }
}

const isLevel = ({ health, nodes }: StatusReport): boolean =>
  health === 'healthy' &&
  nodes.length === 3 &&
  nodes.every(({ role, lagBytes, lagEpochs }) => role === 'master' || (lagBytes === 0 && lagEpochs === 0))

/** Sessions on all channels, PROPAGATED. By way of the leaf: it says where the master is. */
async function write(client: Client, name: string, count: number, onWritten = (): void => undefined): Promise<void> {
  const channels = await Promise.all(Array.from({ length: CHANNELS }, (_, channel) => client.openChannel({ channel })))
  const value = Buffer.alloc(300, name)
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      channels[i % CHANNELS]!.write([{ op: 'put', storage: 1, key: `${name}-${i}`, value }], {
        level: 'propagated',
      }).then(onWritten),
    ),
  )
  await Promise.all(channels.map((channel) => channel.close()))
}

t.test('REP-82 REP-83 REP-84: master, replica, and a replica fed by it', async (t) => {
  const row = new Row(t, temporaryDirectory(t), await freePorts(3 * (1 + CHANNELS)))
  await row.run('leaf', 'middle', 'master')
  await row.status(isLevel)
  const client = await connect({ address: row.address('leaf'), security: SECURITY })
  t.teardown(() => client.close({ signal: AbortSignal.abort() }))
  t.equal(client.info.address, row.address('master'), 'a client that asks the leaf is told where the master is')

  await write(client, 'kept', 60)
  await row.status(isLevel)
  const words = ['status', row.address('leaf'), '--ca', key('ca.crt'), '--secret-file', join(row.root, 'secret')]
  const answer = async () => lastObject(await run(t, [...words, '--json'])) as unknown as StatusReport // of our own command
  let { nodes, ...rest } = await answer()
  // a mark may be on its way
  while (!isLevel({ nodes, ...rest })) ({ nodes, ...rest } = await answer())
  const fedBy = { fedBy: row.address('middle'), inSync: false, state: 'streaming', lagEpochs: 0, lagBytes: 0, why: '' }
  t.match(nodes, [{ address: row.address('leaf'), role: 'replica', ...fedBy }, {}, {}])
  row.node('master').kill('SIGSTOP')
  cpSync(row.directory('master'), row.directory('copy'), { recursive: true })
  row.node('master').kill('SIGCONT')

  // the one in the middle is killed under load; the leaf goes on where it was
  let load = Promise.resolve()
  await new Promise<void>((begun) => {
    load = write(client, 'lost', 400, begun)
  })
  await row.end('middle', 'SIGKILL')
  await row.run('middle')
  await load
  await row.status(isLevel)

  // a master that has lost all of that: another term, other frames where the lost ones stood, and beyond
  await row.end('master', 'SIGKILL')
  rmSync(row.directory('master'), { recursive: true })
  cpSync(row.directory('copy'), row.directory('master'), { recursive: true })
  await row.run('master')
  const second = await connect({ address: row.address('middle'), security: SECURITY })
  t.teardown(() => second.close({ signal: AbortSignal.abort() }))
  await write(second, 'other', 500)
  await row.status(isLevel)

  // readers of the leaf are shown what the master allows
  const shown: string[] = []
  const reader = await subscribe({ address: row.address('leaf'), security: SECURITY, follow: false })
  for await (const epoch of reader)
    for (const entry of epoch.entries()) if ('key' in entry) shown.push(Buffer.from(entry.key).toString())
  t.equal(shown.filter((one) => one.startsWith('other-')).length, 500)
  t.equal(shown.length, 560)

  // a circle is refused, whatever runs goes on, and status says so
  row.writeSettings('leaf', ['middle', 'master'])
  row.node('leaf').kill('SIGHUP')
  await row.node('leaf').has('stderr', /CASCADE_LOOP/)
  await row.node('leaf').has('stderr', /MESSAGE_UNEXPECTED.*this node is master itself/)
  const ring = await row.status(({ health }) => health === 'degraded')
  t.match(ring.reasons.join(), /cannot feed .*CASCADE_LOOP/)
  row.writeSettings('leaf', [])
  row.node('leaf').kill('SIGHUP')
  row.node('leaf').kill('SIGSTOP')
  await write(second, 'last', 1) // PROPAGATED does not wait for it
  row.node('leaf').kill('SIGCONT')
  await row.status(isLevel)

  for (const name of ['master', 'middle', 'leaf'] as const) await row.end(name, 'SIGTERM')
  for (const name of ['middle', 'leaf'] as const) {
    const compared = await runHere(['verify', '--compare', row.directory('master'), row.directory(name), '--json'])
    t.match(lastObject(compared), { ok: true }, `${name}: ${compared.stdout}`)
    t.equal((await runHere(['verify', row.directory(name)])).code, 0)
    const keys = Array.from({ length: CHANNELS }, (_, channel) => readKeys(row.directory(name), channel)).flat()
    t.equal(keys.length, 561, `${name} has each session once`)
    t.notOk(keys.some((one) => one.startsWith('lost')))
    t.ok(divergentBytes(row.directory(name)) > 400 * 300, 'the lost tail is kept')
  }
})
