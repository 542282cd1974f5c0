/** Opens what `load` reads: a file, a pipe, or stdin. Every way in which that can fail is INPUT_UNREADABLE, with its reason. */
import { createReadStream, fstatSync, type Stats, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { asError, TravertineError } from '../protocol/errors.ts'
import { KIB } from '../protocol/limits.ts'

export interface LoadInput {
  readonly chunks: Readable
  /** For people: the path, or `stdin`. */
  readonly name: string
  /** Undefined where nobody knows: pipes. */
  readonly bytes: number | undefined
}

/** Large enough that reading costs nothing beside writing, small enough that Ctrl-C stops at once. */
const CHUNK_BYTES = 256 * KIB

/** @param file a path, or `-` for stdin. @throws INPUT_UNREADABLE */
export function openInput(file: string): LoadInput {
  return file === '-' ? openStdin() : openFile(file)
}

function openFile(file: string): LoadInput {
  const facts = attempt(file, () => statSync(file))
  refuseDirectory(file, facts)
  const bytes = facts.isFile() ? facts.size : undefined
  const chunks = createReadStream(file, { highWaterMark: CHUNK_BYTES })
  chunks.on('error', () => undefined) // it may fail before anybody reads; whoever reads it hears of it then
  return { chunks, name: file, bytes }
}

function openStdin(): LoadInput {
  const facts = attempt('stdin', () => fstatSync(0))
  refuseDirectory('stdin', facts)
  // a process that is started with stdin closed gets /dev/null there
  if (facts.isCharacterDevice() && facts.rdev === nullDevice()) {
    throw unreadable('stdin', 'found it closed, or /dev/null', 'pipe the records into it, or name a file')
  }
  return { chunks: process.stdin, name: 'stdin', bytes: facts.isFile() ? facts.size : undefined }
}

function nullDevice(): number {
  try {
    return statSync('/dev/null').rdev
  } catch {
    return -1
  }
}

function refuseDirectory(name: string, facts: Stats): void {
  if (facts.isDirectory()) throw unreadable(name, 'found a directory', 'name a file')
}

function attempt<T>(name: string, act: () => T): T {
  try {
    return act()
  } catch (thrown) {
    throw inputError(name, thrown)
  }
}

/** What a stream or system call has thrown while the input was read. */
export function inputError(name: string, thrown: unknown): TravertineError {
  const error = asError(thrown)
  const errno = 'code' in error && typeof error.code === 'string' ? error.code : error.message
  return unreadable(name, `found ${errno}`, HINTS.get(errno) ?? 'check the file and its disk', error)
}

const HINTS = new Map([
  ['ENOENT', 'check the path'],
  ['EACCES', 'give the user of this command read permission'],
])

function unreadable(name: string, found: string, hint: string, cause?: unknown): TravertineError {
  return new TravertineError('INPUT_UNREADABLE', `Cannot read ${name}: ${found}, expected records`, {
    where: { file: name },
    hint,
    cause,
  })
}
