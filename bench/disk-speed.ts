/**
 * How fast a disk takes bytes that come one behind the other: large blocks, each flushed, into one file. New, so that the
 * file system has to find room for them, as it has for every log that grows; and once more over the same file. A block is
 * written in pieces: Linux is slower to take one large write than many (wal/node-disk.ts), which says nothing of the disk.
 */
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { KIB, MIB } from '../protocol/limits.ts'

/** Larger ones are no faster on the disks that were tried. */
const BLOCK_BYTES = 16 * MIB
const PIECE_BYTES = 256 * KIB

export interface DiskSpeed {
  readonly newBytesPerSecond: number
  readonly overBytesPerSecond: number
}

/** Writes `bytes` twice, and removes them. */
export function measureDisk(directory: string, bytes: number): DiskSpeed {
  const path = join(directory, 'disk-speed')
  const block = Buffer.alloc(BLOCK_BYTES)
  for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at) // no two sectors alike
  const file = openSync(path, 'w')
  try {
    return { newBytesPerSecond: writeAll(file, block, bytes), overBytesPerSecond: writeAll(file, block, bytes) }
  } finally {
    closeSync(file)
    unlinkSync(path)
  }
}

/** @returns bytes per second */
function writeAll(file: number, block: Buffer, bytes: number): number {
  const beginMs = performance.now()
  for (let at = 0; at < bytes; at += block.length) {
    const blockBytes = Math.min(block.length, bytes - at)
    for (let done = 0; done < blockBytes; ) {
      done += writeSync(file, block, done, Math.min(PIECE_BYTES, blockBytes - done), at + done)
    }
    fdatasyncSync(file)
  }
  return (bytes * 1000) / (performance.now() - beginMs)
}
