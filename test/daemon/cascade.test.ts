/**
 * REP-80, REP-81 on real nodes: two feeders that name one replica, one that names itself, and a master that names any. And
 * one replica under two names, on a master and on a feeder (REP-17).
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { initNode, type LogLine, startNode, type TravertineNode } from '../../daemon/node.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { put, RawClient, until } from './raw-client.ts'

const CLUSTER = '00000000-0000-4000-8000-0000000000aa'

type StartNode = (name: string, cascade: readonly string[], members?: readonly string[]) => Promise<TravertineNode>

function cluster(t: Test): { readonly node: StartNode; readonly lines: LogLine[] } {
  const root = temporaryDirectory(t)
  const lines: LogLine[] = []
  const running: TravertineNode[] = []
  t.teardown(() => Promise.all(running.map((node) => node.close())))
  const node: StartNode = async (name, cascade, members) => {
    const directory = join(root, name)
    const role = members === undefined ? 'replica' : 'master'
    initNode({ directory, role, clusterId: CLUSTER, segmentBytes: 65_536, replicas: members ?? [] })
    const onLog = (line: LogLine): void => void lines.push(line)
    const started = await startNode({ directory, port: 0, cascade: { replicas: cascade }, onLog })
    running.push(started)
    return started
  }
  return { node, lines }
}

const addressOf = ({ port }: TravertineNode): string => `127.0.0.1:${port}`

t.test('one feeder at a time; the other one stands in', async (t) => {
  const { node, lines } = cluster(t)
  const leaf = await node('leaf', [])
  const feeders = [await node('a', [addressOf(leaf)]), await node('b', [addressOf(leaf)])]
  const master = await node('master', [addressOf(leaf)], feeders.map(addressOf))
  t.ok(lines.some(({ level, text }) => level === 'warn' && /cascade.replicas has no effect on a master/.test(text)))
  t.equal(master.status().replicas.length, 2, 'members only')

  const feeds = (one: TravertineNode): boolean => one.status().replicas[0]?.state === 'streaming'
  const isRefused = (one: TravertineNode): boolean => /^FED_ALREADY/.test(one.status().replicas[0]?.error ?? '')
  await until('one feeds it, the other one waits', () => feeders.some(feeds) && feeders.some(isRefused))
  const client = await RawClient.connect(master.port)
  t.teardown(() => client.close())
  const link = await client.open(0)
  const holds = () => leaf.status().whole >= master.status().stored && leaf.status().whole > 0n
  await link.untilPropagated(link.write(put('through the one')))
  await until('the leaf holds it', holds)

  const [first, second] = feeders.sort((a, b) => Number(feeds(b)) - Number(feeds(a)))
  t.same(leaf.status().via, [first!.status().nodeId])
  await first!.close()
  await until('the other one feeds it', () => feeds(second!))
  await link.untilStored(link.write(put('through the other')))
  await until('the leaf holds it', holds)
  t.same(leaf.status().via, [second!.status().nodeId])

  leaf.feed([addressOf(leaf)])
  await until('it has met itself', () => /^CASCADE_LOOP/.test(leaf.status().replicas[0]?.error ?? ''))
  t.throws(() => leaf.feed(['nowhere']), { code: 'CONFIG_INVALID' })
  leaf.feed([])
  t.same(leaf.status().replicas, [])
  t.ok(leaf.status().following, 'all that has disturbed nobody')
})

t.test('one replica under two names is fed under one of them, and counts once', async (t) => {
  const { node, lines } = cluster(t)
  const twice = ({ port }: TravertineNode): string[] => [`127.0.0.1:${port}`, `localhost:${port}`]
  const leaf = await node('leaf', [])
  const member = await node('member', twice(leaf))
  const master = await node('master', [], twice(member))
  const isSettled = (one: TravertineNode): boolean => {
    const replicas = one.status().replicas
    return (
      replicas.some(({ state }) => state === 'streaming') &&
      replicas.some(({ error }) => /^NAMED_TWICE/.test(error ?? ''))
    )
  }
  await until('each is fed under one name, and refused under the other', () => isSettled(master) && isSettled(member))
  const followed = (): number => lines.filter(({ text }) => /^follows the master/.test(text)).length
  const before = followed()
  const client = await RawClient.connect(master.port)
  t.teardown(() => client.close())
  const link = await client.open(0)
  for (let i = 0; i < 20; i++) await link.untilStored(link.write(put(`write ${i}`)))
  await until('the leaf holds it', () => leaf.status().whole >= master.status().stored)
  t.equal(master.status().propagated, 0n, 'both names count, and one of them never streams')
  t.equal(followed(), before, 'nobody has begun a session meanwhile')
  t.ok(isSettled(master) && isSettled(member))
})
