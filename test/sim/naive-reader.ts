/**
 * A second, deliberately simple reader of a log directory: whole files in memory, frames by hand from the byte table of
 * docs/WAL_FORMAT.md, terms and wholeness by their definitions. Shares no code with wal/ but the names of the files, so
 * that a mistake there does not hide itself. The judge of the crash tests.
 */
import { crc32 } from 'node:zlib'
import type { Disk } from '../../wal/disk.ts'

export interface NaiveFrame {
  readonly channel: number
  readonly position: number
  readonly kind: number
  readonly epoch: bigint
  readonly term: bigint
  readonly producer: bigint
  readonly sequence: number
  readonly body: Buffer
  /** Header and body. */
  readonly bytes: Buffer
}

export interface NaiveTerm {
  readonly term: { readonly number: string; readonly tag: number }
  readonly baseEpoch: string
  readonly starts: readonly number[]
}

interface NaiveManifest {
  readonly clusterId: string
  readonly channels: number
  readonly history: readonly NaiveTerm[]
}

export interface NaiveLog {
  readonly channels: number
  readonly history: readonly NaiveTerm[]
  /** All valid frames per channel. */
  readonly frames: readonly (readonly NaiveFrame[])[]
  /** Epochs that are whole, ascending. */
  readonly whole: readonly bigint[]
}

export function readNaively(disk: Disk, directory: string): NaiveLog {
  const manifest = JSON.parse(readAll(disk, `${directory}/manifest`).toString().split('\n')[1]!) as NaiveManifest // written by the code under test; a wrong shape fails loudly below
  const frames = Array.from({ length: manifest.channels }, (_, channel) =>
    readChannel(disk, directory, manifest, channel),
  )
  const { channels, history } = manifest
  return { channels, history, frames, whole: wholeEpochs(frames) }
}

/** Session frames in whole epochs: what a node of this directory must show. */
export function committedBodies(
  log: NaiveLog,
): { readonly epoch: bigint; readonly channel: number; readonly body: Buffer }[] {
  const whole = new Set(log.whole)
  return log.frames.flat().filter((frame) => frame.kind === 1 && whole.has(frame.epoch))
}

function readChannel(disk: Disk, directory: string, manifest: NaiveManifest, channel: number): NaiveFrame[] {
  const folder = `${directory}/channels/${channel < 10 ? '0' : ''}${channel}`
  const names = disk.list(folder).filter((name) => /^[0-9a-f]{16}\.wal$/.test(name))
  const bytes = readAll(disk, ...names.map((name) => `${folder}/${name}`))
  const seedBytes = Buffer.concat([
    Buffer.from(manifest.clusterId.replaceAll('-', ''), 'hex'),
    Buffer.from([channel, 0, 0, 0]),
  ])
  const frames: NaiveFrame[] = []
  let position = 0
  while (position + 72 <= bytes.length) {
    const head = bytes.subarray(position, position + 72)
    if (crc32(head.subarray(4), crc32(seedBytes)) !== head.readUInt32LE(0)) break
    const body = bytes.subarray(position + 72, position + 72 + head.readUInt32LE(8))
    if (crc32(body) !== head.readUInt32LE(12) || head.readBigUInt64LE(24) !== BigInt(position)) break
    const owner = manifest.history.filter((m) => m.starts[channel]! <= position).at(-1)
    if (
      owner === undefined ||
      BigInt(owner.term.number) !== head.readBigUInt64LE(40) ||
      owner.term.tag !== head.readUInt32LE(20)
    )
      break
    frames.push({
      channel,
      position,
      kind: head[5]!,
      epoch: head.readBigUInt64LE(32),
      term: head.readBigUInt64LE(40),
      producer: head.readBigUInt64LE(56),
      sequence: Number(head.readBigUInt64LE(64)),
      body,
      bytes: bytes.subarray(position, position + 72 + body.length),
    })
    position += 72 + body.length
  }
  return frames
}

/** By the definition: whole if the epoch that `prev` names is whole, and every channel named in any seal has its seal. */
export function wholeEpochs(frames: readonly (readonly NaiveFrame[])[]): bigint[] {
  const epochs = new Map<string, NaiveFrame[]>() // seals are of one epoch if term and epoch agree
  for (const frame of frames.flat()) {
    if (frame.kind !== 2) continue
    const key = `${frame.term}/${frame.epoch}`
    const same = epochs.get(key)
    if (same === undefined) epochs.set(key, [frame])
    else same.push(frame)
  }
  const whole = new Set([0n])
  // in ascending order one pass is enough: `prev` names an earlier one
  for (const same of [...epochs.values()].sort(([a], [b]) => (a!.epoch < b!.epoch ? -1 : 1))) {
    const named = same.reduce((bits, s) => bits | s.body.readBigUInt64LE(8), 0n)
    const held = same.reduce((bits, s) => bits | (1n << BigInt(s.channel)), 0n)
    if ((named & ~held) === 0n && same.some((s) => whole.has(s.body.readBigUInt64LE(0)))) whole.add(same[0]!.epoch)
  }
  return [...whole].filter((epoch) => epoch > 0n)
}

/** One file, or several as one stream of bytes. */
function readAll(disk: Disk, ...paths: readonly string[]): Buffer {
  const files = paths.map((path) => disk.open(path, 'read'))
  const bytes = Buffer.allocUnsafe(files.reduce((sum, file) => sum + file.bytes(), 0))
  let end = 0
  for (const file of files) {
    end += file.read(bytes.subarray(end, end + file.bytes()), 0)
    file.close()
  }
  return bytes.subarray(0, end)
}
