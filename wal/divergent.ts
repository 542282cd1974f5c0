/**
 * What is cut off a log is kept: `divergent/before-TERM-KK-POSITION.wal`, the raw frames from POSITION on.
 *
 * Written and flushed, name and all, before the manifest that makes the cut. Nothing here is ever read by the node
 * itself; `travertine inspect` shows it. Repeating a cut after a crash writes the same file again.
 */
import { assert } from '../protocol/assert.ts'
import { MIB } from '../protocol/limits.ts'
import { type Disk, joinPath } from './disk.ts'
import { channelDirectory, Segments } from './segments.ts'

export const DIVERGENT_DIRECTORY = 'divergent'

export interface Surplus {
  readonly channel: number
  readonly from: number
  readonly to: number
  /** Number of the term whose history cuts it off. */
  readonly before: bigint
}

export const divergentName = (surplus: Surplus): string =>
  `before-${surplus.before}-${String(surplus.channel).padStart(2, '0')}-${surplus.from.toString(16).padStart(16, '0')}.wal`

export function keepDivergent(disk: Disk, directory: string, surplus: Surplus): void {
  assert(surplus.to > surplus.from, 'a surplus has bytes', { ...surplus })
  const target = joinPath(directory, DIVERGENT_DIRECTORY)
  disk.makeDirectory(target)
  disk.syncDirectory(directory)
  const name = divergentName(surplus)
  const side = joinPath(target, `${name}.new`)
  const segments = new Segments({
    disk,
    directory: channelDirectory(directory, surplus.channel),
    segmentBytes: 0,
    access: 'read',
  })
  const file = disk.create(side)
  try {
    const buffer = Buffer.alloc(Math.min(MIB, surplus.to - surplus.from))
    for (let at = surplus.from; at < surplus.to; ) {
      const got = segments.read(at, buffer.subarray(0, Math.min(buffer.length, surplus.to - at)))
      assert(got > 0, 'bytes that were scanned can be read', { at, ...surplus })
      file.write([buffer.subarray(0, got)], at - surplus.from)
      at += got
    }
    file.syncData()
  } finally {
    file.close()
    segments.close()
  }
  disk.rename(side, joinPath(target, name))
  disk.syncDirectory(target)
}
