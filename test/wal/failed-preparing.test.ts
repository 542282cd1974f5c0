/** A segment whose preparing has failed: made anew where there was no room, never written to where its name is in doubt. */
import t from 'tap'
import { channelDirectory, listSegments, type Preparer, prepareSegment, Segments } from '../../wal/segments.ts'
import { codeOf } from '../protocol/damage.ts'
import { survivors } from '../sim/crash-choices.ts'
import { exploreCrashes } from '../sim/crash-explorer.ts'
import { Life, NO_HISTORY, parseActs, restartAndCheck } from '../sim/lives.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, SEGMENT_BYTES, SimMaster } from '../sim/sim-master.ts'

const BYTES = 4096
const FOLDER = '/channel'

/** Prepares at once, and remembers that it has failed. */
class Preparing implements Preparer {
  readonly isBusy = false
  hasFailed = false
  readonly #disk: SimDisk

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  ask(base: number): void {
    this.hasFailed = codeOf(() => prepareSegment(this.#disk, FOLDER, { base, bytes: BYTES })) !== 'none'
  }

  wait(): void {
    if (this.hasFailed) throw new Error('nobody waits for what has failed')
  }
}

function channel(): { disk: SimDisk; preparer: Preparing; segments: Segments; write: () => void } {
  const disk = new SimDisk({ sectorBytes: 512 })
  disk.makeDirectory(FOLDER)
  disk.syncDirectory('/')
  prepareSegment(disk, FOLDER, { base: 0, bytes: BYTES })
  const preparer = new Preparing(disk)
  const segments = new Segments({ disk, directory: FOLDER, segmentBytes: BYTES, access: 'write', preparer })
  let position = 0
  const write = (): void => {
    segments.write(position, [Buffer.alloc(BYTES, 7)], BYTES)
    segments.syncData()
    position += BYTES
  }
  return { disk, preparer, segments, write }
}

t.test('no room: the segment is made anew when there is some, and written to', (t) => {
  const { disk, preparer, segments, write } = channel()
  disk.fail({ kind: 'write', path: '.new', errno: 'ENOSPC' })
  segments.keepAhead()
  t.ok(preparer.hasFailed)
  segments.forgetRequest()
  segments.keepAhead()
  t.notOk(preparer.hasFailed)
  write()
  write()
  t.same(disk.crash('none').list(FOLDER), ['0000000000000000.wal', '0000000000001000.wal'])
  t.end()
})

t.test('its name could not be flushed: it is there, and nothing is written to it', (t) => {
  const { disk, preparer, segments, write } = channel()
  disk.fail({ kind: 'syncDirectory' })
  segments.keepAhead()
  t.ok(preparer.hasFailed)
  segments.forgetRequest()
  segments.keepAhead()
  write()
  t.same(disk.list(FOLDER).slice(0, 2), ['0000000000000000.wal', '0000000000001000.wal'])
  t.throws(write, { code: 'DISK_FAILED', where: { file: `${FOLDER}/0000000000001000.wal` } })
  t.end()
})

t.test('nor where the next one fails as well', (t) => {
  const { disk, segments, write } = channel()
  for (let failures = 0; failures < 2; failures++) {
    disk.fail({ kind: 'syncDirectory' })
    segments.keepAhead()
    segments.forgetRequest()
  }
  segments.keepAhead()
  write()
  t.throws(write, { code: 'DISK_FAILED', where: { file: `${FOLDER}/0000000000001000.wal` } })
  t.end()
})

t.test('nor by the writer that takes over, as a replica that follows anew', (t) => {
  const { disk, preparer, segments } = channel()
  disk.fail({ kind: 'syncDirectory' })
  segments.keepAhead()
  segments.forgetRequest()
  const options = { disk, directory: FOLDER, segmentBytes: BYTES, access: 'write', preparer } as const
  const next = new Segments({ ...options, writtenEnd: BYTES }, segments)
  t.throws(() => next.write(BYTES, [Buffer.alloc(1)], 1), { code: 'DISK_FAILED' })
  t.end()
})

t.test('the writer that takes over waits for what the one before has asked for', (t) => {
  const disk = new SimDisk({ sectorBytes: 512 })
  disk.makeDirectory(FOLDER)
  disk.syncDirectory('/')
  prepareSegment(disk, FOLDER, { base: 0, bytes: BYTES })
  let asked: number | undefined
  const preparer: Preparer = {
    get isBusy(): boolean {
      return asked !== undefined
    },
    ask: (base) => {
      t.equal(asked, undefined, 'one at a time')
      asked = base
    },
    wait: (base) => {
      t.equal(base, asked)
      prepareSegment(disk, FOLDER, { base, bytes: BYTES })
      asked = undefined
    },
  }
  const options = { disk, directory: FOLDER, segmentBytes: BYTES, access: 'write', preparer } as const
  const before = new Segments({ ...options, writtenEnd: 0 })
  before.keepAhead()
  t.equal(asked, BYTES)
  before.close()
  const next = new Segments({ ...options, writtenEnd: BYTES }, before)
  next.keepAhead()
  next.write(BYTES, [Buffer.alloc(100, 7)], 100)
  next.syncData()
  t.equal(asked, undefined)
  t.same(disk.crash('none').list(FOLDER), ['0000000000000000.wal', '0000000000001000.wal'])
  t.end()
})

t.test(
  'a folder that has gone keeps nobody who looks ahead, and is told to who has to write beyond what is there',
  (t) => {
    const { disk, segments, write } = channel()
    write()
    disk.rename(FOLDER, '/away')
    segments.keepAhead()
    segments.becomeQuiet()
    t.throws(write, { code: 'DIRECTORY_MISSING' })
    t.end()
  },
)

t.test('after a restart its name is beyond doubt, before anything is answered from it', (t) => {
  const bytes = SEGMENT_BYTES
  for (const failing of [[bytes], [bytes, 2 * bytes]]) {
    const disk = new SimDisk({ sectorBytes: 512 })
    initMaster(disk, 1)
    const life = new Life(restartAndCheck(disk, NO_HISTORY))
    life.play(parseActs('w0 f0'))
    for (const base of failing) {
      disk.fail({ kind: 'syncDirectory' })
      t.equal(
        codeOf(() => prepareSegment(disk, channelDirectory(DIRECTORY, 0), { base, bytes })),
        'DISK_FAILED',
      )
    }
    const again = disk.killProcess()
    const next = new Life(restartAndCheck(again, life.history()))
    next.play(parseActs('w0:60000 f0 w0:60000 f0 w0:60000 f0'))
    t.equal(next.history().answered.size, 4)
    const lost = [...survivors(again)].filter((survivor) => {
      return codeOf(() => restartAndCheck(survivor.disk, next.history())) !== 'none'
    })
    t.same(
      lost.map((survivor) => survivor.lost),
      [],
      'no power loss takes away what was answered',
    )
  }
  t.end()
})

t.test('a crash anywhere in a start leaves the segments that were prepared without a gap', (t) => {
  const disk = new SimDisk({ sectorBytes: 4096 })
  initMaster(disk, 1)
  const life = new Life(restartAndCheck(disk, NO_HISTORY))
  life.play(parseActs('w0 f0'))
  const prepared = [1, 2, 3].map((i) => i * SEGMENT_BYTES)
  for (const base of prepared) prepareSegment(disk, channelDirectory(DIRECTORY, 0), { base, bytes: SEGMENT_BYTES })
  const left = new Set<number>()
  const { points } = exploreCrashes({
    disk: disk.killProcess(),
    run: (running) => void new SimMaster(running),
    check: (point) => {
      left.add(listSegments(point.disk, channelDirectory(DIRECTORY, 0)).length)
      restartAndCheck(point.disk, life.history())
    },
  })
  t.ok(points > 30, `${points} crashes`)
  t.same([...left].sort(), [1, 2, 3, 4], 'with each number of them')
  t.end()
})
