/**
 * NodeDisk against what an operating system does: short writes, errors of each kind, a full and a read-only file system.
 *
 * Some of it cannot be had from a healthy disk. For these tests `node:fs` is replaced function by function, from where
 * NodeDisk takes it; the flushes are counted in the same way, since no test can cut the power of its own machine.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { KIB, MIB } from '../../protocol/limits.ts'
import { joinPath, readWholeFile, replaceFile } from '../../wal/disk.ts'
import { diskError } from '../../wal/disk-error.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { remountReadOnly, smallFileSystem, temporaryDirectory } from '../temp-directory.ts'

const disk = new NodeDisk()

function withFs<T>(replaced: Partial<typeof fs>, act: () => T): T {
  const original = Object.fromEntries(Object.keys(replaced).map((name) => [name, Reflect.get(fs, name)]))
  Object.assign(fs, replaced)
  syncBuiltinESMExports()
  try {
    return act()
  } finally {
    Object.assign(fs, original)
    syncBuiltinESMExports()
  }
}

const systemError = (code: string): Error => Object.assign(new Error(code), { code, errno: -1, syscall: 'test' })

function failure(act: () => unknown): TravertineError {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof TravertineError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

t.test('files and directories are for their owner only', async (t) => {
  const home = temporaryDirectory(t)
  disk.makeDirectory(joinPath(home, 'd'))
  disk.create(joinPath(home, 'd', 'f')).close()
  t.equal(fs.statSync(joinPath(home, 'd')).mode & 0o777, 0o700)
  t.equal(fs.statSync(joinPath(home, 'd', 'f')).mode & 0o777, 0o600)
})

t.test('names come in one order, whatever the system says', async (t) => {
  const names = ['b', 'a', 'B', '10', '9', 'ä']
  // As below: one form of several.
  const readdirSync = (() => names) as unknown as typeof fs.readdirSync
  t.same(
    withFs({ readdirSync }, () => disk.list('/any')),
    ['10', '9', 'B', 'a', 'b', 'ä'],
  )
})

t.test('short writes go on where they stopped', async (t) => {
  const home = temporaryDirectory(t)
  const { writeSync, writevSync } = fs
  const buffers = ['abc', '', 'defgh', 'i', 'jklmno'].map((text) => Buffer.from(text))
  const all = Buffer.concat(buffers).toString()
  for (let short = 0; short <= all.length; short++) {
    const file = disk.create(joinPath(home, 'f'))
    file.write([Buffer.from('>>')], 0)
    const shortWritev = (fd: number, _: readonly NodeJS.ArrayBufferView[], at?: number) =>
      short === 0 ? 0 : writeSync(fd, Buffer.from(all), 0, short, at)
    const oneByOne = (fd: number, bytes: NodeJS.ArrayBufferView, from: number, _: number, at: number) =>
      writeSync(fd, bytes, from, 1, at)
    // The overloads of writeSync cannot be met by one arrow function; NodeDisk uses this form only.
    const replaced = { writevSync: shortWritev, writeSync: oneByOne as typeof writeSync }
    withFs(replaced, () => file.write(buffers, 2))
    file.close()
    t.equal(readWholeFile(disk, joinPath(home, 'f')).toString(), `>>${all}`, `${short} bytes taken at first`)
  }
  t.equal(fs.writevSync, writevSync, 'the real one is back')
})

t.test('one system call gets no more buffers than it takes', async (t) => {
  const file = disk.create(joinPath(temporaryDirectory(t), 'f'))
  const { writevSync } = fs
  const calls: number[] = []
  const counting = (fd: number, buffers: readonly NodeJS.ArrayBufferView[], at?: number) => {
    calls.push(buffers.length)
    return writevSync(fd, buffers, at)
  }
  for (const count of [2, 1024, 1025, 3000]) {
    const buffers = Array.from({ length: count }, (_, i) => Buffer.from(`${i} `))
    withFs({ writevSync: counting }, () => file.write(buffers, 0))
    t.ok(readWholeFile(disk, file.path).equals(Buffer.concat(buffers)), `${count} buffers`)
  }
  t.same(calls, [2, 1024, 1024, 1024, 1024, 952], 'what is left of 1025 is one buffer, and goes by itself')
  file.close()
})

t.test('a large write is taken in calls of at most 256 KiB, and in no more of them than that asks for', async (t) => {
  const file = disk.create(joinPath(temporaryDirectory(t), 'f'))
  const { writeSync, writevSync } = fs
  const calls: number[] = []
  const one = (fd: number, bytes: NodeJS.ArrayBufferView, from: number, length: number, at: number) => {
    calls.push(length)
    return writeSync(fd, bytes, from, length, at)
  }
  const many = (fd: number, buffers: readonly NodeJS.ArrayBufferView[], at?: number) => {
    calls.push(buffers.reduce((sum, { byteLength }) => sum + byteLength, 0))
    return writevSync(fd, buffers, at)
  }
  const callBytes = 256 * KIB
  for (const sizes of [
    [callBytes],
    [callBytes + 1],
    [100_000, 200_000, 10, 1_000_003, 0, 5],
    Array.from({ length: 129 }, () => 64 * KIB), // of a socket that is read as fast as it can be
    [64 * KIB, 142_000, 64 * KIB, 142_000, 16 * MIB, 1],
  ]) {
    const buffers = sizes.map((size, i) => Buffer.alloc(size, i + 1))
    calls.length = 0
    // As above: one form of several.
    withFs({ writeSync: one as typeof writeSync, writevSync: many }, () => file.write(buffers, 7))
    const all = Buffer.concat(buffers)
    t.ok(
      readWholeFile(disk, file.path)
        .subarray(7, 7 + all.length)
        .equals(all),
      `${sizes.length} buffers`,
    )
    t.ok(Math.max(...calls) <= callBytes)
    t.ok(calls.length <= 2 * Math.ceil(all.length / callBytes) + 1, `${calls.length} calls`)
  }
  file.close()
})

t.test('a read that gives less is asked again', async (t) => {
  const home = temporaryDirectory(t)
  replaceFile(disk, home, 'f', Buffer.from('0123456789'))
  const { readSync } = fs
  const few = (fd: number, target: NodeJS.ArrayBufferView, from: number, length: number, at: number) =>
    readSync(fd, target, from, Math.min(3, length), at)
  // As above: one form of several.
  const text = withFs({ readSync: few as typeof readSync }, () => readWholeFile(disk, joinPath(home, 'f')).toString())
  t.equal(text, '0123456789')
})

t.test('a disk that takes nothing does not hold a thread for ever', async (t) => {
  const file = disk.create(joinPath(temporaryDirectory(t), 'f'))
  const error = failure(() => withFs({ writeSync: () => 0 }, () => file.write([Buffer.from('abc')], 7)))
  t.match(error, { code: 'DISK_FAILED', where: { file: file.path, offset: 7 } })
  file.close()
})

t.test('each errno has its code, place and hint', async (t) => {
  const home = temporaryDirectory(t)
  const codes: readonly [string, string][] = [
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'DISK_FULL'],
    ['EROFS', 'DIRECTORY_READ_ONLY'],
    ['EACCES', 'DIRECTORY_READ_ONLY'],
    ['EPERM', 'DIRECTORY_READ_ONLY'],
    ['ENOENT', 'DIRECTORY_MISSING'],
    ['EIO', 'DISK_FAILED'],
    ['EMFILE', 'DISK_FAILED'],
    ['E2BIG', 'DISK_FAILED'],
  ]
  const file = disk.create(joinPath(home, 'f'))
  const path = file.path
  const broken = (errno: string) => () => {
    throw systemError(errno)
  }
  for (const [errno, code] of codes) {
    const fails = broken(errno)
    const calls: readonly [Partial<typeof fs>, () => unknown, number | undefined][] = [
      [{ writeSync: fails }, () => file.write([Buffer.from('a')], 9), 9],
      [{ writevSync: fails }, () => file.write([Buffer.from('a'), Buffer.from('b')], 9), 9],
      [{ readSync: fails }, () => file.read(Buffer.alloc(4), 5), 5],
      [{ fdatasyncSync: fails }, () => file.syncData(), undefined],
      [{ fstatSync: fails }, () => file.bytes(), undefined],
      [{ openSync: fails }, () => disk.open(path, 'read'), undefined],
      [{ openSync: fails }, () => disk.create(path), undefined],
      [{ renameSync: fails }, () => disk.rename(path, joinPath(home, 'g')), undefined],
      [{ unlinkSync: fails }, () => disk.unlink(path), undefined],
      [{ mkdirSync: fails }, () => disk.makeDirectory(path), undefined],
      [{ readdirSync: fails }, () => disk.list(path), undefined],
      [{ statSync: fails }, () => disk.exists(path), undefined],
      [{ fsyncSync: fails }, () => disk.syncDirectory(path), undefined],
      [{ statfsSync: fails }, () => disk.freeBytes(path), undefined],
    ]
    for (const [replaced, act, offset] of calls) {
      const error = failure(() => withFs(replaced, act))
      t.match(error, { code, where: { file: path } }, `${Object.keys(replaced)[0]} ${errno}`)
      t.equal(error.where.offset, offset)
      t.ok(error.hint.length > 10 && error.message.includes(errno))
    }
  }
  const { closeSync } = fs
  const closesBadly = (fd: number) => {
    closeSync(fd)
    throw systemError('EIO')
  }
  t.equal(failure(() => withFs({ closeSync: closesBadly }, () => file.close())).code, 'DISK_FAILED')
})

t.test('the offset of a failed write is where it stopped', async (t) => {
  const { writeSync } = fs
  const file = disk.create(joinPath(temporaryDirectory(t), 'f'))
  let calls = 0
  const second = (fd: number, bytes: NodeJS.ArrayBufferView, from: number, _: number, at: number) => {
    calls += 1
    if (calls > 1) throw systemError('ENOSPC')
    return writeSync(fd, bytes, from, 2, at)
  }
  // As above: one form of several.
  const act = () => withFs({ writeSync: second as typeof writeSync }, () => file.write([Buffer.from('abcdef')], 100))
  t.match(failure(act), { code: 'DISK_FULL', where: { offset: 102 } })
  file.close()
})

t.test('a mistake of ours is not taken for a bad disk', async (t) => {
  for (const thrown of [new TypeError('x'), Object.assign(new RangeError('x'), { code: 'ERR_OUT_OF_RANGE' }), 'text']) {
    let caught: unknown
    try {
      diskError(thrown, { action: 'a', expected: 'b', where: {} })
    } catch (error) {
      caught = error
    }
    t.equal(caught, thrown)
  }
})

t.test('flushes reach the operating system, once and on the right descriptor', async (t) => {
  const home = temporaryDirectory(t)
  const { fdatasyncSync, fsyncSync } = fs
  const flushed: string[] = []
  const noting = (call: string, real: (fd: number) => void) => (fd: number) => {
    flushed.push(`${call} ${fs.readlinkSync(`/proc/self/fd/${fd}`)}`)
    real(fd)
  }
  if (!fs.existsSync('/proc/self/fd')) {
    t.pass('descriptors can be named', { skip: 'no /proc on this system' })
    return
  }
  const replaced = { fdatasyncSync: noting('data', fdatasyncSync), fsyncSync: noting('directory', fsyncSync) }
  const real = fs.realpathSync(home)
  withFs(replaced, () => {
    const file = disk.create(joinPath(real, 'f'))
    file.write([Buffer.from('a')], 0)
    file.syncData()
    file.close()
    disk.syncDirectory(real)
    replaceFile(disk, real, 'g', Buffer.from('b'))
  })
  t.same(flushed, [`data ${real}/f`, `directory ${real}`, `data ${real}/g.new`, `directory ${real}`])
})

t.test('a failed flush is not tried again', async (t) => {
  const file = disk.create(joinPath(temporaryDirectory(t), 'f'))
  let calls = 0
  const fails = () => {
    calls += 1
    throw systemError('EIO')
  }
  t.equal(failure(() => withFs({ fdatasyncSync: fails }, () => file.syncData())).code, 'DISK_FAILED')
  t.equal(calls, 1)
  file.close()
})

t.test('a full file system', async (t) => {
  const { directory, reason } = smallFileSystem(t, 256 * 1024)
  if (reason !== '') {
    t.pass('a file system of its own', { skip: reason })
    return
  }
  t.ok(disk.freeBytes(directory) <= 256 * 1024)
  const path = joinPath(directory, 'f')
  const file = disk.create(path)
  const block = Buffer.alloc(10_000, 1)
  const error = failure(() => {
    for (let at = 0; ; at += 2 * block.length) file.write([block, block], at)
  })
  t.equal(error.code, 'DISK_FULL')
  t.ok(error.retryable, 'it may work when there is room')
  t.equal(error.where.file, path)
  t.equal(error.where.offset, file.bytes(), 'the offset is where the file ends now')
  t.equal(disk.freeBytes(directory), 0)
  file.write([block], 0)
  t.pass('a write inside the file needs no room')
  file.close()
  disk.unlink(path)
  t.ok(disk.freeBytes(directory) > 200 * 1024)
  disk.create(path).close()
})

t.test('a read-only file system', async (t) => {
  const { directory, reason } = smallFileSystem(t, 256 * 1024)
  if (reason !== '') {
    t.pass('a file system of its own', { skip: reason })
    return
  }
  replaceFile(disk, directory, 'f', Buffer.from('kept'))
  const readOnly = remountReadOnly(directory)
  if (readOnly !== '') {
    t.pass('a read-only file system', { skip: readOnly })
    return
  }
  const path = joinPath(directory, 'f')
  const acts: readonly (() => unknown)[] = [
    () => disk.open(path, 'write'),
    () => disk.create(path),
    () => disk.create(joinPath(directory, 'new')),
    () => disk.rename(path, joinPath(directory, 'g')),
    () => disk.unlink(path),
    () => disk.makeDirectory(joinPath(directory, 'd')),
  ]
  for (const act of acts) t.equal(failure(act).code, 'DIRECTORY_READ_ONLY')
  t.equal(readWholeFile(disk, path).toString(), 'kept', 'reading goes on')
})

t.test('a directory that may not be written', async (t) => {
  const home = temporaryDirectory(t)
  // The modes of files bind everybody but root.
  if (process.getuid?.() === 0) {
    t.pass('modes of directories', { skip: 'root may write everywhere' })
    return
  }
  fs.chmodSync(home, 0o500)
  t.equal(failure(() => disk.create(joinPath(home, 'f'))).code, 'DIRECTORY_READ_ONLY')
  fs.chmodSync(home, 0o000)
  t.equal(failure(() => disk.exists(joinPath(home, 'f'))).code, 'DIRECTORY_READ_ONLY', 'not a "no"')
  fs.chmodSync(home, 0o700)
})
