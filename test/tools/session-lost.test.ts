/**
 * "Was STORED, lost in a change of history": a master loses a tail that no replica has, starts without it, and the client
 * that wrote it hears so (REP-67), whoever waits and also where nobody does. Real processes and the shipped client; the
 * log files are read back.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ClientError, connect, type Receipt } from '../../client/client.ts'
import { initNode } from '../../daemon/node.ts'
import { readKeys } from '../daemon/cluster.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { CLUSTER, SEGMENT_BYTES } from './forged-log.ts'
import { type Command, freePorts, start, until } from './travertine.ts'

const COUNT = 20

async function run(t: Teardown, directory: string, port: number): Promise<Command> {
  const command = start(t, ['run', directory, '--port', `${port}`, '--json'])
  await command.has('stdout', /^.+\n/)
  return command
}

async function kill(node: Command): Promise<void> {
  node.kill('SIGKILL')
  await node.ended
}

t.test('SESSION_LOST: a STORED tail is gone after a restart from an older copy', async (t) => {
  const [m, r1] = ['m', 'r1'].map((name) => join(temporaryDirectory(t), name)) as [string, string] // two names
  const [mPort, r1Port] = [await freePorts(2), await freePorts(2)]
  const common = { clusterId: CLUSTER, channels: 1, segmentBytes: SEGMENT_BYTES }
  initNode({ directory: r1, role: 'replica', ...common })
  initNode({ directory: m, role: 'master', ...common, replicas: [`127.0.0.1:${r1Port}`] })
  let replica = await run(t, r1, r1Port)
  let master = await run(t, m, mPort)
  const lost: unknown[] = []
  const client = await connect({ address: `127.0.0.1:${mPort}`, onLost: (range) => lost.push(range) })
  t.teardown(() => client.close({ signal: AbortSignal.abort() }))
  const channel = await client.openChannel({ channel: 0 })
  const write = (name: string): Receipt[] =>
    Array.from({ length: COUNT }, (_, i) => channel.beginSession().put(1n, `${name}-${i}`, Buffer.from('v')).end())

  await Promise.all(write('kept').map((receipt) => receipt.propagated))
  await kill(replica)
  // what a crash would leave now; the tail is of the same term, since a client believes no other one of that number
  master.kill('SIGSTOP')
  cpSync(m, `${m}.older`, { recursive: true })
  master.kill('SIGCONT')
  const tail = write('lost')
  const commits = await Promise.all(tail.map((receipt) => receipt.stored))
  const awaited = tail.slice(0, COUNT / 2).map((receipt) => receipt.propagated.catch((error: ClientError) => error))
  await kill(master)
  await until(() => channel.state === 'reconnecting')
  const waiting = write('waiting')
  rmSync(m, { recursive: true })
  cpSync(`${m}.older`, m, { recursive: true })
  master = await run(t, m, mPort)
  replica = await run(t, r1, r1Port)

  for (const [i, error] of (await Promise.all(awaited)).entries()) {
    t.match(error, { code: 'SESSION_LOST', outcome: 'lost', stored: commits[i]! })
  }
  t.same(lost, [{ channel: 0, from: COUNT + 1, to: 2 * COUNT }], 'also for those that nobody waits for')
  t.equal(channel.lostSessions, COUNT)
  await t.rejects(tail.at(-1)!.propagated, { code: 'SESSION_LOST' }, 'also for who asks later')
  t.match(await tail.at(-1)!.stored, commits.at(-1)!, 'what was said of STORED stays said')
  const later = await Promise.all([...waiting, ...write('new')].map((receipt) => receipt.propagated))
  t.same(
    later.map(({ sequence }) => sequence),
    Array.from({ length: 2 * COUNT }, (_, i) => 2 * COUNT + 1 + i),
    'numbers are not used twice',
  )
  t.ok(later.every(({ term, epoch }) => term.number > commits[0]!.term.number && epoch > 0n))
  await client.close()
  await kill(replica)
  await kill(master)
  const names = ['kept', 'waiting', 'new'].flatMap((name) => Array.from({ length: COUNT }, (_, i) => `${name}-${i}`))
  for (const directory of [m, r1]) t.same(readKeys(directory), names, 'each once, in order')
})
