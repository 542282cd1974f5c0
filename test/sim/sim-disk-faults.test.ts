/** The faults that the simulated disk can be told to have, and the tools that look at every crash. */
import t from 'tap'
import { InvariantError } from '../../protocol/assert.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { type Disk, readWholeFile } from '../../wal/disk.ts'
import { crashChoices, survivors } from './crash-choices.ts'
import { exploreCrashes } from './crash-explorer.ts'
import { SimDisk } from './sim-disk.ts'
import type { SimStep } from './sim-handle.ts'

function withFile(text: string): SimDisk {
  const disk = new SimDisk({ sectorBytes: 4 })
  const file = disk.create('/f')
  file.write([Buffer.from(text)], 0)
  file.syncData()
  file.close()
  disk.syncDirectory('/')
  return disk
}

const show = (disk: Disk): string => readWholeFile(disk, '/f').toString('latin1').replaceAll('\0', '.')
const outcomes = (disk: SimDisk): string[] => [...new Set([...survivors(disk)].map((s) => show(s.disk)))].sort()

function codeOf(act: () => unknown): string {
  try {
    act()
    return 'none'
  } catch (thrown) {
    if (thrown instanceof TravertineError) return thrown.code
    throw thrown
  }
}

t.test('after a failed flush, a second one tells a lie', async (t) => {
  const disk = withFile('aaaa')
  const file = disk.open('/f', 'write')
  file.write([Buffer.from('bbbbcccc')], 0)
  disk.fail({ kind: 'syncData' })
  t.equal(
    codeOf(() => file.syncData()),
    'DISK_FAILED',
  )
  const uncertain = outcomes(disk)
  t.ok(['aaaa', 'bbbb', 'bbbbcccc', 'aaaacccc'].every((state) => uncertain.includes(state)))
  t.equal(
    codeOf(() => file.syncData()),
    'none',
    'it succeeds',
  )
  t.same(outcomes(disk), uncertain, 'and makes nothing durable')
  t.equal(show(disk), 'bbbbcccc', 'while everybody sees the new bytes')
  t.equal(show(disk.killProcess()), 'bbbbcccc', 'also after a restart of the process')
  file.write([Buffer.from('bbbb')], 0)
  file.syncData()
  t.ok(
    outcomes(disk).every((state) => state.startsWith('bbbb')),
    'the same bytes written again can be flushed',
  )
  t.ok(outcomes(disk).includes('bbbb'), 'what was not written again stays uncertain, the size too')
  file.write([Buffer.from('d')], 8)
  file.write([Buffer.from('cccc')], 4)
  file.syncData()
  t.same(outcomes(disk), ['bbbbccccd'])
})

t.test('after a failed flush of a directory too', async (t) => {
  const disk = withFile('aaaa')
  disk.unlink('/f')
  disk.fail({ kind: 'syncDirectory' })
  t.equal(
    codeOf(() => disk.syncDirectory('/')),
    'DISK_FAILED',
  )
  disk.syncDirectory('/')
  const there = () => [...survivors(disk)].map((s) => s.disk.exists('/f')).sort()
  t.same(there(), [false, true])
  disk.create('/f').close()
  disk.syncDirectory('/')
  t.same(there(), [true], 'a later change of the name that was flushed ends the doubt')
})

t.test('which operation fails', async (t) => {
  const disk = withFile('aaaa')
  const file = disk.open('/f', 'write')
  const write = () => codeOf(() => file.write([Buffer.from('b')], 0))
  disk.fail({ kind: 'write', nth: 3, errno: 'ENOSPC' })
  t.same([write(), write(), write(), write()], ['none', 'none', 'DISK_FULL', 'none'])
  disk.fail({ kind: 'write', nth: 2, errno: 'EROFS', forEver: true })
  t.same([write(), write(), write()], ['none', 'DIRECTORY_READ_ONLY', 'DIRECTORY_READ_ONLY'])
  disk.fail({ kind: 'create', path: '.wal' })
  t.same([codeOf(() => disk.create('/g').close()), codeOf(() => disk.create('/h.wal'))], ['none', 'DISK_FAILED'])
  t.notOk(disk.exists('/h.wal'), 'what fails has not happened')
  const fork = disk.fork()
  const again = fork.open('/f', 'write')
  t.equal(
    codeOf(() => again.write([Buffer.from('b')], 0)),
    'DIRECTORY_READ_ONLY',
    'a copy has the faults too',
  )
  t.equal(
    codeOf(() =>
      disk
        .crash('all')
        .open('/f', 'write')
        .write([Buffer.from('b')], 0),
    ),
    'none',
    'a survivor has not',
  )
  const others: readonly ['open' | 'rename' | 'unlink' | 'makeDirectory' | 'list' | 'read' | 'close', () => unknown][] =
    [
      ['open', () => disk.open('/f', 'read')],
      ['rename', () => disk.rename('/f', '/z')],
      ['unlink', () => disk.unlink('/f')],
      ['makeDirectory', () => disk.makeDirectory('/z')],
      ['list', () => disk.list('/')],
      ['read', () => file.read(Buffer.alloc(1), 0)],
      ['close', () => file.close()],
    ]
  for (const [kind, act] of others) {
    disk.fail({ kind })
    t.equal(codeOf(act), 'DISK_FAILED', kind)
  }
  t.same(disk.list('/'), ['f', 'g'])
})

