/**
 * The contract of the Disk door, run against the real disk and the simulated one; then both are driven with the same
 * random operations and must answer alike. What a crash may do is tested in test/sim, what the operating system may do
 * in node-disk.test.ts.
 */
import t from 'tap'
import { InvariantError } from '../../protocol/assert.ts'
import { asError, TravertineError } from '../../protocol/errors.ts'
import { type Disk, type DiskFile, joinPath, readWholeFile, replaceFile } from '../../wal/disk.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'

interface Subject {
  readonly name: string
  readonly make: (t: Teardown) => { disk: Disk; home: string }
}

const SUBJECTS: readonly Subject[] = [
  { name: 'NodeDisk', make: (t) => ({ disk: new NodeDisk(), home: temporaryDirectory(t) }) },
  { name: 'SimDisk', make: () => simulated(512) },
  { name: 'SimDisk with sectors of 16 bytes', make: () => simulated(16) },
]

function simulated(sectorBytes: number): { disk: SimDisk; home: string } {
  const disk = new SimDisk({ sectorBytes })
  disk.makeDirectory('/home')
  disk.syncDirectory('/')
  return { disk, home: '/home' }
}

/** Code and file of the error that `act` must end with. */
function failure(act: () => unknown): { code: string; file: string | undefined; offset: number | undefined } {
  try {
    act()
  } catch (thrown) {
    if (!(thrown instanceof TravertineError)) throw thrown
    if (thrown.hint === '' || !thrown.message.startsWith('Cannot ')) throw new Error(`no help in: ${thrown.describe()}`)
    return { code: thrown.code, file: thrown.where.file, offset: thrown.where.offset }
  }
  throw new Error('nothing was thrown')
}

function put(disk: Disk, path: string, text: string): void {
  const file = disk.create(path)
  file.write([Buffer.from(text)], 0)
  file.close()
}

const text = (disk: Disk, path: string): string => readWholeFile(disk, path).toString()

