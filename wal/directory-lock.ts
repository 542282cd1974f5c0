/**
 * One process per data directory: an flock on `DIR/lock`, held from start to end of a node.
 *
 * The lock is the kernel's, not the file's: it ends with the process that holds it, however it dies, so a left-over
 * file never refuses anybody. The text inside (pid, start time, host) is only for the message of the one who is refused,
 * and for a person who looks. The file is never removed: between an unlink and a create two processes could each lock
 * a file of that name.
 *
 * A second lock in the same process is refused as well (flock belongs to the open file, not to the process). Tools that
 * only read do not take it. Not behind the Disk door: this is about processes, and a simulated disk has none.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { flockSync } from 'fs-ext'
import { TravertineError } from '../protocol/errors.ts'
import { joinPath } from './disk.ts'
import { diskError, errnoOf } from './disk-error.ts'

export const LOCK_FILE_NAME = 'lock'

const RECORD_BYTES_LIMIT = 1024

export interface LockOwner {
  readonly pid: number
  /** ISO 8601, UTC. */
  readonly started: string
  readonly host: string
}

export class DirectoryLock {
  readonly path: string
  readonly owner: LockOwner
  #fd: number

  /** Made by `lockDirectory` only, which owns `fd` until then. */
  constructor(path: string, owner: LockOwner, fd: number) {
    this.path = path
    this.owner = owner
    this.#fd = fd
  }

  /** Lets the next process in. A second call does nothing, so that every way out may call it. */
  close(): void {
    if (this.#fd < 0) return
    closeSync(this.#fd)
    this.#fd = -1
  }
}

/** @throws DIRECTORY_LOCKED (with the owner's pid), DIRECTORY_MISSING, DIRECTORY_READ_ONLY, DISK_FULL, DISK_FAILED */
export function lockDirectory(directory: string): DirectoryLock {
  const path = joinPath(directory, LOCK_FILE_NAME)
  const what = { action: 'lock the data directory', expected: 'a directory of its own', where: { file: path } }
  let fd: number
  try {
    // Not 'w+': that would wipe the record of an owner who is alive.
    fd = openSync(path, 'a+', 0o600)
  } catch (thrown) {
    throw diskError(thrown, what)
  }
  try {
    flockSync(fd, 'exnb')
    const owner = { pid: process.pid, started: new Date().toISOString(), host: hostname() }
    ftruncateSync(fd, 0)
    writeSync(fd, encodeOwner(owner))
    return new DirectoryLock(path, owner, fd)
  } catch (thrown) {
    const held = isHeld(thrown) ? lockedError(path, readOwner(fd)) : undefined
    closeSync(fd)
    throw held ?? diskError(thrown, what)
  }
}

function isHeld(thrown: unknown): boolean {
  const errno = errnoOf(thrown)
  return errno === 'EAGAIN' || errno === 'EWOULDBLOCK'
}

function lockedError(path: string, owner: LockOwner | undefined): TravertineError {
  const known = owner !== undefined && !isSurelyDead(owner)
  const who = known
    ? `pid ${owner.pid} on host ${owner.host}, running since ${owner.started}`
    : 'a process that has just started and not yet written its pid'
  return new TravertineError('DIRECTORY_LOCKED', `Cannot lock the data directory: found ${who}, expected no owner`, {
    where: { file: path },
    hint: known
      ? `stop the process with pid ${owner.pid}, or give this node a directory of its own`
      : 'try again in a moment, or give this node a directory of its own',
  })
}

/**
 * The lock is held, but not by whom the record names: the holder took it a moment ago from one that was killed. Blaming
 * a pid that no longer exists, or belongs to something else by now, would send the operator after the wrong process.
 */
function isSurelyDead(owner: LockOwner): boolean {
  // A pid of another host (or container) cannot be looked up here.
  if (owner.host !== hostname()) return false
  try {
    process.kill(owner.pid, 0)
    return false
  } catch (thrown) {
    return errnoOf(thrown) === 'ESRCH'
  }
}

function encodeOwner(owner: LockOwner): string {
  return `pid ${owner.pid}\nstarted ${owner.started}\nhost ${owner.host}\n`
}

/** The record is for people: whatever cannot be read in it is no owner, never an error. */
function readOwner(fd: number): LockOwner | undefined {
  const bytes = Buffer.alloc(RECORD_BYTES_LIMIT)
  const text = bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
  const match = /^pid ([1-9][0-9]{0,9})\nstarted (\S+)\nhost (\S+)\n/.exec(text)
  if (match === null) return undefined
  return { pid: Number(match[1]), started: match[2]!, host: match[3]! }
}