t.test('a write that fails half-way', async (t) => {
  const disk = withFile('aaaa')
  const file = disk.open('/f', 'write')
  disk.fail({ kind: 'write', takenBytes: 3 })
  t.equal(
    codeOf(() => file.write([Buffer.from('bb'), Buffer.from('bbbb')], 0)),
    'DISK_FAILED',
  )
  t.equal(show(disk), 'bbba')
  t.same(outcomes(disk), ['aaaa', 'bbba'])
})

t.test('a disk that is full', async (t) => {
  const disk = new SimDisk({ sectorBytes: 4, capacityBytes: 10 })
  const file = disk.create('/f')
  file.write([Buffer.from('aaaaaa')], 0)
  t.equal(disk.freeBytes('/'), 4)
  t.throws(() => file.write([Buffer.from('bbbb'), Buffer.from('cccc')], 6), {
    code: 'DISK_FULL',
    where: { offset: 10 },
  })
  t.equal(show(disk), 'aaaaaabbbb', 'what has room is written')
  t.equal(
    codeOf(() => file.write([Buffer.from('dddd')], 6)),
    'none',
    'inside the file there is room',
  )
  t.equal(
    codeOf(() => file.write([Buffer.from('x')], 10)),
    'DISK_FULL',
  )
  disk.setCapacity(5)
  t.equal(disk.freeBytes('/'), 0)
  t.equal(
    codeOf(() => file.write([Buffer.from('eeee')], 6)),
    'none',
  )
  t.equal(
    codeOf(() =>
      disk
        .crash('all')
        .open('/f', 'write')
        .write([Buffer.from('x')], 10),
    ),
    'DISK_FULL',
  )
  disk.setCapacity(11)
  file.write([Buffer.from('x')], 10)
  disk.unlink('/f')
  t.equal(disk.freeBytes('/'), 11, 'removed files give their room back')
})

t.test('a hole reads as zeros, takes no room until it is written, and then may find none', async (t) => {
  const disk = new SimDisk({ sectorBytes: 4, capacityBytes: 10 })
  const file = disk.create('/f')
  file.write([Buffer.from('aa')], 0)
  file.write([Buffer.from('z')], 11)
  t.equal(show(disk), 'aa.........z')
  t.equal(disk.freeBytes('/'), 7)
  file.write([Buffer.from('bbbb')], 4)
  t.equal(disk.freeBytes('/'), 3)
  file.write([Buffer.from('BBBB')], 4)
  t.equal(disk.freeBytes('/'), 3, 'what was written before is no hole')
  const late = disk.fork()
  const write = (): void => file.write([Buffer.from('ccccccccc')], 1)
  t.throws(write, { code: 'DISK_FULL', where: { offset: 9 } })
  t.equal(show(disk), 'acccccccc..z', 'five over what was there, and three that had room')
  t.equal(disk.freeBytes('/'), 0)
  late.open('/f', 'write').syncData()
  late.syncDirectory('/')
  t.equal(show(late.crash('none')), 'aa..BBBB...z')
  t.equal(late.crash('none').freeBytes('/'), 3, 'a hole is still one after a crash')
  late.create('/f')
  t.equal(late.freeBytes('/'), 10)
})

t.test('sectors that rot', async (t) => {
  const disk = withFile('aaaabbbbcc')
  const file = disk.open('/f', 'write')
  file.write([Buffer.from('BBBB')], 4)
  file.syncData()
  const [flipped, zeroed, lost] = [disk.fork(), disk.fork(), disk.fork()]
  flipped.flipBit('/f', 5, 1)
  zeroed.zeroSector('/f', 9)
  lost.loseSector('/f', 7)
  t.same([disk, flipped, zeroed, lost].map(show), ['aaaaBBBBcc', 'aaaaB@BBcc', 'aaaaBBBB..', 'aaaabbbbcc'])
  t.same(outcomes(lost), ['aaaabbbbcc'], 'damage is there to stay')
  lost.loseSector('/f', 0)
  t.equal(show(lost), '....bbbbcc', 'before its first flush a sector held zeros')
  t.equal(show(lost.crash('none')), '....bbbbcc')
  const early = disk.fork()
  file.write([Buffer.from('CCCC')], 4)
  file.syncData()
  early.loseSector('/f', 4)
  disk.loseSector('/f', 4)
  t.same([early, disk].map(show), ['aaaabbbbcc', 'aaaaBBBBcc'], 'a copy has a past of its own')
  file.write([Buffer.from('x')], 0)
  t.throws(() => disk.flipBit('/f', 0), InvariantError, 'an unflushed sector has no place to rot in')
  t.throws(() => disk.flipBit('/f', 10), InvariantError, 'nor has one beyond the end')
})