for (const { name, make } of SUBJECTS) {
  t.test(`${name}: bytes of a file`, async (t) => {
    const { disk, home } = make(t)
    const path = joinPath(home, 'a')
    const file = disk.create(path)
    t.equal(file.path, path)
    t.equal(file.bytes(), 0)
    file.write([Buffer.from('hello'), Buffer.alloc(0), Buffer.from(' '), Buffer.from('world')], 0)
    t.equal(file.bytes(), 11)
    file.write([Buffer.from('J')], 0)
    file.write([], 100)
    file.write([Buffer.alloc(0)], 100)
    t.equal(file.bytes(), 11, 'nothing written, nothing changed')
    file.write([Buffer.from('!')], 14)
    file.syncData()
    const target = Buffer.alloc(32, 0x7f)
    t.equal(file.read(target, 0), 15)
    t.equal(target.toString('latin1', 0, 16), 'Jello world\0\0\0!\x7f', 'a hole is zeros, the rest is untouched')
    t.equal(file.read(target.subarray(0, 5), 6), 5)
    t.equal(target.toString('latin1', 0, 5), 'world')
    t.equal(file.read(target, 13), 2, 'fewer only at the end')
    t.equal(file.read(target, 15), 0)
    t.equal(file.read(target, 4000), 0)
    file.close()
  })

  t.test(`${name}: more buffers than one system call takes`, async (t) => {
    const { disk, home } = make(t)
    const buffers = Array.from({ length: 2500 }, (_, i) => Buffer.from(`${i},`))
    const file = disk.create(joinPath(home, 'a'))
    file.write([Buffer.from('start')], 0)
    file.write(buffers, 5)
    file.close()
    t.equal(text(disk, joinPath(home, 'a')), `start${Buffer.concat(buffers).toString()}`)
  })

  t.test(`${name}: creating a file that exists empties it`, async (t) => {
    const { disk, home } = make(t)
    put(disk, joinPath(home, 'a'), 'old and long')
    const reader = disk.open(joinPath(home, 'a'), 'read')
    const file = disk.create(joinPath(home, 'a'))
    t.equal(reader.bytes(), 0, 'also for those who have it open')
    file.write([Buffer.from('new')], 2)
    t.equal(text(disk, joinPath(home, 'a')), '\0\0new')
    reader.close()
    file.close()
  })

  t.test(`${name}: what others see`, async (t) => {
    const { disk, home } = make(t)
    put(disk, joinPath(home, 'a'), 'one')
    const reader = disk.open(joinPath(home, 'a'), 'read')
    const writer = disk.open(joinPath(home, 'a'), 'write')
    writer.write([Buffer.from('two!')], 0)
    const target = Buffer.alloc(4)
    t.equal(reader.read(target, 0), 4, 'before any flush')
    t.equal(target.toString(), 'two!')
    t.same(
      failure(() => reader.write([Buffer.from('x')], 3)),
      { code: 'DISK_FAILED', file: `${home}/a`, offset: 3 },
    )
    put(disk, joinPath(home, 'b'), 'other')
    disk.rename(joinPath(home, 'b'), joinPath(home, 'a'))
    reader.read(target, 0)
    t.equal(target.toString(), 'two!', 'an open file outlives its name')
    t.equal(text(disk, joinPath(home, 'a')), 'other')
    disk.unlink(joinPath(home, 'a'))
    writer.write([Buffer.from('2')], 0)
    reader.read(target, 0)
    t.equal(target.toString(), '2wo!')
    t.same(disk.list(home), [])
    reader.close()
    writer.close()
  })

  t.test(`${name}: names`, async (t) => {
    const { disk, home } = make(t)
    for (const each of ['b', 'a', 'B', 'ä', '10', '9']) put(disk, joinPath(home, each), each)
    disk.makeDirectory(joinPath(home, 'c'))
    disk.makeDirectory(joinPath(home, 'c'))
    t.same(disk.list(home), ['10', '9', 'B', 'a', 'b', 'c', 'ä'], 'in one order on every machine')
    t.same(disk.list(joinPath(home, 'c')), [])
    disk.rename(joinPath(home, 'a'), joinPath(home, 'c', 'z'))
    t.equal(text(disk, joinPath(home, 'c', 'z')), 'a')
    disk.rename(joinPath(home, 'b'), joinPath(home, 'b'))
    t.equal(text(disk, joinPath(home, 'b')), 'b', 'a rename to itself changes nothing')
    disk.rename(joinPath(home, 'c'), joinPath(home, 'd'))
    disk.syncDirectory(joinPath(home, 'd'))
    disk.syncDirectory(home)
    t.same(disk.list(joinPath(home, 'd')), ['z'])
    t.same(
      ['', 'b', 'd', 'd/z', 'a', 'c', 'no/no'].filter((each) => disk.exists(joinPath(home, each))),
      ['', 'b', 'd', 'd/z'],
    )
    const free = disk.freeBytes(home)
    t.ok(Number.isSafeInteger(free) && free > 0, 'free bytes are a whole number')
  })

  t.test(`${name}: what is missing or of the other kind`, async (t) => {
    const { disk, home } = make(t)
    const no = joinPath(home, 'no')
    const below = joinPath(no, 'x')
    const inFile = joinPath(home, 'file', 'x')
    put(disk, joinPath(home, 'file'), '')
    disk.makeDirectory(joinPath(home, 'dir'))
    const missing: readonly [string, () => unknown][] = [
      [no, () => disk.open(no, 'read')],
      [no, () => disk.open(no, 'write')],
      [below, () => disk.create(below)],
      [no, () => disk.rename(no, joinPath(home, 'x'))],
      [joinPath(home, 'file'), () => disk.rename(joinPath(home, 'file'), below)],
      [no, () => disk.unlink(no)],
      [below, () => disk.makeDirectory(below)],
      [no, () => disk.list(no)],
      [no, () => disk.syncDirectory(no)],
      [no, () => disk.freeBytes(no)],
      [inFile, () => disk.open(inFile, 'read')],
      [inFile, () => disk.create(inFile)],
      [inFile, () => disk.makeDirectory(inFile)],
      [inFile, () => disk.exists(inFile)],
      [joinPath(home, 'file'), () => disk.list(joinPath(home, 'file'))],
    ]
    for (const [file, act] of missing) {
      const { code, file: told } = failure(act)
      t.same([code, told], ['DIRECTORY_MISSING', file])
    }
    const wrong: readonly (() => unknown)[] = [
      () => disk.open(joinPath(home, 'dir'), 'write'),
      () => disk.create(joinPath(home, 'dir')),
      () => disk.rename(joinPath(home, 'file'), joinPath(home, 'dir')),
      () => disk.unlink(joinPath(home, 'dir')),
      () => disk.makeDirectory(joinPath(home, 'file')),
    ]
    for (const act of wrong) t.equal(failure(act).code, 'DISK_FAILED')
  })

  t.test(`${name}: mistakes of ours are assertions`, async (t) => {
    const { disk, home } = make(t)
    const file = disk.create(joinPath(home, 'a'))
    const bytes = Buffer.from('x')
    for (const offset of [-1, 0.5, Number.NaN, 2 ** 53]) {
      t.throws(() => file.write([bytes], offset), InvariantError)
      t.throws(() => file.read(bytes, offset), InvariantError)
    }
    file.close()
    const uses: readonly ((f: DiskFile) => unknown)[] = [
      (f) => f.write([bytes], 0),
      (f) => f.read(bytes, 0),
      (f) => f.bytes(),
      (f) => f.syncData(),
      (f) => f.close(),
    ]
    for (const use of uses) t.throws(() => use(file), InvariantError, 'a closed file is not used')
  })

  t.test(`${name}: replaceFile and readWholeFile`, async (t) => {
    const { disk, home } = make(t)
    replaceFile(disk, home, 'small', Buffer.from('first, longer'))
    replaceFile(disk, home, 'small', Buffer.from('second'))
    t.equal(text(disk, joinPath(home, 'small')), 'second')
    t.same(disk.list(home), ['small'])
    t.equal(failure(() => readWholeFile(disk, joinPath(home, 'none'))).code, 'DIRECTORY_MISSING')
  })
}

