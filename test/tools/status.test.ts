/** `travertine status`: what it says of real nodes, and its exit codes; and the rule behind it on answers made by hand. */
import { join } from 'node:path'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { reportStatus } from '../../tools/status-report.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster, newReplica, openChannel, runNode } from './node-pair.ts'
import { type Ended, lastObject, run } from './travertine.ts'

const put = (key: string) => ({ op: 'put', storage: 1, key, value: Buffer.from('value') }) as const
const CLUSTER = '00000000-0000-4000-8000-000000000001'

t.test('healthy, degraded, no master: told with the reason, and by the exit code', async (t) => {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'replica'), CLUSTER)
  const replica = await runNode(t, join(directory, 'replica'))
  const member = `127.0.0.1:${replica.port}`
  newMaster(join(directory, 'master'), [member], CLUSTER)
  const master = await runNode(t, join(directory, 'master'))
  const { channel, client } = await openChannel(t, master.port)
  await channel.write([put('one')], { level: 'propagated' })

  const healthy = await run(t, ['status', `127.0.0.1:${master.port}`, '--json'])
  t.equal(healthy.code, 0)
  t.match(lastObject(healthy), {
    ok: true,
    health: 'healthy',
    reasons: [],
    clusterId: CLUSTER,
    master: `127.0.0.1:${master.port}`,
    term: 1,
    policy: { number: 1, quorum: 1, loosened: 0 },
    nodes: [
      { address: `127.0.0.1:${master.port}`, role: 'master', inSync: false, why: '' },
      { address: member, role: 'replica', inSync: true, state: 'streaming', lagEpochs: 0, lagBytes: 0, why: '' },
    ],
  })
  const otherNames = await runHere(['status', `localhost:${master.port}`, `localhost:${replica.port}`, '--json'])
  t.equal(otherNames.code, 0, 'a node is one node, by whatever name it was asked')
  t.same(
    (lastObject(otherNames)['nodes'] as { readonly address: string }[]).map(({ address }) => address).sort(), // its form was seen above
    [`127.0.0.1:${master.port}`, member].sort(),
  )
  const logPort = await runHere(['status', `127.0.0.1:${master.logPorts[0]}`])
  t.equal(logPort.code, 9)
  t.match(logPort.stdout, /WHY .*MESSAGE_UNEXPECTED.*this is the port of a log channel/)
  const fromReplica = await runHere(['status', member])
  t.equal(fromReplica.code, 0, 'the replica names the master')
  t.match(fromReplica.stdout, /^healthy, master 127\.0\.0\.1:\d+, term 1\n/)

  replica.command.kill('SIGTERM')
  await replica.command.ended
  await channel.write([put('two')], { level: 'stored' })
  const ask = (): Promise<Ended> => runHere(['status', `127.0.0.1:${master.port}`, '--json'])
  let degraded = await ask()
  while (!/"lagBytes":[1-9]/.test(degraded.stdout)) degraded = await ask() // it is told once a second
  t.equal(degraded.code, 8)
  t.match(lastObject(degraded), {
    ok: false,
    health: 'degraded',
    nodes: [{}, { role: 'unknown', lagEpochs: null }],
  })
  t.match(degraded.stdout, member)

  await client.close()
  master.command.kill('SIGKILL')
  await master.command.ended
  const none = await runHere(['status', `127.0.0.1:${master.port}`])
  t.equal(none.code, 9)
  t.match(none.stdout, /^no-master\n[\s\S]*WHY .*CONNECT_FAILED/)
})

const answer = (address: string, status: Readonly<Record<string, unknown>>) => ({ address, status })
const streaming = { address: 'b:1', inSync: true, state: 'streaming', lagEpochs: 0 }
const master = { role: 'master', term: 3, quorum: 1, replicas: [streaming] }
const replica = answer('b:1', { role: 'replica', term: 3 })

