/**
 * replaceFile on the simulated disk: at every moment, in every outcome of a crash, the old or the new bytes; after it
 * has returned, the new ones. Then the same with one of its acts left out: each of them must be found.
 */
import t from 'tap'
import { type Disk, joinPath, readWholeFile, replaceFile } from '../../wal/disk.ts'
import { type CrashPoint, exploreCrashes } from '../sim/crash-explorer.ts'
import { SimDisk } from '../sim/sim-disk.ts'

type Replace = (disk: Disk, directory: string, name: string, bytes: Uint8Array) => void

/** Four sectors and a bit each; every byte tells to which it belongs. */
const OLD = Buffer.alloc(70, 'o')
const NEW = Buffer.alloc(75, 'n')
const NEXT = Buffer.alloc(66, 'x')

function diskWithOld(): SimDisk {
  const disk = new SimDisk({ sectorBytes: 16 })
  disk.makeDirectory('/d')
  disk.syncDirectory('/')
  replaceFile(disk, '/d', 'f', OLD)
  return disk
}

/** Explores one replacement of `before` by `after`; `then` goes on from each outcome. */
function explore(
  start: { disk: SimDisk; before: Buffer; after: Buffer },
  replace: Replace,
  then?: (point: CrashPoint, found: Buffer) => void,
): number {
  let returned = false
  return exploreCrashes({
    disk: start.disk,
    run: (disk) => {
      replace(disk, '/d', 'f', start.after)
      returned = true
    },
    check: (point) => {
      const found = readWholeFile(point.disk, '/d/f')
      if (!found.equals(start.after)) {
        if (returned) throw new Error('the new bytes are lost')
        if (!found.equals(start.before)) throw new Error(`neither old nor new: ${found.toString('latin1')}`)
      }
      then?.(point, found)
    },
  }).points
}

t.test('the old or the new bytes, after any crash', async (t) => {
  const points = explore({ disk: diskWithOld(), before: OLD, after: NEW }, replaceFile)
  t.ok(points > 40, `${points} outcomes`)
})

t.test('and again after a crash in the middle of the next try', async (t) => {
  let points = 0
  const tried = new Set<string>()
  explore({ disk: diskWithOld(), before: OLD, after: NEW }, replaceFile, ({ disk, step }, found) => {
    // One of each kind of moment and left-over is enough here.
    const kind = `${step?.kind} ${disk.list('/d').join()} ${found.length}`
    if (tried.has(kind)) return
    tried.add(kind)
    points += explore({ disk, before: found, after: NEXT }, replaceFile)
  })
  t.ok(tried.size > 6 && points > 500, `${points} outcomes after ${tried.size} first crashes`)
})

/** replaceFile in acts, so that one can be left out. */
function acts(leftOut: string): Replace {
  return (disk, directory, name, bytes) => {
    const target = joinPath(directory, name)
    const side = leftOut === 'side file' ? target : `${target}.new`
    const file = disk.create(side)
    file.write([bytes], 0)
    if (leftOut === 'order') disk.rename(side, target)
    if (leftOut !== 'flush of the file') file.syncData()
    file.close()
    if (side !== target && leftOut !== 'order') disk.rename(side, target)
    if (leftOut !== 'flush of the directory') disk.syncDirectory(directory)
  }
}

t.test('each act of it is needed', async (t) => {
  const start = { disk: diskWithOld(), before: OLD, after: NEW }
  t.ok(explore(start, acts('nothing')) > 40, 'the copy with nothing left out is sound')
  t.throws(() => explore(start, acts('flush of the file')), { message: /neither old nor new/ })
  t.throws(() => explore(start, acts('flush of the directory')), { message: /the new bytes are lost/ })
  t.throws(() => explore(start, acts('order')), { message: /neither old nor new/ })
  t.throws(() => explore(start, acts('side file')), { message: /neither old nor new/ })
})

t.test('a failure of the disk at each operation leaves the old or the new bytes', async (t) => {
  for (const kind of ['create', 'write', 'syncData', 'close', 'rename', 'syncDirectory'] as const) {
    const disk = diskWithOld()
    disk.fail({ kind, takenBytes: 20 })
    const failing: Replace = (...args) => {
      t.throws(() => replaceFile(...args), { code: 'DISK_FAILED' }, kind)
    }
    // It has thrown, so nothing was promised: the old bytes may be there even after the end.
    const points = exploreCrashes({
      disk,
      run: (running) => failing(running, '/d', 'f', NEW),
      check: ({ disk: survivor }) => {
        const found = readWholeFile(survivor, '/d/f')
        if (!found.equals(OLD) && !found.equals(NEW)) throw new Error(`neither: ${found.toString('latin1')}`)
      },
    }).points
    t.ok(points > 0)
  }
})
