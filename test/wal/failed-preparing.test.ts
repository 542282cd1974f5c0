/** A segment whose preparing has failed: made anew where there was no room, never written to where its name is in doubt. */
import t from 'tap'
import { type Preparer, prepareSegment, Segments } from '../../wal/segments.ts'
import { codeOf } from '../protocol/damage.ts'
import { SimDisk } from '../sim/sim-disk.ts'

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
