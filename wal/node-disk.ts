/**
 * The Disk door on a real file system, through synchronous `node:fs`.
 *
 * Invariants: `write` has put down every byte when it returns; short writes and the system's limit on buffers per call
 * are handled here. A closed file is never used again: its descriptor number may belong to another file by then, so
 * that is an assertion. Files are made with mode 0600 and directories with 0700: a log holds its users' data.
 *
 * Nothing is retried after an error: a flush that failed once may report success the next time although the pages are
 * gone. No file is locked here (directory-lock.ts does that) and nothing is cached.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
  writevSync,
} from 'node:fs'
import { assert } from '../protocol/assert.ts'
import { TravertineError } from '../protocol/errors.ts'
import { KIB } from '../protocol/limits.ts'
import type { Disk, DiskFile } from './disk.ts'
import { diskError, errnoOf } from './disk-error.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

/** Linux and macOS take at most 1024 buffers in one writev (IOV_MAX). */
const WRITEV_BUFFERS_LIMIT = 1024
/**
 * Linux is slower to take a write of megabytes than several small ones. Measured in new files, flushed each 8 MiB: 1,230 MB/s
 * in writes of 256 KiB, 316 in writes of 8 MiB. A catch-up of 2 GiB was a third faster for it, one of 5 GiB a third slower
 * (243 against 355 MB/s, why is not known), while writers on the same disk got 2.7 times as much done.
 */
const WRITE_BYTES_MAX = 256 * KIB

const CLOSED = -1

class NodeFile implements DiskFile {
  readonly path: string
  #fd: number

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  bytes(): number {
    const fd = this.#open()
    try {
      return fstatSync(fd).size
    } catch (thrown) {
      throw diskError(thrown, {
        action: 'ask for the size of a file',
        expected: 'its size',
        where: { file: this.path },
      })
    }
  }

  read(target: Uint8Array, offset: number): number {
    const fd = this.#open()
    assertOffset(offset)
    let got = 0
    try {
      while (got < target.length) {
        const n = readSync(fd, target, got, target.length - got, offset + got)
        if (n === 0) break
        got += n
      }
    } catch (thrown) {
      const where = { file: this.path, offset: offset + got }
      throw diskError(thrown, { action: 'read a file', expected: `${target.length - got} bytes`, where })
    }
    return got
  }

  write(buffers: readonly Uint8Array[], offset: number): void {
    const fd = this.#open()
    assertOffset(offset)
    let at = offset
    for (let from = 0; from < buffers.length; ) {
      const to = endOfCall(buffers, from)
      if (to - from === 1) at += this.#writeOne(fd, buffers[from]!, 0, at)
      else at += this.#writeSome(fd, to - from === buffers.length ? buffers : buffers.slice(from, to), at)
      from = to
    }
  }

  syncData(): void {
    const fd = this.#open()
    try {
      fdatasyncSync(fd)
    } catch (thrown) {
      throw diskError(thrown, { action: 'flush a file', expected: 'its bytes on disk', where: { file: this.path } })
    }
  }

  close(): void {
    const fd = this.#open()
    // Forgotten first: after a failed close the descriptor is gone all the same.
    this.#fd = CLOSED
    try {
      closeSync(fd)
    } catch (thrown) {
      throw diskError(thrown, { action: 'close a file', expected: 'no error', where: { file: this.path } })
    }
  }

