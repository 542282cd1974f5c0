/**
 * The crash model of the simulated disk: what may vanish does so in some outcome, what was flushed does so in none.
 * A simulated disk that forgave anything would make every durability test on top of it worthless.
 */
import t from 'tap'
import { InvariantError } from '../../protocol/assert.ts'
import { type Disk, joinPath, readWholeFile } from '../../wal/disk.ts'
import { type Survivor, survivors } from './crash-choices.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimDisk } from './sim-disk.ts'

/** Sectors of 4 bytes, so that a state is short enough to be read. */
function small(): SimDisk {
  return new SimDisk({ sectorBytes: 4 })
}

function withFile(text: string): SimDisk {
  const disk = small()
  put(disk, '/f', text, 'flushed')
  disk.syncDirectory('/')
  return disk
}

function put(disk: Disk, path: string, text: string, how: 'flushed' | 'unflushed'): void {
  const file = disk.create(path)
  file.write([Buffer.from(text)], 0)
  if (how === 'flushed') file.syncData()
  file.close()
}

function overwrite(disk: Disk, text: string, offset: number): void {
  const file = disk.open('/f', 'write')
  file.write([Buffer.from(text)], offset)
  file.close()
}

function flush(disk: Disk): void {
  const file = disk.open('/f', 'write')
  try {
    file.syncData()
  } finally {
    file.close()
  }
}

/** Zeros as dots; a file that is not there as '-'. */
function show(disk: Disk, path = '/f'): string {
  return disk.exists(path) ? readWholeFile(disk, path).toString('latin1').replaceAll('\0', '.') : '-'
}

function outcomes(disk: SimDisk, view: (survivor: SimDisk) => string = show): string[] {
  return [...new Set([...survivors(disk)].map((survivor: Survivor) => view(survivor.disk)))].sort()
}

const tree = (disk: Disk, path = '/'): string =>
  disk
    .list(path)
    .map((name) => {
      const child = joinPath(path, name)
      try {
        return `${name}(${tree(disk, child)})`
      } catch {
        return `${name}=${show(disk, child)}`
      }
    })
    .join(' ')

t.test('sectors survive one by one, as of any write', async (t) => {
  const disk = withFile('aaaabbbb')
  t.same(outcomes(disk), ['aaaabbbb'], 'what was flushed has one outcome')
  overwrite(disk, 'XX', 3)
  t.same(outcomes(disk), ['aaaXXbbb', 'aaaXbbbb', 'aaaaXbbb', 'aaaabbbb'], 'torn between two sectors')
  overwrite(disk, 'y', 0)
  t.same(outcomes(disk).length, 6, 'three states of the first sector, two of the second')
  t.ok(outcomes(disk).includes('yaaXbbbb'), 'the second write of a sector stands on its first')
  t.notOk(outcomes(disk).includes('yaaabbbb'), 'and does not come without it')
  flush(disk)
  t.same(outcomes(disk), ['yaaXXbbb'])
})

t.test('a sector that is written back to what it was', async (t) => {
  const disk = withFile('aaaa')
  overwrite(disk, 'b', 0)
  overwrite(disk, 'a', 0)
  t.same(outcomes(disk), ['aaaa', 'baaa'], 'may be caught in between')
  t.equal(show(disk.crash('all')), 'aaaa', 'nothing lost is the last write')
  overwrite(disk, 'b', 0)
  t.equal(show(disk.crash('all')), 'baaa')
  flush(disk)
  t.same(outcomes(disk), ['baaa'])
  overwrite(disk, 'baaa', 0)
  t.same(disk.units(), [], 'the same bytes over flushed ones change nothing')
})

t.test('an unflushed size is lost, kept or caught half-way', async (t) => {
  const disk = withFile('')
  overwrite(disk, 'aaaabbbbcc', 0)
  const all = outcomes(disk)
  for (const state of ['', 'aaaa', '....', 'aaaabbbbcc', '..........', '....bbbb..', '........cc']) {
    t.ok(all.includes(state), JSON.stringify(state))
  }
  flush(disk)
  t.same(outcomes(disk), ['aaaabbbbcc'], 'a flush of data covers the size')
  overwrite(disk, 'z', 13)
  t.same(outcomes(disk), ['aaaabbbbcc', 'aaaabbbbcc..', 'aaaabbbbcc....', 'aaaabbbbcc...z'])
})

t.test('bytes beyond a lost size are gone, also when the file grows again', async (t) => {
  const disk = withFile('aa')
  overwrite(disk, 'bbbbbb', 1)
  for (const { disk: survivor } of survivors(disk)) {
    const before = show(survivor)
    overwrite(survivor, 'z', 20)
    t.equal(show(survivor), `${before.padEnd(20, '.')}z`)
  }
})

