/**
 * What was cut off a log and kept (WAL-75): the files in `divergent/`, and the frames in them. Only reads.
 *
 * Their terms may be gone from the history, so a frame counts by its CRCs and its position alone.
 */
import { asError, TravertineError } from '../protocol/errors.ts'
import { decodeHeader, headerSeed } from '../protocol/frame.ts'
import { FrameReader } from '../protocol/frame-reader.ts'
import { channelId } from '../protocol/ids.ts'
import { MIB } from '../protocol/limits.ts'
import { type Disk, joinPath } from '../wal/disk.ts'
import { DIVERGENT_DIRECTORY } from '../wal/divergent.ts'
import type { ScannedFrame } from '../wal/frame-scan.ts'
import type { Manifest } from '../wal/manifest.ts'

export interface DivergentFile {
  readonly file: string
  readonly channel: number
  /** Position of its first byte. */
  readonly from: number
  readonly bytes: number
  /** Number of the term whose start has cut it off. */
  readonly before: bigint
}

const NAME = /^before-(\d{1,20})-(\d\d)-([0-9a-f]{16})\.wal$/

/** Oldest term first. Other names in that directory are nobody's business. */
export function listDivergent(disk: Disk, directory: string): DivergentFile[] {
  const folder = joinPath(directory, DIVERGENT_DIRECTORY)
  if (!disk.exists(folder)) return []
  const files: DivergentFile[] = []
  for (const name of disk.list(folder)) {
    const match = NAME.exec(name)
    if (match === null) continue
    const [, before, channel, from] = match
    const file = joinPath(folder, name)
    const handle = disk.open(file, 'read')
    const bytes = handle.bytes()
    handle.close()
    // the three groups take part in every match
    files.push({ file, channel: Number(channel), from: Number.parseInt(from!, 16), bytes, before: BigInt(before!) })
  }
  return files.sort((a, b) =>
    a.before === b.before ? a.channel - b.channel || a.from - b.from : a.before < b.before ? -1 : 1,
  )
}

/** A frame is a view that stays as it is. @throws LOG_DAMAGED, FRAME_... */
export function* eachDivergentFrame(
  { disk, manifest }: { readonly disk: Disk; readonly manifest: Manifest },
  { file, channel, from }: DivergentFile,
): Generator<ScannedFrame, void, undefined> {
  if (channel >= manifest.channels) {
    throw damaged(file, channel, from, `a file of channel ${channel}, expected less than ${manifest.channels}`)
  }
  let position = from
  let frames: ScannedFrame[] = []
  const reader = new FrameReader(headerSeed(manifest.clusterId, channelId(channel)), { file, channel })
  const sink = (buffer: Buffer, at: number, bytes: number): void => {
    const header = decodeHeader(buffer, at)
    if (header.position !== position) throw damaged(file, channel, position, `a frame of position ${header.position}`)
    const end = position + bytes
    frames.push({ header, frame: buffer.subarray(at, at + bytes), position, end })
    position = end
  }
  const handle = disk.open(file, 'read')
  try {
    const total = handle.bytes()
    for (let at = 0; at < total; ) {
      const chunk = Buffer.alloc(Math.min(MIB, total - at))
      const got = handle.read(chunk, at)
      if (got === 0) break
      frames = []
      const fault = attempt(() => reader.push(chunk.subarray(0, got), sink))
      yield* frames // those before the fault are good
      if (fault !== undefined) throw atPosition(fault, { file, channel, position })
      at += got
    }
    if (reader.pendingBytes > 0) {
      throw damaged(file, channel, position, `${reader.pendingBytes} bytes at its end that are no whole frame`)
    }
  } finally {
    handle.close()
  }
}

function attempt(act: () => void): Error | undefined {
  try {
    act()
    return undefined
  } catch (thrown) {
    return asError(thrown)
  }
}

/** FrameReader counts from the begin of the file; people are told the position in the channel. */
function atPosition(error: Error, at: { file: string; channel: number; position: number }): Error {
  if (!(error instanceof TravertineError) || error.code !== 'FRAME_CORRUPT') return error
  return damaged(at.file, at.channel, at.position, 'no valid frame')
}

function damaged(file: string, channel: number, position: number, found: string): TravertineError {
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot read what was cut off channel ${channel} at position ${position}: found ${found}`,
    {
      where: { file, channel, offset: position },
      hint: 'the log itself does not need this file; restore it from a copy if its entries are wanted',
    },
  )
}
