/** The lock on the data directory, with real second processes: only they show that the kernel lets go of it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { lockDirectory } from '../../wal/directory-lock.ts'
import { joinPath } from '../../wal/disk.ts'
import { remountReadOnly, smallFileSystem, temporaryDirectory } from '../temp-directory.ts'

const MODULE = new URL('../../wal/directory-lock.js', import.meta.url).href

/** Locks, prints 'locked' or the error's code, and lives until its stdin is closed. */
const OWNER = `
  import { lockDirectory } from '${MODULE}'
  try {
    lockDirectory(process.argv[1])
    console.log('locked')
  } catch (error) {
    console.log(error.code + ' ' + error.describe())
  }
  process.stdin.resume()
`

interface Owner {
  readonly pid: number
  readonly said: string
  readonly child: ChildProcess
}

async function startOwner(t: { teardown(handler: () => void): unknown }, directory: string): Promise<Owner> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', OWNER, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [said] = await once(createInterface({ input: child.stdout }), 'line')
  return { pid: child.pid!, said: String(said), child }
}

function refusal(directory: string): TravertineError {
  try {
    lockDirectory(directory).close()
  } catch (thrown) {
    if (thrown instanceof TravertineError) return thrown
    throw thrown
  }
  throw new Error('the lock was given')
}

t.test('another process is refused with the pid of the owner', async (t) => {
  const directory = temporaryDirectory(t)
  const owner = await startOwner(t, directory)
  t.equal(owner.said, 'locked')
  const error = refusal(directory)
  t.equal(error.code, 'DIRECTORY_LOCKED')
  t.match(error.message, new RegExp(`pid ${owner.pid} on host \\S+, running since 2\\d{3}-`))
  t.match(error.hint, `pid ${owner.pid}`)
  t.equal(error.where.file, joinPath(directory, 'lock'))
  const third = await startOwner(t, directory)
  t.match(third.said, new RegExp(`^DIRECTORY_LOCKED .*pid ${owner.pid} `), 'a refused one leaves the record as it was')
})

t.test('kill -9 of the owner lets the next one in', async (t) => {
  const directory = temporaryDirectory(t)
  const owner = await startOwner(t, directory)
  t.equal(refusal(directory).code, 'DIRECTORY_LOCKED')
  const gone = once(owner.child, 'exit')
  owner.child.kill('SIGKILL')
  t.same(await gone, [null, 'SIGKILL'])
  t.match(readFileSync(joinPath(directory, 'lock'), 'utf8'), `pid ${owner.pid}\n`, 'its record is still there')
  const lock = lockDirectory(directory)
  const record = readFileSync(lock.path, 'utf8')
  t.match(record, /^pid \d+\nstarted \S+Z\nhost \S+\n$/, 'and is replaced as a whole')
  t.match(record, `pid ${process.pid}\n`)
  t.equal(lock.owner.pid, process.pid)
  t.match((await startOwner(t, directory)).said, `pid ${process.pid} `)
  lock.close()
})

t.test('the end of the owner lets the next one in', async (t) => {
  const directory = temporaryDirectory(t)
  const owner = await startOwner(t, directory)
  owner.child.stdin?.end()
  await once(owner.child, 'exit')
  lockDirectory(directory).close()
  t.equal((await startOwner(t, directory)).said, 'locked', 'and so does close')
})

t.test('a second lock in the same process is refused', async (t) => {
  const directory = temporaryDirectory(t)
  const lock = lockDirectory(directory)
  t.match(refusal(directory), { code: 'DIRECTORY_LOCKED', message: `pid ${process.pid} ` })
  t.equal(refusal(directory).code, 'DIRECTORY_LOCKED', 'a refusal takes nothing away from the owner')
  lock.close()
  lock.close()
  const next = lockDirectory(directory)
  lock.close()
  t.equal(refusal(directory).code, 'DIRECTORY_LOCKED', 'closing twice does not open the lock of the next one')
  next.close()
  t.equal(statSync(joinPath(directory, 'lock')).mode & 0o777, 0o600)
})

t.test('what is in the file never decides', async (t) => {
  const directory = temporaryDirectory(t)
  const path = joinPath(directory, 'lock')
  for (const text of ['', 'pid 1\nstarted x\nhost y\n', '\0\xff', 'pid '.repeat(10_000), `pid ${process.pid}\n`]) {
    writeFileSync(path, text)
    const lock = lockDirectory(directory)
    t.equal(readFileSync(path, 'utf8').split('\n')[0], `pid ${process.pid}`)
    writeFileSync(path, text)
    t.equal(refusal(directory).code, 'DIRECTORY_LOCKED')
    lock.close()
  }
})

t.test('a pid that is not alive is not blamed', async (t) => {
  const directory = temporaryDirectory(t)
  const path = joinPath(directory, 'lock')
  const dead = await startOwner(t, temporaryDirectory(t))
  dead.child.kill('SIGKILL')
  await once(dead.child, 'exit')
  const lock = lockDirectory(directory)
  writeFileSync(path, `pid ${dead.pid}\nstarted 2026-01-01T00:00:00.000Z\nhost ${hostname()}\n`)
  t.notMatch(refusal(directory).describe(), `pid ${dead.pid}`)
  t.match(refusal(directory).hint, 'try again')
  writeFileSync(path, `pid ${dead.pid}\nstarted 2026-01-01T00:00:00.000Z\nhost another-host\n`)
  t.match(refusal(directory).message, `pid ${dead.pid} on host another-host`, 'of another host nobody here can tell')
  lock.close()
})

t.test('a directory that is missing or no directory', async (t) => {
  const directory = temporaryDirectory(t)
  const missing = refusal(joinPath(directory, 'no'))
  t.match(missing, { code: 'DIRECTORY_MISSING', where: { file: joinPath(directory, 'no', 'lock') } })
  writeFileSync(joinPath(directory, 'file'), '')
  t.equal(refusal(joinPath(directory, 'file')).code, 'DIRECTORY_MISSING')
})

t.test('a read-only directory', async (t) => {
  if (process.getuid?.() !== 0) {
    const directory = temporaryDirectory(t)
    chmodSync(directory, 0o500)
    t.equal(refusal(directory).code, 'DIRECTORY_READ_ONLY')
    chmodSync(directory, 0o700)
    return
  }
  // The modes of files do not bind root: it takes a read-only file system.
  const { directory, reason } = smallFileSystem(t, 64 * 1024)
  if (reason !== '') {
    t.pass('a file system of its own', { skip: reason })
    return
  }
  lockDirectory(directory).close()
  const readOnly = remountReadOnly(directory)
  if (readOnly !== '') {
    t.pass('a read-only file system', { skip: readOnly })
    return
  }
  const error = refusal(directory)
  t.equal(error.code, 'DIRECTORY_READ_ONLY')
  t.match(error.hint, 'mounted read-only')
})

t.test('a full file system', async (t) => {
  const { directory, reason } = smallFileSystem(t, 64 * 1024)
  if (reason !== '') {
    t.pass('a file system of its own', { skip: reason })
    return
  }
  try {
    writeFileSync(joinPath(directory, 'fill'), Buffer.alloc(1024 * 1024))
  } catch {
    // Until nothing more fits: this is the point.
  }
  t.equal(refusal(directory).code, 'DISK_FULL')
  writeFileSync(joinPath(directory, 'fill'), '')
  lockDirectory(directory).close()
})
