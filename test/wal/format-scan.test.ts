/** Logs made by hand, as docs/WAL_FORMAT.md chapters 4 and 5 judge them: terms, ends, damage, wholeness, segments. */
import t from 'tap'
import { FRAME_HEADER_BYTES, HeaderOffset, headerSeed } from '../../protocol/frame.ts'
import { channelId } from '../../protocol/ids.ts'
import { SEGMENT_BYTES_MIN } from '../../protocol/limits.ts'
import { cutOf, wholeOfScans } from '../../wal/mastership.ts'
import { NO_PRODUCERS } from '../../wal/producer-table.ts'
import { writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory, prepareSegment, Segments } from '../../wal/segments.ts'
import { mastershipAt, termMayStandAt } from '../../wal/term-history.ts'
import { codeOf } from '../protocol/damage.ts'
import { reseal } from '../protocol/naive-crc32.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import {
  CLUSTER,
  DIRECTORY,
  emptyLog,
  frames,
  layOut,
  manifestOf,
  mark,
  mastership,
  OTHER,
  overwrite,
  recover,
  scanAll,
  seal,
  session,
} from './hand-made-log.ts'

const SEED = headerSeed(CLUSTER, channelId(0))
const one = manifestOf(1, [mastership(1, [0])])

t.test('WAL-40: the history says which term owns a position', (t) => {
  const history = [mastership(1, [100, 0]), mastership(2, [500, 0]), mastership(5, [500, 900])]
  const owner = (channel: number, position: number): number =>
    Number(mastershipAt(history, channel, position)?.term.number ?? 0n)
  t.same(
    [0, 99, 100, 499, 500, 10 ** 12].map((p) => owner(0, p)),
    [0, 0, 1, 1, 5, 5],
  )
  t.same(
    [0, 899, 900].map((p) => owner(1, p)),
    [2, 2, 5],
  )
  const frame = { channel: 0, position: 100, term: 1n, termTag: 7 }
  t.ok(termMayStandAt(history, frame))
  t.notOk(termMayStandAt(history, { ...frame, termTag: 8 }), 'another tag')
  t.notOk(termMayStandAt(history, { ...frame, term: 2n }), 'another number')
  t.notOk(termMayStandAt(history, { ...frame, position: 99 }), 'before the first start')
  t.notOk(termMayStandAt(history, { ...frame, position: 500 }), 'behind the cut')
  t.end()
})

t.test('WAL-4 WAL-40: frames of a term that was cut, or at another position, are not valid', (t) => {
  const first = mastership(1, [0])
  const { bytes, ends } = frames([session(1n), seal(1n), session(2n), seal(2n)], first)
  const disk = emptyLog(one)
  overwrite(disk, 0, 0, bytes)
  t.equal(recover(disk, one).end, ends[3])
  const cut = manifestOf(1, [first, mastership(2, [ends[1]!], 2n)])
  t.match(recover(disk, cut), { end: ends[1], tail: 'torn-tail' }, 'behind the start of term 2')
  overwrite(disk, 0, ends[1]!, bytes.subarray(0, ends[0]!))
  t.match(recover(disk, one), { end: ends[1], tail: 'torn-tail' }, 'a frame that belongs to position 0')
  t.end()
})

t.test('WAL-41: clean or torn', (t) => {
  const { bytes, ends } = frames([session(1n), seal(1n)])
  const end = ends[1]!
  const tails: [string, 'clean' | 'torn-tail', (disk: SimDisk) => void][] = [
    ['zeros', 'clean', () => undefined],
    [
      'half a frame',
      'torn-tail',
      (disk) => overwrite(disk, 0, end, frames([session(2n)], undefined, 0, end).bytes.subarray(0, 90)),
    ],
    ['one byte', 'torn-tail', (disk) => overwrite(disk, 0, end, Buffer.from([1]))],
    ['one byte behind many zeros', 'torn-tail', (disk) => overwrite(disk, 0, SEGMENT_BYTES_MIN - 1, Buffer.from([1]))],
  ]
  for (const [what, tail, change] of tails) {
    const disk = emptyLog(one)
    overwrite(disk, 0, 0, bytes)
    change(disk)
    t.match(recover(disk, one), { end, tail }, what)
  }
  const full = emptyLog(one)
  layOut(full, bytes, bytes.length)
  t.match(recover(full, one), { end, tail: 'clean' }, 'no bytes behind the end')
  t.end()
})