t.test('the hook sees each operation before it happens', async (t) => {
  const disk = new SimDisk()
  const steps: SimStep[] = []
  disk.onStep = (step) => steps.push(step)
  const file = disk.create('/f')
  file.write([Buffer.alloc(3), Buffer.alloc(4)], 2)
  file.syncData()
  file.close()
  disk.syncDirectory('/')
  t.same(steps, [
    { index: 1, kind: 'create', path: '/f' },
    { index: 2, kind: 'write', path: '/f', offset: 2, bytes: 7 },
    { index: 3, kind: 'syncData', path: '/f' },
    { index: 4, kind: 'close', path: '/f' },
    { index: 5, kind: 'syncDirectory', path: '/' },
  ])
  t.equal(disk.steps, 5)
  disk.onStep = () => {
    throw new Error('power')
  }
  t.throws(() => disk.unlink('/f'), { message: 'power' })
  disk.onStep = undefined
  t.ok(disk.exists('/f'), 'what the hook stops has not happened')
})

function dirty(sectors: number): SimDisk {
  const disk = withFile('a'.repeat(4 * sectors))
  const file = disk.open('/f', 'write')
  for (let i = 0; i < sectors; i++) file.write([Buffer.from('bbbb')], 4 * i)
  return disk
}

t.test('few units are tried in every combination', async (t) => {
  t.equal([...survivors(dirty(0))].length, 1)
  t.equal([...survivors(dirty(8))].length, 256)
  t.equal(outcomes(dirty(8)).length, 256)
  t.equal([...survivors(dirty(4), { exhaustiveLimit: 16 })].length, 16)
})

t.test('choices that leave the same state count once', async (t) => {
  const disk = new SimDisk({ sectorBytes: 4 })
  disk.create('/f').write([Buffer.from('aaaabbbb')], 0)
  const combinations = [...crashChoices(disk.units())].length
  t.equal(combinations, 24, 'name, three sizes, two sectors')
  // Without its name one; empty one; half of it two; whole of it four.
  t.equal([...survivors(disk)].length, 8)
})

t.test('of many units, a fixed selection', async (t) => {
  const disk = dirty(100)
  const all = [...survivors(disk)]
  const kept = all.map((s) => s.choice.join(''))
  t.ok(all.length > 60 && all.length < 200, `${all.length} choices`)
  t.equal(kept[0], '0'.repeat(100), 'nothing first')
  t.equal(kept.at(-1), '1'.repeat(100), 'everything last')
  for (const [name, pattern] of Object.entries({
    prefixes: /^1{2,}0{2,}$/,
    suffixes: /^0{2,}1{2,}$/,
    'first alone': /^10+$/,
    'last alone': /^0+1$/,
    'one inside alone': /^0+10+$/,
    'first missing': /^01+$/,
    'last missing': /^1+0$/,
    'one inside missing': /^1+01+$/,
  })) {
    t.ok(
      kept.some((choice) => pattern.test(choice)),
      name,
    )
  }
  t.ok(kept.filter((choice) => (choice.match(/01/g) ?? []).length > 5).length > 20, 'and random ones')
  t.same(
    kept,
    [...survivors(dirty(100))].map((s) => s.choice.join('')),
    'the same every time',
  )
  t.notSame(
    kept,
    [...survivors(dirty(100), { seed: 2 })].map((s) => s.choice.join('')),
    'but for the seed',
  )
  for (const choice of crashChoices(disk.units())) t.equal(choice.length, 100)
})

t.test('the explorer looks at every moment and reports what it finds', async (t) => {
  const run = (disk: SimDisk): void => {
    const file = disk.open('/f', 'write')
    file.write([Buffer.from('b')], 0)
    file.write([Buffer.from('c')], 0)
    file.syncData()
    file.close()
  }
  const seen = new Set<string>()
  const start = withFile('aaaa')
  const count = exploreCrashes({
    disk: start,
    run,
    check: ({ disk, step, kind }) => seen.add(`${step?.kind ?? 'end'} ${kind} ${show(disk)}`),
  })
  t.same(
    [...seen],
    [
      'open power loss aaaa',
      'open process killed aaaa',
      'write power loss aaaa',
      'write power loss baaa',
      'write process killed baaa',
      'syncData power loss aaaa',
      'syncData power loss baaa',
      'syncData power loss caaa',
      'syncData process killed caaa',
      'close power loss caaa',
      'close process killed caaa',
    ],
  )
  t.same(count, { moments: 4, points: 11 })
  t.equal(show(start), 'aaaa', 'the disk it was given is left as it was')

  const swallowing = (disk: SimDisk): void => {
    try {
      run(disk)
    } catch {
      // As code under test may do with what it takes for an error of its disk.
    }
  }
  const check = ({ disk }: { disk: SimDisk }): void => {
    if (show(disk) === 'baaa') throw new Error('found b')
  }
  for (const each of [run, swallowing]) {
    t.throws(() => exploreCrashes({ disk: start, run: each, check }), {
      name: 'InvariantError',
      message: /^power loss before operation \d+: found b/,
    })
  }
})
