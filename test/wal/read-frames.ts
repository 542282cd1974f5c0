/** The frames that stand in a channel's files, in order, found without wal/'s scan. */
import {
  bodyCrcMatches,
  checkHeader,
  decodeHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  headerSeed,
} from '../../protocol/frame.ts'
import { channelId } from '../../protocol/ids.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import { CLUSTER, DIRECTORY } from '../sim/sim-master.ts'

export interface WrittenFrame {
  readonly header: FrameHeader
  readonly body: Buffer
}

/** Ends at the first place without a good frame of that position, or where an older term follows: what a cut has left. */
export function readFrames(disk: SimDisk, channel: number): WrittenFrame[] {
  const directory = channelDirectory(DIRECTORY, channel)
  const segments = new Segments({ disk, directory, segmentBytes: 0, access: 'read' })
  const bytes = Buffer.alloc(segments.capacityEnd() + FRAME_HEADER_BYTES)
  segments.read(0, bytes)
  segments.close()
  const seed = headerSeed(CLUSTER, channelId(channel))
  const frames: WrittenFrame[] = []
  for (let at = 0; checkHeader(bytes, at, seed) === undefined; ) {
    const header = decodeHeader(bytes, at)
    const older = header.term < (frames.at(-1)?.header.term ?? 0n)
    if (header.position !== at || older || !bodyCrcMatches(bytes, at, header.bodyLength)) break
    const end = at + FRAME_HEADER_BYTES + header.bodyLength
    frames.push({ header, body: bytes.subarray(at + FRAME_HEADER_BYTES, end) })
    at = end
  }
  return frames
}
