/**
 * The directory that the bench writes to: made new for each run, removed at its end, on Ctrl-C as well. A file system in
 * memory has no fdatasync to speak of, so it is named in a warning.
 */
import { mkdtempSync, rmSync, type StatsFs, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { asError } from '../protocol/errors.ts'
import { GIB } from '../protocol/limits.ts'

const TMPFS_MAGIC = 0x01021994
const RAMFS_MAGIC = 0x858458f6

export interface Scratch {
  readonly path: string
  readonly warnings: readonly string[]
  remove(): void
}

/**
 * @param options what names another place, and a smaller amount
 * @throws if there is too little room for `bytesNeeded`, or the place cannot be written to
 */
export function makeScratch(
  parent: string | undefined,
  bytesNeeded: number,
  options = { place: '--dir', amount: '--bytes' },
): Scratch {
  const place = resolve(parent ?? tmpdir())
  const { type, bavail, bsize } = statPlace(place)
  const bytesFree = bavail * bsize
  if (bytesFree < bytesNeeded) {
    throw new Error(
      `Cannot measure in ${place}: found ${gib(bytesFree)} GiB free, expected ${gib(bytesNeeded)}; name another place with ${options.place}, or lower ${options.amount}`,
    )
  }
  const path = mkdtempSync(join(place, 'travertine-bench-'))
  const inMemory = type === TMPFS_MAGIC || type === RAMFS_MAGIC
  return {
    path,
    warnings: inMemory
      ? [`${place} is a file system in memory: nothing here is durable; name a disk with ${options.place}`]
      : [],
    remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }),
  }
}

function statPlace(place: string): StatsFs {
  try {
    return statfsSync(place)
  } catch (error) {
    throw new Error(`Cannot measure in ${place}: ${asError(error).message}`, { cause: error })
  }
}

const gib = (bytes: number): string => (bytes / GIB).toFixed(1)
