/**
 * How fast a disk takes bytes that come one behind the other: large blocks, each flushed, into one file. New, so that the
 * file system has to find room for them, as it has for every log that grows; and once more over the same file.
 */
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MIB } from '../protocol/limits.ts'

/** Larger ones are no faster on the disks that were tried. */
const BLOCK_BYTES = 16 * MIB

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
    writeSync(file, block, 0, Math.min(block.length, bytes - at), at)
    fdatasyncSync(file)
  }
  return (bytes * 1000) / (performance.now() - beginMs)
}
