/** A replica that is stopped in the middle (SIGSTOP): STORED goes on without it, in bounded memory; then it catches up. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { initNode } from '../../daemon/node.ts'
import { MIB, SENDER_QUEUE_BYTES_LIMIT } from '../../protocol/limits.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { openChannel, runNode } from './node-pair.ts'

const CLUSTER = '00000000-0000-4000-8000-000000000001'
const SESSION_BYTES = MIB

t.test('STORED never waits for a paused replica, and the master does not keep what it cannot send', async (t) => {
  const directory = temporaryDirectory(t)
  const common = { clusterId: CLUSTER, segmentBytes: 16 * MIB }
  initNode({ directory: join(directory, 'r'), role: 'replica', ...common })
  const replica = await runNode(t, join(directory, 'r'))
  initNode({ directory: join(directory, 'm'), role: 'master', replicas: [`127.0.0.1:${replica.port}`], ...common })
  const master = await runNode(t, join(directory, 'm'))
  const { channel } = await openChannel(t, master.port)
  const value = Buffer.alloc(SESSION_BYTES - 1_000, 7)
  const put = (key: string) => ({ op: 'put', storage: 1, key, value }) as const
  await channel.write([put('before')], { level: 'propagated' })

  const pid = (JSON.parse(master.command.stdout.split('\n')[0] ?? '') as { pid: number }).pid // of our own command
  const before = residentBytes(pid)
  replica.command.kill('SIGSTOP')
  const sessions = (2 * SENDER_QUEUE_BYTES_LIMIT) / SESSION_BYTES
  for (let i = 0; i < sessions; i++) t.ok(await channel.write([put(`paused ${i}`)], { level: 'stored' }), `STORED ${i}`)
  const grown = residentBytes(pid) - before
  t.ok(grown < 2 * SENDER_QUEUE_BYTES_LIMIT + 96 * MIB, `${Math.round(grown / MIB)} MiB more than before`)
  const waits = channel.write([put('waits')], { level: 'propagated', deadlineMs: 60_000 })
  replica.command.kill('SIGCONT')
  t.ok(await waits, 'PROPAGATED once it goes on')
})

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}
