/**
 * Idle is idle: over a minute a pair that nobody writes to writes nothing to its disks, sends heartbeats and nothing
 * else, and uses less than a hundredth of a core. Counted by the kernel, not by the nodes.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { HEARTBEAT_INTERVAL_MS } from '../../protocol/limits.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster, newReplica, openChannel, type ReadyNode, runNode } from '../tools/node-pair.ts'

const CLUSTER = '00000000-0000-4000-8000-000000000001'
const SECONDS = 60
/** Of the clock of /proc. */
const TICKS_PER_SECOND = 100
/** A heartbeat or its answer on the wire, and the eight bytes by which threads wake each other. */
const HEARTBEAT_BYTES_MAX = 80

t.setTimeout(0) // it measures a minute

t.test('a pair with four channels and a client that says nothing', async (t) => {
  const directory = temporaryDirectory(t)
  newReplica(join(directory, 'r'), CLUSTER, 4)
  const replica = await runNode(t, join(directory, 'r'))
  newMaster(join(directory, 'm'), [`127.0.0.1:${replica.port}`], CLUSTER, 4)
  const master = await runNode(t, join(directory, 'm'))
  const { channel } = await openChannel(t, master.port)
  const put = { op: 'put', storage: 1, key: 'key', value: Buffer.from('value') } as const
  await channel.write([put], { level: 'propagated' })
  await sleep(3_000) // marks, recovery points and prepared segments of the last write

  const nodes = { master, replica }
  const before = Object.entries(nodes).map(([name, node]) => ({ name, pid: node.command.pid, ...used(node) }))
  await sleep(SECONDS * 1_000)
  for (const { name, pid, ...was } of before) {
    const now = used(pid === master.command.pid ? master : replica)
    t.equal(now.diskBytes - was.diskBytes, 0, `${name}: nothing was written to a disk`)
    const share = (now.cpuTicks - was.cpuTicks) / TICKS_PER_SECOND / SECONDS
    t.ok(share < 0.01, `${name}: ${(100 * share).toFixed(2)} % of a core`)
    // two peers have heartbeats with the master: its replica and the client
    const heartbeats = (2 * SECONDS * 1_000) / HEARTBEAT_INTERVAL_MS
    const written = now.writtenBytes - was.writtenBytes
    t.ok(written < 3 * heartbeats * HEARTBEAT_BYTES_MAX, `${name}: ${written} bytes were written anywhere`)
    t.ok(written > 0, 'the kernel counts')
  }
})

function used({ command }: ReadyNode): { cpuTicks: number; diskBytes: number; writtenBytes: number } {
  const stat = readFileSync(`/proc/${command.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const io = readFileSync(`/proc/${command.pid}/io`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(io)?.[1])
  return {
    cpuTicks: Number(fields[11]) + Number(fields[12]), // utime and stime
    diskBytes: field('write_bytes'),
    writtenBytes: field('wchar'),
  }
}