t.test('an emptied file may come back', async (t) => {
  const disk = withFile('aaaabb')
  const file = disk.create('/f')
  t.ok(outcomes(disk).includes('aaaabb'))
  file.write([Buffer.from('c')], 0)
  const all = outcomes(disk)
  for (const state of ['', 'c', '.', 'a', 'aaaabb', 'c...bb', '......'])
    t.ok(all.includes(state), JSON.stringify(state))
  t.notOk(all.some((state) => state.length > 6))
  file.syncData()
  t.same(outcomes(disk), ['c'])
  file.write([Buffer.from('d')], 5)
  t.same(outcomes(disk), ['c', 'c.....', 'c....d'], 'the old bytes do not shine through')
})

t.test('a name survives by its directory only', async (t) => {
  const disk = small()
  put(disk, '/f', 'data', 'flushed')
  t.same(outcomes(disk), ['-', 'data'], 'flushed bytes of a file without a flushed name')
  disk.syncDirectory('/')
  t.same(outcomes(disk), ['data'])
  put(disk, '/f.new', 'next', 'flushed')
  disk.rename('/f.new', '/f')
  t.same(outcomes(disk, tree), ['f=data', 'f=data f.new=next', 'f=next'], 'a rename is whole, but may vanish')
  disk.syncDirectory('/')
  t.same(outcomes(disk, tree), ['f=next'])
  disk.unlink('/f')
  t.same(outcomes(disk), ['-', 'next'], 'an unlinked file may come back')
  disk.syncDirectory('/')
  t.same(outcomes(disk), ['-'])
})

t.test('changes of names survive independently', async (t) => {
  const disk = small()
  put(disk, '/old', '1', 'flushed')
  disk.syncDirectory('/')
  put(disk, '/new', '2', 'flushed')
  disk.unlink('/old')
  t.same(outcomes(disk, tree), ['', 'new=2', 'new=2 old=1', 'old=1'], 'the later one without the earlier one')
  put(disk, '/new2', '3', 'flushed')
  disk.rename('/new2', '/new')
  disk.syncDirectory('/')
  t.same(outcomes(disk, tree), ['new=3'])
  disk.unlink('/new')
  put(disk, '/new', '4', 'flushed')
  t.same(outcomes(disk, tree), ['', 'new=3', 'new=4'], 'of one name, the last change that was kept counts')
})

t.test('a rename carries bytes that were not flushed', async (t) => {
  const disk = withFile('old!')
  put(disk, '/f.new', 'new!', 'unflushed')
  disk.rename('/f.new', '/f')
  disk.syncDirectory('/')
  t.same(outcomes(disk), ['', '....', 'new!'], 'the old file is gone, the new one not there: why replaceFile flushes')
})

t.test('a directory without a flushed name takes its files with it', async (t) => {
  const disk = small()
  disk.makeDirectory('/d')
  disk.makeDirectory('/d/e')
  put(disk, '/d/e/f', 'x', 'flushed')
  disk.syncDirectory('/d/e')
  t.same(outcomes(disk, tree), ['', 'd()', 'd(e(f=x))'])
  disk.syncDirectory('/')
  t.same(outcomes(disk, tree), ['d()', 'd(e(f=x))'], 'each level needs its own flush')
  disk.syncDirectory('/d')
  t.same(outcomes(disk, tree), ['d(e(f=x))'])
  t.equal(tree(disk.crash('none').crash('none')), 'd(e(f=x))')
})

t.test('a rename between directories needs both flushed', async (t) => {
  for (const [first, second] of [
    ['/a', '/b'],
    ['/b', '/a'],
  ] as const) {
    const disk = small()
    disk.makeDirectory('/a')
    disk.makeDirectory('/b')
    disk.syncDirectory('/')
    put(disk, '/a/f', 'x', 'flushed')
    disk.syncDirectory('/a')
    disk.rename('/a/f', '/b/f')
    const both = ['a() b(f=x)', 'a(f=x) b()']
    t.same(outcomes(disk, tree), both)
    disk.syncDirectory(first)
    disk.syncDirectory(first)
    t.same(outcomes(disk, tree), both, `${first} alone is not enough`)
    if (disk.exists(`${first}/f`)) disk.unlink(`${first}/f`)
    put(disk, `${first}/f`, 'y', 'flushed')
    disk.syncDirectory(first)
    t.ok(
      outcomes(disk, tree).every((state) => state.includes(`${first.slice(1)}(f=y)`)),
      'a later flushed change of the name is never undone',
    )
    disk.syncDirectory(second)
    t.equal(outcomes(disk, tree).length, 1)
  }
})

