/** The small disk of a torture run: it runs full for whoever writes there, and has room again. */
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { KIB, MIB } from '../../protocol/limits.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { SmallDisk } from './small-disk.ts'

t.test('it runs full, as often as it is told, and has room again when all of them are over', async (t) => {
  const disk = await SmallDisk.mount(join(temporaryDirectory(t), 'disk'))
  if (typeof disk === 'string') return t.pass('', { skip: disk })
  t.teardown(() => disk.close())
  const write = (name: string, bytes: number): void => writeFileSync(join(disk.directory, name), Buffer.alloc(bytes))
  write('kept', MIB)
  await Promise.all([disk.fill(100 * KIB), disk.fill(0)])
  t.throws(() => write('first', 4 * KIB), { code: 'ENOSPC' })
  await disk.empty()
  t.throws(() => write('first', 4 * KIB), { code: 'ENOSPC' }, 'the other one is not over')
  t.ok(disk.isFull)
  const room = disk.untilRoom()
  await disk.empty()
  await room
  write('second', 4 * MIB)
  await disk.fill(100 * KIB)
  const { bfree, bsize } = statfsSync(disk.directory)
  t.equal(bfree * bsize, 100 * KIB, 'so much is left')
  write('third', 100 * KIB)
  t.throws(() => write('fourth', 1), { code: 'ENOSPC' })
  t.equal(disk.fills, 3)
  await disk.empty()
  mkdirSync(join(disk.directory, 'folder'))
  await disk.fill(0)
  const emptied = disk.empty()
  await new Promise((resolve) => setImmediate(resolve)) // it has been asked for room, and does not have it yet
  await Promise.all([emptied, disk.fill(0)])
  t.ok(disk.isFull, 'it runs full while it gets room')
  let hasRoom = false
  const later = disk.untilRoom().then(() => (hasRoom = true))
  t.throws(() => write('fifth', 4 * KIB), { code: 'ENOSPC' })
  t.notOk(hasRoom)
  await disk.empty()
  await later
  t.notOk(disk.isFull)
  return undefined
})
