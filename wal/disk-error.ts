/**
 * What the operating system says about a disk, as a `TravertineError`: one place where an errno gets its code and hint.
 *
 * Only errors of the system are translated. Anything else that was thrown (a TypeError, a RangeError) is a mistake of
 * ours and goes on unchanged, so that it ends the process instead of looking like a bad disk.
 */
import { type ErrorCode, type ErrorPlace, TravertineError } from '../protocol/errors.ts'

/** What was tried, for the text: "Cannot <action>: found <errno>, expected <expected>". */
export interface DiskAttempt {
  readonly action: string
  readonly expected: string
  readonly where: ErrorPlace
}

/** errno -> code; whatever is not named is DISK_FAILED. */
const CODE_OF_ERRNO: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ['ENOSPC', 'DISK_FULL'],
  ['EDQUOT', 'DISK_FULL'],
  ['EROFS', 'DIRECTORY_READ_ONLY'],
  ['EACCES', 'DIRECTORY_READ_ONLY'],
  ['EPERM', 'DIRECTORY_READ_ONLY'],
  ['ENOENT', 'DIRECTORY_MISSING'],
  ['ENOTDIR', 'DIRECTORY_MISSING'],
  ['ENAMETOOLONG', 'DIRECTORY_MISSING'],
])

const HINT_OF_ERRNO: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'make room on this file system, then start the node again'],
  ['EDQUOT', 'raise the disk quota of the user that runs the node, then start it again'],
  ['EROFS', 'the file system is mounted read-only: look for disk errors in the system log, then remount it writable'],
  ['EACCES', 'give the user that runs the node read and write permission on this path'],
  ['EPERM', 'give the user that runs the node read and write permission on this path'],
  ['ENOENT', 'check that the path is right and that its file system is mounted'],
  ['ENOTDIR', 'a part of this path is a file and no directory: check the path'],
  ['ENAMETOOLONG', 'no file system can have a path like this: choose a shorter one'],
  ['EISDIR', 'a directory has the name of a file of the log: move it away'],
  ['EEXIST', 'a file has the name of a directory of the log: move it away'],
  ['EMFILE', 'raise the limit of open files of the process (ulimit -n)'],
  ['ENFILE', 'raise the limit of open files of the machine (fs.file-max)'],
])

const HINT_DEFAULT = 'do not write to this disk again before its health and the system log were checked'

/** @returns the typed error for a failed system call; anything else is thrown on as it came. */
export function diskError(thrown: unknown, attempt: DiskAttempt): TravertineError {
  const errno = errnoOf(thrown)
  if (errno === undefined) throw thrown
  return new TravertineError(
    CODE_OF_ERRNO.get(errno) ?? 'DISK_FAILED',
    `Cannot ${attempt.action}: found ${errno}, expected ${attempt.expected}`,
    { where: attempt.where, hint: HINT_OF_ERRNO.get(errno) ?? HINT_DEFAULT, cause: thrown },
  )
}

/** The errno name of a failed system call, undefined for any other thing that was thrown. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown) || typeof thrown.code !== 'string') return undefined
  // Node's own argument errors have codes as well (ERR_OUT_OF_RANGE): they are ours, not the disk's.
  return /^E[A-Z0-9]+$/.test(thrown.code) ? thrown.code : undefined
}