t.test('WAL-42 WAL-43: what an own seal or MARK has proven is damage when it is gone', (t) => {
  const drafts = (proof: number) => [session(1n), seal(1n), session(2n, 600), seal(2n), mark(proof, 2n)]
  const { ends } = frames(drafts(0))
  const { bytes } = frames(drafts(ends[3]!))
  const damages: [string, (log: Buffer) => void][] = [
    ['a flipped bit', (log) => log.writeUInt8(log[ends[1]! + 200]! ^ 1, ends[1]! + 200)],
    ['a header of zeros', (log) => log.fill(0, ends[1]!, ends[1]! + 72)],
    ['a sector of zeros', (log) => log.fill(0, ends[1]!, ends[1]! + 512)],
    ['a whole frame of zeros', (log) => log.fill(0, ends[1]!, ends[2]!)],
  ]
  for (const [what, damage] of damages) {
    const log = Buffer.from(bytes)
    damage(log)
    const own = emptyLog(one)
    overwrite(own, 0, 0, log)
    const file = `${DIRECTORY}/channels/00/0000000000000000.wal`
    t.throws(
      () => recover(own, one),
      { code: 'LOG_DAMAGED', where: { file, channel: 0, offset: ends[1] } },
      `${what} below an own proof`,
    )
    const foreign = manifestOf(1, [mastership(1, [0], 0n, OTHER)], 'replica')
    t.match(recover(own, foreign), { end: ends[1] }, `${what}: another master's word proves nothing here`)
  }
  const torn = emptyLog(one)
  overwrite(torn, 0, 0, frames(drafts(ends[1]!)).bytes)
  overwrite(torn, 0, ends[1]! + 200, Buffer.from([0]))
  t.match(recover(torn, one), { end: ends[1], tail: 'torn-tail' }, 'the same below no proof is a torn tail')
  t.end()
})

t.test(
  'WAL-42 WAL-43: files that are gone are damage, as far as a start of an own mastership or a recovery point proves them',
  (t) => {
    const directory = channelDirectory(DIRECTORY, 0)
    const first = mastership(1, [0])
    const { bytes, ends } = frames([session(1n), seal(1n), session(2n), seal(2n)], first)
    const point = {
      channel: 0,
      position: ends[3]!,
      epoch: 2n,
      stored: 2n,
      term: 1n,
      termTag: 7,
      sealPosition: ends[2]!,
      producers: NO_PRODUCERS,
    }
    const files = (segments: number): SimDisk => {
      const disk = emptyLog(one)
      layOut(disk, bytes, 100, segments)
      return disk
    }
    const restarted = manifestOf(1, [first, mastership(2, [ends[1]!], 1n)])
    const followed = manifestOf(1, [first, mastership(2, [ends[1]!], 1n, OTHER)])
    t.equal(recover(files(3), restarted).end, ends[1])
    for (const segments of [0, 1]) {
      t.throws(
        () => recover(files(segments), restarted),
        { code: 'LOG_DAMAGED' },
        `${segments} segments of an own mastership`,
      )
      t.equal(
        codeOf(() => recover(files(segments), followed)),
        'none',
        `${segments} segments of another one`,
      )
    }
    for (const segments of [0, 1, 2]) {
      const disk = files(segments)
      writeRecoveryPoint(disk, directory, point)
      t.throws(() => recover(disk, one), { code: 'LOG_DAMAGED' }, `${segments} segments below a recovery point`)
    }
    t.end()
  },
)

t.test('WAL-44 WAL-45 WAL-46: whole epochs, their chain and the cut', (t) => {
  const both = { participants: 0b11n }
  const manifest = manifestOf(2, [mastership(1, [0, 0])])
  const by = manifest.history[0]
  const zero = frames([session(1n), seal(1n), session(2n), seal(2n, both), mark(0), mark(0), session(3n), seal(3n)], by)
  const cases: [string, Parameters<typeof frames>[0], bigint, number, number][] = [
    // what channel 1 holds; last whole epoch; index of the frame whose end is the cut, per channel; -1 is the begin
    ['all', [session(2n), seal(2n, both)], 3n, 7, 1],
    ['its seal of 2 is missing: 3 follows a hole', [session(2n)], 1n, 1, -1],
    ['its seal of 2 names fewer', [session(2n), seal(2n, { participants: 0b10n })], 3n, 7, 1],
    [
      'a seal that nothing follows on',
      [session(2n), seal(2n, both), session(5n), seal(5n, { prev: 4n, participants: 0b10n })],
      3n,
      7,
      1,
    ],
    ['MARKs stay with their seal', [session(2n), seal(2n, both), mark(0), mark(0), session(4n)], 3n, 7, 3],
  ]
  for (const [what, drafts, whole, cut0, cut1] of cases) {
    const disk = emptyLog(manifest)
    const other = frames(drafts, by, 1)
    overwrite(disk, 0, 0, zero.bytes)
    overwrite(disk, 1, 0, other.bytes)
    const scans = scanAll(disk, manifest)
    const found = wholeOfScans(manifest, scans)
    t.equal(found.lastWhole, whole, what)
    t.equal(cutOf(scans[0]!, found.lastWhole), zero.ends[cut0], `${what}: cut of channel 0`)
    t.equal(cutOf(scans[1]!, found.lastWhole), other.ends[cut1] ?? 0, `${what}: cut of channel 1`)
  }
  t.equal(cutOf(scanAll(emptyLog(one), one)[0]!, 0n), 0, 'an empty log')
  t.end()
})

