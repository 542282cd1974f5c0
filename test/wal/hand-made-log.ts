/**
 * Logs made by hand, frame by frame, on a simulated disk: what a scan must judge right whether or not this program would
 * ever write it. Frames are encoded by protocol/, whose bytes are golden; files are written without wal/'s writer.
 */
import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { encodeFrame, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { byteOffset, channelId, clusterId, epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import { SEGMENT_BYTES_MIN } from '../../protocol/limits.ts'
import { encodeMark, encodeSeal } from '../../protocol/seal.ts'
import { initDirectory } from '../../wal/init-directory.ts'
import { type Manifest, writeManifest } from '../../wal/manifest.ts'
import { type ChannelScan, recoverChannel } from '../../wal/recover.ts'
import { channelDirectory, prepareSegment, segmentName } from '../../wal/segments.ts'
import type { Mastership, TermHistory } from '../../wal/term-history.ts'
import { encodeBody } from '../protocol/codecs.ts'
import { SimDisk } from '../sim/sim-disk.ts'

export const DIRECTORY = '/data'
export const CLUSTER = clusterId('6f1c2a3e-8b4d-4e5f-9a60-112233445566')
export const OWN = nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc')
export const OTHER = nodeId('0b9d1e2f-3a4b-4c5d-8e6f-000000000002')

/** A mastership of `OWN` unless said otherwise; its tag is 7 times its number. */
export function mastership(number: number, starts: readonly number[], base = 0n, node = OWN): Mastership {
  const term = { number: termNumber(BigInt(number)), nodeId: node, tag: 7 * number }
  return { term, firstEpoch: epoch(base + 1n), baseEpoch: epoch(base), starts: starts.map(byteOffset) }
}

interface Draft {
  readonly kind: number
  readonly epoch: bigint
  readonly entryCount: number
  readonly body: Buffer
}

export const session = (of: bigint, valueBytes = 20): Draft => ({
  kind: FrameKind.ENTRIES,
  epoch: of,
  entryCount: 1,
  body: encodeBody([{ op: 'put', storage: 1n, key: Buffer.from('k'), value: Buffer.alloc(valueBytes, 0xab) }]),
})

export function seal(of: bigint, fields: Partial<Parameters<typeof encodeSeal>[0]> = {}): Draft {
  const all = { prev: of - 1n, participants: 1n, stored: 0n, durablePosition: 0, wallClockMs: 0, ...fields }
  return { kind: FrameKind.SEAL, epoch: of, entryCount: 0, body: encodeSeal(all) }
}

export const mark = (durablePosition: number, stored = 0n): Draft => ({
  kind: FrameKind.MARK,
  epoch: 0n,
  entryCount: 0,
  body: encodeMark({ durablePosition, stored }),
})

export interface Placed {
  readonly bytes: Buffer
  /** Where each frame ends. */
  readonly ends: readonly number[]
}

/** Drafts as the frames of a channel, from `from` on, in the term of `by`. */
export function frames(drafts: readonly Draft[], by = mastership(1, [0]), channel = 0, from = 0): Placed {
  const seed = headerSeed(CLUSTER, channelId(channel))
  const parts: Buffer[] = []
  const ends: number[] = []
  let position = from
  for (const { body, ...draft } of drafts) {
    const stamp = { termTag: by.term.tag, term: by.term.number, position, firstMinor: 0n }
    const frame = encodeFrame({ ...draft, ...stamp, flags: 0, producerId: 0n, producerSequence: 0 }, body, seed)
    parts.push(frame)
    position += frame.length
    ends.push(position)
  }
  return { bytes: Buffer.concat(parts), ends }
}

export function manifestOf(channels: number, history: TermHistory, role: Manifest['role'] = 'master'): Manifest {
  return {
    clusterId: CLUSTER,
    nodeId: OWN,
    role,
    channels,
    segmentBytes: SEGMENT_BYTES_MIN,
    config: { ...EMPTY_CONFIG, number: 1 },
    history,
    fence: undefined,
  }
}

/** A data directory in which each channel has one prepared segment of the least size. */
export function emptyLog(manifest: Manifest): SimDisk {
  const disk = new SimDisk()
  initDirectory(disk, DIRECTORY, manifest)
  writeManifest(disk, DIRECTORY, manifest)
  return disk
}

/** Puts bytes into the segment at `base`, and makes them durable. */
export function overwrite(disk: SimDisk, channel: number, offset: number, bytes: Buffer, base = 0): void {
  const file = disk.open(`${channelDirectory(DIRECTORY, channel)}/${segmentName(base)}`, 'write')
  file.write([bytes], offset)
  file.syncData()
  file.close()
}

/** Replaces the files of channel 0 by segments of `segmentBytes` each that hold `bytes` and then zeros. */
export function layOut(
  disk: SimDisk,
  bytes: Buffer,
  segmentBytes: number,
  segments = Math.ceil(bytes.length / segmentBytes),
): void {
  const directory = channelDirectory(DIRECTORY, 0)
  for (const name of disk.list(directory)) disk.unlink(`${directory}/${name}`)
  for (let i = 0; i < segments; i++) {
    prepareSegment(disk, directory, { base: i * segmentBytes, bytes: segmentBytes })
    overwrite(disk, 0, 0, bytes.subarray(i * segmentBytes, (i + 1) * segmentBytes), i * segmentBytes)
  }
}

export function recover(disk: SimDisk, manifest: Manifest, channel = 0): ChannelScan {
  return recoverChannel({
    disk,
    directory: DIRECTORY,
    channel,
    clusterId: CLUSTER,
    nodeId: OWN,
    history: manifest.history,
  })
}

export const scanAll = (disk: SimDisk, manifest: Manifest): ChannelScan[] =>
  Array.from({ length: manifest.channels }, (_, channel) => recover(disk, manifest, channel))