/** Does one random operation and tells what came of it; equal disks tell equal stories. */
function story(disk: Disk, home: string, random: SeededRandom, open: DiskFile[]): string {
  const path = () => joinPath(home, ['a', 'b', 'd/a', 'd/b', 'no/a', 'a/a'][random.below(6)]!)
  const bytes = (length: number) => Buffer.alloc(length, random.below(255) + 1)
  const act: () => unknown = (
    [
      () => void open.push(disk.create(path())),
      () => void open.push(disk.open(path(), random.chance(1, 2) ? 'read' : 'write')),
      () => open.at(-1)?.write([bytes(random.below(600)), bytes(random.below(40))], random.below(1500)),
      () => open.at(-1)?.write([bytes(random.below(2000))], random.below(300)),
      () => open.pop()?.close(),
      () => open.at(-1)?.syncData(),
      () => open.at(-1)?.bytes(),
      () => readWholeFile(disk, path()).toString('hex'),
      () => disk.rename(path(), path()),
      () => disk.unlink(random.chance(1, 4) ? joinPath(home, 'd') : path()),
      () => disk.makeDirectory(joinPath(home, 'd')),
      () => [...disk.list(home), ...disk.list(joinPath(home, 'd'))].join(),
      () => disk.exists(random.chance(1, 4) ? joinPath(home, 'd') : path()),
      () => disk.syncDirectory(home),
    ] as const
  )[random.below(14)]!
  try {
    return String(act())
  } catch (thrown) {
    return thrown instanceof TravertineError ? thrown.code : asError(thrown).message
  }
}

t.test('both disks tell the same story', async (t) => {
  const codes = new Set<string>()
  for (let seed = 0; seed < 60; seed++) {
    const worlds = [{ disk: new NodeDisk(), home: temporaryDirectory(t) }, simulated(seed % 2 === 0 ? 16 : 512)]
    const runs = worlds.map((world) => {
      const open: DiskFile[] = []
      return { ...world, random: new SeededRandom(seed), open }
    })
    for (let i = 0; i < 120; i++) {
      const [real, fake] = runs.map(({ disk, home, random, open }) => story(disk, home, random, open))
      if (real !== fake) t.equal(fake, real, `seed ${seed}, operation ${i}`)
      if (/^[A-Z_]+$/.test(real!)) codes.add(real!)
    }
    for (const { open } of runs) for (const file of open) file.close()
  }
  t.same([...codes].sort(), ['DIRECTORY_MISSING', 'DISK_FAILED'], 'failures were part of the story')
})