t.test('WAL-47: a newer format in a valid place is an error, not an end', (t) => {
  const { bytes, ends } = frames([session(1n), seal(1n), session(2n)])
  const changes: [string, number, number][] = [
    ['FRAME_VERSION_UNSUPPORTED', HeaderOffset.version, 2],
    ['FRAME_KIND_UNKNOWN', HeaderOffset.kind, 200],
    ['FRAME_VERSION_UNSUPPORTED', HeaderOffset.flags, 2],
    ['FRAME_TOO_LARGE', HeaderOffset.bodyLength + 3, 1],
  ]
  for (const [code, offset, value] of changes) {
    const last = Buffer.from(bytes.subarray(ends[1]))
    last.writeUInt8(value, offset)
    const disk = emptyLog(one)
    overwrite(disk, 0, 0, Buffer.concat([bytes.subarray(0, ends[1]), reseal(last, SEED)]))
    t.throws(() => recover(disk, one), { code, where: { channel: 0, offset: ends[1] } }, `${code} at ${offset}`)
    overwrite(disk, 0, ends[1]! + offset, Buffer.from([value ^ 1]))
    t.equal(recover(disk, one).end, ends[1], 'without a right CRC it is an end')
  }
  t.end()
})

t.test('WAL-50: the same log in segments of any size', (t) => {
  const { bytes, ends } = frames([session(1n), seal(1n), session(2n, 300), seal(2n), mark(0)])
  const whole = emptyLog(one)
  layOut(whole, bytes, bytes.length + 40)
  const expected = recover(whole, one)
  t.equal(expected.end, ends.at(-1))
  for (const size of [1, 5, 31, 71, FRAME_HEADER_BYTES, 73, 100, 144, 255, bytes.length]) {
    const disk = emptyLog(one)
    layOut(disk, bytes, size)
    t.same(recover(disk, one), expected, `segments of ${size} bytes`)
    const segments = new Segments({
      disk,
      directory: channelDirectory(DIRECTORY, 0),
      segmentBytes: 64,
      access: 'write',
    })
    const news = Buffer.from('bytes that go over the ends of segments, several of them')
    segments.write(10, [news.subarray(0, 20), news.subarray(20)], news.length)
    const read = Buffer.alloc(bytes.length)
    t.equal(segments.read(0, read), bytes.length)
    t.same(
      read,
      Buffer.concat([bytes.subarray(0, 10), news, bytes.subarray(10 + news.length)]),
      'written over segment ends',
    )
    segments.close()
  }
  t.end()
})

t.test('WAL-51: a segment that is missing or was cut; files of other names', (t) => {
  const { bytes } = frames([session(1n), seal(1n), session(2n, 300), seal(2n)])
  const directory = channelDirectory(DIRECTORY, 0)
  const missing = emptyLog(one)
  layOut(missing, bytes, 100)
  missing.unlink(`${directory}/0000000000000064.wal`)
  t.throws(() => recover(missing, one), { code: 'LOG_DAMAGED', where: { file: `${directory}/0000000000000000.wal` } })
  const others = emptyLog(one)
  layOut(others, bytes, 100)
  const expected = recover(others, one)
  for (const name of ['0000000000000064.wal.new', '64.wal', '0000000000000064.WAL', 'notes.txt'])
    others.create(`${directory}/${name}`).close()
  t.same(recover(others, one), expected)
  t.equal(others.list(directory).length, Math.ceil(bytes.length / 100) + 4, 'nothing was removed')
  t.end()
})

t.test('WAL-52: zeros, flush, name, flush of the directory: in this order, and again after a crash', (t) => {
  const disk = emptyLog(one)
  const directory = channelDirectory(DIRECTORY, 0)
  const steps: string[] = []
  disk.onStep = ({ kind, path }) => steps.push(`${kind} ${path.slice(directory.length + 1)}`)
  prepareSegment(disk, directory, { base: SEGMENT_BYTES_MIN, bytes: 3_000_000 })
  disk.onStep = undefined
  const side = '0000000000010000.wal.new'
  // written piece by piece: a flush may follow each of them
  const acts = steps.filter((step, i, all) => !/^(write|close)/.test(step) && all[i - 2] !== step)
  t.same(acts, [`create ${side}`, `syncData ${side}`, `rename ${side}`, 'syncDirectory '])
  t.ok(steps.lastIndexOf(`write ${side}`) < steps.lastIndexOf(`syncData ${side}`))
  prepareSegment(disk, directory, { base: SEGMENT_BYTES_MIN, bytes: 8192 })
  t.match(disk.crash('none').list(directory), ['0000000000000000.wal', '0000000000010000.wal'])
  const file = disk.open(`${directory}/0000000000010000.wal`, 'read')
  const bytes = Buffer.alloc(10_000, 1)
  t.equal(file.read(bytes, 0), 8192)
  t.ok(bytes.subarray(0, 8192).every((byte) => byte === 0))
  t.end()
})