t.test('the end of the process keeps what was written, and keeps it uncertain', async (t) => {
  const disk = withFile('aaaa')
  overwrite(disk, 'bbbb', 0)
  put(disk, '/g', 'g', 'unflushed')
  const next = disk.killProcess()
  t.equal(tree(next), 'f=bbbb g=g')
  t.same(outcomes(next, tree), outcomes(disk, tree))
  flush(next)
  t.same(outcomes(next), ['bbbb'], 'the next process can still make it durable')
  t.same(outcomes(disk), ['aaaa', 'bbbb'], 'and the first life knows nothing of it')
})

t.test('copies and survivors live on by themselves', async (t) => {
  const disk = withFile('aaaa')
  overwrite(disk, 'bbbb', 0)
  const file = disk.open('/f', 'write')
  const [fork, none, all] = [disk.fork(), disk.crash('none'), disk.crash('all')]
  file.write([Buffer.from('cccc')], 0)
  overwrite(fork, 'dd', 0)
  overwrite(none, 'eeeeeeeeee', 2)
  all.unlink('/f')
  t.same(
    [disk, fork, none, all].map((each) => show(each)),
    ['cccc', 'ddbb', 'aaeeeeeeeeee', '-'],
  )
  t.same(outcomes(disk), ['aaaa', 'bbbb', 'cccc'])
  t.same(outcomes(fork), ['aaaa', 'bbbb', 'ddbb'])
  file.syncData()
  t.same(outcomes(disk), ['cccc'])
  t.same(outcomes(fork), ['aaaa', 'bbbb', 'ddbb'])
})

/** Per byte, every value that it may have after a power loss: kept by hand, with no sectors and no sharing. */
class NaiveFile {
  now: number[] = []
  allowed: Set<number>[] = []
  sizes = new Set([0])

  write(bytes: Buffer, offset: number): void {
    for (let i = this.now.length; i < offset; i++) this.#set(i, 0)
    for (const [i, byte] of bytes.entries()) this.#set(offset + i, byte)
    this.sizes.add(this.now.length)
  }

  flush(): void {
    this.allowed = this.now.map((byte) => new Set([byte]))
    this.sizes = new Set([this.now.length])
  }

  #set(at: number, byte: number): void {
    this.now[at] = byte
    this.allowed[at] ??= new Set([0])
    this.allowed[at].add(byte)
  }
}

t.test('random writes and flushes: no outcome breaks the promise, and every freedom is used', async (t) => {
  let lostBytes = 0
  let lostSizes = 0
  for (let seed = 0; seed < 40; seed++) {
    const random = new SeededRandom(seed)
    let disk = withFile('')
    const naive = new NaiveFile()
    for (let i = 0; i < 12; i++) {
      if (random.chance(1, 4)) {
        flush(disk)
        naive.flush()
      } else {
        const bytes = Buffer.alloc(random.below(12) + 1, i + 1)
        const offset = random.below(40)
        overwrite(disk, bytes.toString('latin1'), offset)
        naive.write(bytes, offset)
      }
      if (random.chance(1, 6)) disk = random.chance(1, 2) ? disk.fork() : disk.killProcess()
      t.same([...readWholeFile(disk, '/f')], naive.now)
      for (const survivor of survivors(disk, { seed, exhaustiveLimit: 64 })) {
        const bytes = readWholeFile(survivor.disk, '/f')
        // Half-way sizes are allowed as well; a flushed size is never undercut and no size ever exceeded.
        const sizes = [...naive.sizes]
        const sizeAllowed = bytes.length >= Math.min(...sizes) && bytes.length <= Math.max(...sizes)
        const wrong = bytes.findIndex((byte, at) => !naive.allowed[at]!.has(byte))
        if (!sizeAllowed || wrong !== -1)
          t.fail(`seed ${seed}, operation ${i}: ${bytes.length} bytes, wrong at ${wrong}`)
        if (bytes.some((byte, at) => byte !== naive.now[at])) lostBytes += 1
        if (bytes.length !== naive.now.length) lostSizes += 1
      }
    }
  }
  t.ok(lostBytes > 1000 && lostSizes > 1000, `bytes were lost in ${lostBytes} outcomes, sizes in ${lostSizes}`)
})

t.test('a choice names an option per unit', async (t) => {
  const disk = withFile('aaaa')
  overwrite(disk, 'b', 0)
  t.same(disk.units(), [{ text: '/f sector 0', options: 2, latest: 1, stamps: [0, disk.changes] }])
  for (const choice of [[], [2], [0, 0]]) t.throws(() => disk.crash(choice), InvariantError)
  t.same(disk.describe([0]), ['/f sector 0: lost'])
  t.same(disk.describe('all'), [])
})
