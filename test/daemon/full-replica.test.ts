/**
 * A replica whose disk runs full says so before an append could find no room: it ends the stream with DISK_LOW, loses
 * nothing, and goes on by itself when there is room. STORED does not wait for it, PROPAGATED does.
 */
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { initNode, type LogLine, startNode } from '../../daemon/node.ts'
import { KIB, SEGMENT_BYTES_MIN } from '../../protocol/limits.ts'
import { smallFileSystem, temporaryDirectory } from '../temp-directory.ts'
import { readKeys } from './cluster.ts'
import { put, RawClient } from './raw-client.ts'

const CLUSTER_ID = '00000000-0000-4000-8000-0000000000ab'

const freeOf = (directory: string): number => {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

t.test('a replica on a full disk', async (t) => {
  const { directory: root, reason } = smallFileSystem(t, 2_048 * KIB)
  if (reason !== '') return t.comment(reason)
  const [directory, masterDirectory] = [join(root, 'r'), join(temporaryDirectory(t), 'm')]
  const shared = { clusterId: CLUSTER_ID, segmentBytes: SEGMENT_BYTES_MIN }
  initNode({ directory, role: 'replica', ...shared })
  const lines: LogLine[] = []
  const replica = await startNode({ directory, port: 0, onLog: (line) => lines.push(line) })
  t.teardown(() => replica.close())
  initNode({ directory: masterDirectory, role: 'master', replicas: [`127.0.0.1:${replica.port}`], ...shared })
  const master = await startNode({ directory: masterDirectory, port: 0 })
  t.teardown(() => master.close())
  const row = () => master.status().replicas[0]!
  const client = await RawClient.connect(master.port)
  t.teardown(() => client.close())
  const link = await client.open(0)
  await link.untilPropagated(link.write(put('level')))

  const ballast = join(root, 'ballast')
  writeFileSync(ballast, Buffer.alloc(freeOf(root) - 300 * KIB))
  const value = Buffer.alloc(16 * KIB)
  let last = 1
  while (!row().error?.includes('DISK_LOW')) {
    last = link.write(put(`k${last}`, value))
    await link.untilStored(last)
  }
  t.ok(replica.status().diskLow)
  t.match(
    lines.filter(({ level }) => level !== 'info'),
    [{ level: 'warn', code: 'DISK_LOW' }],
    'it says so, and no more',
  )
  const more = link.write(put('more', value))
  await link.untilStored(more)
  t.ok(link.propagated < more, 'PROPAGATED waits')

  rmSync(ballast)
  await link.untilPropagated(more)
  t.notOk(replica.status().diskLow)
  t.equal(readKeys(directory).length, more, 'each session once')
  return undefined
})
