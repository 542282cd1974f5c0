/** Whatever a node makes is for its own user alone, also where the umask takes nothing away: a log holds its users' data. */
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RECOVERY_POINT_NAME } from '../../wal/recovery-point.ts'
import { Cluster, TEST_SEGMENT_BYTES } from './cluster.ts'
import { writeMany } from './raw-client.ts'

/** Every name in a directory, itself as well, and what is wrong with its mode: '' if nothing is. */
function modesIn(directory: string): Map<string, string> {
  const names = ['.', ...readdirSync(directory, { recursive: true, encoding: 'utf8' })]
  return new Map(
    names.map((name) => {
      const status = lstatSync(join(directory, name))
      const mode = (status.mode & 0o7777).toString(8)
      return [name, mode === (status.isDirectory() ? '700' : '600') ? '' : `${name} has ${mode}`]
    }),
  )
}

t.test('a master that rotates, and a replica that cuts off: 0600 and 0700', async (t) => {
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  const cluster = await Cluster.start(t, { replicas: 1 })
  await cluster.untilStreaming()
  const link = await (await cluster.client()).open(0)
  await cluster.save('m', 'saved')
  while (!modesIn(cluster.directory('m')).has(join('channels', '00', RECOVERY_POINT_NAME))) {
    writeMany(link, 'key', 10, Buffer.alloc(TEST_SEGMENT_BYTES / 20))
    await link.untilPropagated(link.sequence)
  }
  for (const name of ['m', 'r1']) await cluster.stop(name)
  const master = modesIn(cluster.directory('m'))
  cluster.restore('m', 'saved')
  await cluster.run('m')
  await cluster.run('r1')
  await cluster.untilStreaming()
  await cluster.stop('r1')
  const replica = modesIn(cluster.directory('r1'))
  for (const modes of [master, replica])
    t.same(
      [...modes.values()].filter((fault) => fault !== ''),
      [],
    )
  const seen = [...master.keys(), ...replica.keys()].join('\n')
  for (const kind of [/^manifest$/m, /^lock$/m, /\.wal$/m, /recovery\.point$/m, /^divergent\/.+/m]) t.match(seen, kind)
})