  /** One writev; what a short write left over follows buffer by buffer. @returns the bytes of all buffers */
  #writeSome(fd: number, buffers: readonly Uint8Array[], offset: number): number {
    let put = 0
    try {
      put = writevSync(fd, buffers, offset)
    } catch (thrown) {
      throw this.#writeError(thrown, offset)
    }
    let end = 0
    for (let i = 0; i < buffers.length; i++) {
      const buffer = buffers[i]!
      const start = end
      end += buffer.length
      if (end > put) this.#writeOne(fd, buffer, Math.max(0, put - start), offset + Math.max(start, put))
    }
    return end
  }

  /** Writes `buffer` from `from` on; that byte goes to `offset`. @returns how many bytes those are */
  #writeOne(fd: number, buffer: Uint8Array, from: number, offset: number): number {
    let at = from
    while (at < buffer.length) {
      let n = 0
      try {
        n = writeSync(fd, buffer, at, Math.min(buffer.length - at, WRITE_BYTES_MAX), offset + at - from)
      } catch (thrown) {
        throw this.#writeError(thrown, offset + at - from)
      }
      // A device that takes nothing and reports nothing would hold this loop for ever.
      if (n === 0) throw this.#tookNothing(offset + at - from)
      at += n
    }
    return at - from
  }

  #writeError(thrown: unknown, offset: number): TravertineError {
    const where = { file: this.path, offset }
    return diskError(thrown, { action: 'write to a file', expected: 'all bytes to be taken', where })
  }

  #tookNothing(offset: number): TravertineError {
    return new TravertineError('DISK_FAILED', 'Cannot write to a file: found 0 bytes taken, expected at least 1', {
      where: { file: this.path, offset },
      hint: 'look for disk errors in the system log',
    })
  }

  #open(): number {
    assert(this.#fd !== CLOSED, 'a closed file is not used', { path: this.path })
    return this.#fd
  }
}

export class NodeDisk implements Disk {
  open(path: string, access: 'read' | 'write'): DiskFile {
    const expected = `a file that can be ${access === 'read' ? 'read' : 'read and written'}`
    return attempt({ action: 'open a file', expected, where: { file: path } }, () => {
      return new NodeFile(path, openSync(path, access === 'read' ? 'r' : 'r+'))
    })
  }

  create(path: string): DiskFile {
    return attempt({ action: 'create a file', expected: 'a writable directory', where: { file: path } }, () => {
      return new NodeFile(path, openSync(path, 'w+', FILE_MODE))
    })
  }

  rename(from: string, to: string): void {
    const expected = `a file that can become ${to}`
    attempt({ action: 'rename a file', expected, where: { file: from } }, () => renameSync(from, to))
  }

  unlink(path: string): void {
    attempt({ action: 'remove a file', expected: 'a file', where: { file: path } }, () => unlinkSync(path))
  }

  makeDirectory(path: string): void {
    attempt({ action: 'make a directory', expected: 'a writable parent', where: { file: path } }, () => {
      try {
        mkdirSync(path, { mode: DIRECTORY_MODE })
      } catch (thrown) {
        if (errnoOf(thrown) !== 'EEXIST' || !statSync(path).isDirectory()) throw thrown
      }
    })
  }

  list(path: string): string[] {
    return attempt({ action: 'list a directory', expected: 'a directory', where: { file: path } }, () => {
      // By code unit, not by locale: the same order on every machine.
      return readdirSync(path).sort()
    })
  }

  exists(path: string): boolean {
    return attempt({ action: 'look for a file', expected: 'a readable directory', where: { file: path } }, () => {
      // Not existsSync: it says "no" to a directory that may not be read, and a "no" leads to creating things.
      return statSync(path, { throwIfNoEntry: false }) !== undefined
    })
  }

  syncDirectory(path: string): void {
    attempt({ action: 'flush a directory', expected: 'its names on disk', where: { file: path } }, () => {
      const fd = openSync(path, 'r')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    })
  }

  freeBytes(path: string): number {
    return attempt({ action: 'ask for free space', expected: 'a file system', where: { file: path } }, () => {
      const system = statfsSync(path)
      return system.bavail * system.bsize
    })
  }
}

/** Index behind the buffers that go with that at `from` in one call; one that is larger than a call goes alone. */
function endOfCall(buffers: readonly Uint8Array[], from: number): number {
  let bytes = 0
  let to = from
  do bytes += buffers[to++]!.length
  while (to < buffers.length && to - from < WRITEV_BUFFERS_LIMIT && bytes + buffers[to]!.length <= WRITE_BYTES_MAX)
  return to
}

/** Node takes a negative or fractional position for "wherever the file stands": bytes would land anywhere. */
function assertOffset(offset: number): void {
  assert(Number.isSafeInteger(offset) && offset >= 0, 'a file offset is a whole number', { offset })
}

function attempt<T>(what: Parameters<typeof diskError>[1], act: () => T): T {
  try {
    return act()
  } catch (thrown) {
    throw diskError(thrown, what)
  }
}