t.test('the rule', (t) => {
  const of = (...nodes: Parameters<typeof reportStatus>[0]) => {
    const { health, reasons } = reportStatus(nodes)
    return [health, reasons.length]
  }
  t.same(of(answer('a:1', master), replica), ['healthy', 0])
  t.same(of(answer('a:1', { ...master, quorum: 0, replicas: [] })), ['healthy', 0], 'alone by its own wish')
  t.same(of(answer('a:1', { ...master, quorum: 2 }), replica), ['degraded', 1], 'too few in-sync members')
  t.same(of(answer('a:1', { ...master, diskLow: true }), replica), ['degraded', 1], 'a full disk')
  const away = { ...streaming, state: 'idle', error: 'CONNECT_FAILED: away' }
  t.same(of(answer('a:1', { ...master, replicas: [away] }), replica), ['degraded', 2], 'a member that does not stream')
  t.match(
    reportStatus([answer('a:1', { ...master, replicas: [away] }), replica]).reasons,
    [/^b:1: a:1 says: CONNECT_FAILED: away$/, /^PROPAGATED waits for b:1, /],
    'who says so, and who has to wait',
  )
  const free = { ...away, inSync: false }
  t.same(of(answer('a:1', { ...master, quorum: 0, replicas: [free] }), replica), ['degraded', 1], 'nobody waits for it')
  t.same(of(answer('a:1', master), replica, answer('c:1', { ...master, term: 2 })), ['degraded', 1], 'an old master')
  t.same(of(answer('a:1', master), replica, answer('d:1', { role: 'replica' })), ['degraded', 1], 'no member')
  const feeder = answer('b:1', {
    role: 'replica',
    term: 3,
    replicas: [{ ...streaming, address: 'e:1', inSync: false }],
  })
  const fed = answer('e:1', { role: 'replica', whole: 7 })
  t.same(of(answer('a:1', master), feeder, fed), ['healthy', 0], 'a replica that a replica feeds')
  const idle = answer('b:1', { role: 'replica', replicas: [{ ...away, address: 'e:1' }] })
  t.same(of(answer('a:1', master), idle, fed), ['degraded', 1], 'one that is not fed')
  const twice = answer('e:1', { role: 'replica', replicas: [{ ...away, address: 'b:1', error: 'FED_ALREADY: a' }] })
  t.same(of(answer('a:1', master), feeder, twice), ['healthy', 0], 'one that stands in')
  const ring = answer('e:1', { role: 'replica', replicas: [{ ...away, address: 'b:1', error: 'CASCADE_LOOP: a' }] })
  t.same(of(answer('a:1', master), feeder, ring), ['degraded', 1], 'a circle')
  const lags = [{ ...streaming, lagBytes: 100 }]
  const [, , row] = reportStatus([
    answer('a:1', { ...master, stored: 9, replicas: lags }),
    answer('b:1', { role: 'replica', replicas: [{ address: 'e:1', state: 'streaming', lagBytes: 20 }] }),
    fed,
  ]).nodes
  t.match(row, { fedBy: 'b:1', lagBytes: 120, lagEpochs: 2 }, 'behind the master, all the way')
  const error = new TravertineError('CONNECT_FAILED', 'Cannot ask')
  t.same(of(answer('a:1', master), { address: 'b:1', error }), ['degraded', 1], 'a node that does not answer')
  t.same(of(replica), ['no-master', 1])
  t.end()
})

t.test('the rule, where nodes have several names', (t) => {
  const named = { ...master, nodeId: 'A' }
  const twin = answer('b:1', { role: 'replica', nodeId: 'B', masterAddress: 'a:1' })
  const of = (...nodes: Parameters<typeof reportStatus>[0]) => {
    const { health, reasons, nodes: rows } = reportStatus(nodes)
    return [health, reasons, rows.map(({ address }) => address)]
  }
  const other = (address: string, { status }: typeof twin) => answer(address, status)
  t.same(of(answer('x:1', named), other('y:1', twin), answer('a:1', named), twin), ['healthy', [], ['a:1', 'b:1']])
  const alone = { ...named, quorum: 0, replicas: [] }
  t.same(of(answer('x:1', alone), answer('y:1', alone)), ['healthy', [], ['x:1']], 'nobody names it')
  const [first, second] = ['c:1', 'd:1'].map((address) => ({ ...streaming, address }))
  const twice = { ...named, replicas: [first, { ...second, state: 'idle', error: 'NAMED_TWICE: b' }] }
  const [health, reasons] = of(answer('a:1', twice), other('c:1', twin), other('d:1', twin))
  t.same(health, 'degraded', 'a member under two names stays a fault')
  t.match(reasons, [/NAMED_TWICE/, /PROPAGATED waits/])
  const older = of(answer('a:1', named), twin, answer('z:1', { ...named, term: 2 }))
  t.match(older, ['degraded', ['z:1: it is a master of an older term']], 'a copy of its directory')
  const equal = of(answer('a:1', named), twin, answer('z:1', { ...named, nodeId: 'Z' }))
  t.match(equal, ['degraded', ['z:1: it is another master of the same term']])
  t.end()
})
