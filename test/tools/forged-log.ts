/**
 * Logs made by hand, frame by frame, with good CRCs: what no program of ours would write, and what only a crash leaves.
 *
 * A forged directory is what `init` makes, plus a term history of the test's choice and the frames that it appends.
 */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from 'node:fs'
import { join, relative } from 'node:path'
import { initNode } from '../../daemon/node.ts'
import { EMPTY_CONFIG, encodeConfig } from '../../protocol/cluster-config.ts'
import { type Entry, entryBytes } from '../../protocol/entry.ts'
import { encodeEntry } from '../../protocol/entry-encoder.ts'
import { encodeFrame, type FrameHeader, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { byteOffset, channelId, clusterId, epoch, nodeId, type Term, termNumber } from '../../protocol/ids.ts'
import { encodeMark, encodeSeal, type Mark, type Seal } from '../../protocol/seal.ts'
import { type Manifest, readManifest, writeManifest } from '../../wal/manifest.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { channelDirectory, prepareSegment, segmentName } from '../../wal/segments.ts'
import type { Mastership } from '../../wal/term-history.ts'

export const CLUSTER = '00000000-0000-4000-8000-000000000001'
export const SEGMENT_BYTES = 65_536

export interface ForgeOptions {
  readonly role?: 'master' | 'replica'
  readonly channels?: number
  readonly cluster?: string
  /** Made of the directory's own node unless said otherwise. */
  readonly history?: (own: Term) => readonly Mastership[]
}

type HeaderFields = Partial<Omit<FrameHeader, 'bodyLength' | 'bodyCrc'>>

export class ForgedLog {
  readonly directory: string
  readonly disk = new NodeDisk()
  readonly #ends: number[]
  #producerSequence = 0

  constructor(directory: string, { role = 'master', channels = 1, cluster = CLUSTER, history }: ForgeOptions = {}) {
    this.directory = directory
    const manifest = initNode({ directory, role, channels, clusterId: cluster, segmentBytes: SEGMENT_BYTES })
    const own: Term = { number: termNumber(1n), nodeId: manifest.nodeId, tag: 77 }
    const masterships = history?.(own) ?? [mastership(own, new Array<number>(channels).fill(0))]
    this.writeManifest({ ...manifest, history: masterships, fence: masterships.at(-1)?.term })
    this.#ends = new Array<number>(channels).fill(0)
  }

  get manifest(): Manifest {
    return readManifest(this.disk, this.directory)
  }

  writeManifest(manifest: Manifest): void {
    writeManifest(this.disk, this.directory, manifest)
  }

  end(channel = 0): number {
    return this.#ends[channel] ?? 0
  }

  /** Where the next frame of the channel goes. */
  setEnd(position: number, channel = 0): void {
    this.#ends[channel] = position
  }

  session(
    of: bigint,
    fields: HeaderFields & { readonly channel?: number; readonly entries?: readonly Entry[] } = {},
  ): number {
    const { channel = 0, entries = [put(`key-${of}`)], ...header } = fields
    return this.sessionBody(bodyOf(entries), { epoch: of, channel, entryCount: entries.length, ...header })
  }

  sessionBody(body: Buffer, { channel = 0, ...fields }: HeaderFields & { readonly channel?: number }): number {
    const producerSequence = ++this.#producerSequence
    const own = { kind: FrameKind.ENTRIES, firstMinor: BigInt(channel) << 56n, producerId: 5n, producerSequence }
    return this.append(channel, { ...own, ...fields }, body)
  }

  seal(of: bigint, fields: Partial<Seal> & { readonly channel?: number; readonly term?: Term } = {}): number {
    const { channel = 0, term, ...given } = fields
    const participants = 1n << BigInt(channel)
    const seal: Seal = { prev: of - 1n, participants, stored: 0n, durablePosition: 0, wallClockMs: 0, ...given }
    const of_ = term === undefined ? {} : { term: term.number, termTag: term.tag }
    return this.append(channel, { kind: FrameKind.SEAL, epoch: of, ...of_ }, encodeSeal(seal))
  }

  mark(fields: Partial<Mark> & HeaderFields & { readonly channel?: number } = {}): number {
    const { channel = 0, durablePosition = 0, stored = 0n, ...header } = fields
    return this.append(channel, { kind: FrameKind.MARK, ...header }, encodeMark({ durablePosition, stored }))
  }

  config(of: bigint, number = 1, channel = 0): number {
    const record = { masterId: this.manifest.nodeId, masterAddress: '127.0.0.1:7400' }
    const body = encodeConfig({ ...record, config: { ...EMPTY_CONFIG, number } })
    return this.append(channel, { kind: FrameKind.CONFIG, epoch: of }, body)
  }

  /** Writes one frame at the end of a channel, in the latest term unless said otherwise. @returns its position */
  append(channel: number, fields: HeaderFields, body: Buffer): number {
    const { history, clusterId: cluster } = this.manifest
    const term = history.at(-1)?.term
    const position = this.end(channel)
    const frame = encodeFrame(
      {
        kind: FrameKind.ENTRIES,
        flags: 0,
        entryCount: 0,
        termTag: term?.tag ?? 0,
        position,
        epoch: 0n,
        term: term?.number ?? 0n,
        firstMinor: 0n,
        producerId: 0n,
        producerSequence: 0,
        ...fields,
      },
      body,
      headerSeed(cluster, channelId(channel)),
    )
    writeBytes(this.directory, channel, position, frame)
    this.#ends[channel] = position + frame.length
    return position
  }
}

export const put = (key: string, value = 'value'): Entry => ({
  op: 'put',
  storage: 1n,
  key: Buffer.from(key),
  value: Buffer.from(value),
})

export function bodyOf(entries: readonly Entry[]): Buffer {
  const body = Buffer.alloc(entries.reduce((sum, entry) => sum + entryBytes(entry), 0))
  let at = 0
  for (const entry of entries) at = encodeEntry(body, at, entry)
  return body
}

export function mastership(term: Term, starts: readonly number[], first = 1n, base = 0n): Mastership {
  return { term, firstEpoch: epoch(first), baseEpoch: epoch(base), starts: starts.map(byteOffset) }
}

/** A term of some other node. */
export const foreignTerm = (number: bigint, tag = 99): Term => ({
  number: termNumber(number),
  nodeId: nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc'),
  tag,
})

export const otherCluster = clusterId('00000000-0000-4000-8000-000000000002')

/** File of a channel that holds a position, where all segments have SEGMENT_BYTES. */
export function segmentFile(directory: string, channel: number, position: number): string {
  const base = Math.floor(position / SEGMENT_BYTES) * SEGMENT_BYTES
  return join(channelDirectory(directory, channel), segmentName(base))
}

/** Writes bytes at a position of a channel, over the ends of segments. */
export function writeBytes(directory: string, channel: number, position: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) {
    const at = position + done
    const file = segmentFile(directory, channel, at)
    if (!existsSync(file))
      prepareSegment(new NodeDisk(), channelDirectory(directory, channel), {
        base: at - (at % SEGMENT_BYTES),
        bytes: SEGMENT_BYTES,
      })
    const room = SEGMENT_BYTES - (at % SEGMENT_BYTES)
    const part = bytes.subarray(done, done + room)
    const fd = openSync(file, 'r+')
    writeSync(fd, part, 0, part.length, at % SEGMENT_BYTES)
    closeSync(fd)
    done += part.length
  }
}

export function flipByte(directory: string, channel: number, position: number): void {
  const file = segmentFile(directory, channel, position)
  const fd = openSync(file, 'r+')
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, position % SEGMENT_BYTES)
  byte[0] = (byte[0] ?? 0) ^ 0x10
  writeSync(fd, byte, 0, 1, position % SEGMENT_BYTES)
  closeSync(fd)
}

/** Everything that a write would change: names, sizes, times, bytes. */
export function fingerprint(directory: string): Record<string, string> {
  const facts: Record<string, string> = {}
  const look = (path: string): void => {
    const { mtimeNs, ctimeNs, size } = statSync(path, { bigint: true })
    const isDirectory = statSync(path).isDirectory()
    const hash = isDirectory ? '' : createHash('sha256').update(readFileSync(path)).digest('hex')
    facts[relative(directory, path) || '.'] = `${mtimeNs} ${ctimeNs} ${size} ${hash}`
    if (isDirectory) for (const name of readdirSync(path)) look(join(path, name))
  }
  look(directory)
  return facts
}
