/**
 * The manifest: the one small file that says which cluster, node, role, terms and policy a data directory belongs to.
 *
 * Replaced atomically (side file, flush, rename, directory flush); readers see the old or the new one, never a mixture.
 * Its last replacement at the start of a mastership *is* the cut of the log on all channels at once (DESIGN 4b, step 6).
 * It never authorises deleting data it does not know.
 */
import { TravertineError } from '../protocol/errors.ts'
import {
  byteOffset,
  type ClusterId,
  clusterId,
  epoch,
  isUuid,
  type NodeId,
  nodeId,
  type Term,
  termNumber,
} from '../protocol/ids.ts'
import { CHANNEL_COUNT_LIMIT, REPLICA_COUNT_LIMIT, SEGMENT_BYTES_LIMIT, SEGMENT_BYTES_MIN } from '../protocol/limits.ts'
import { type Disk, joinPath, readWholeFile, replaceFile } from './disk.ts'
import { decodeSmallRecord, encodeSmallRecord, type SmallRecordKind } from './small-record.ts'
import type { Mastership, TermHistory } from './term-history.ts'

const MANIFEST_NAME = 'manifest'
const MANIFEST_VERSION = 1

export type Role = 'master' | 'replica'

/** A replica that the master streams to, and its row on the board. */
export interface Member {
  readonly row: number
  /** host:port of its control channel. */
  readonly address: string
}

export interface Manifest {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly role: Role
  readonly channels: number
  readonly segmentBytes: number
  /** All members count for PROPAGATED, and there must be at least `quorum` of them. */
  readonly members: readonly Member[]
  readonly quorum: number
  readonly history: TermHistory
  /** Highest term this node has promised: lower ones are refused, even if it never wrote in it. */
  readonly fence: Term | undefined
}

export function encodeManifest(manifest: Manifest): Buffer {
  return encodeSmallRecord('manifest', MANIFEST_VERSION, manifest)
}

export function writeManifest(disk: Disk, directory: string, manifest: Manifest): void {
  replaceFile(disk, directory, MANIFEST_NAME, encodeManifest(manifest))
}

/** @throws DIRECTORY_MISSING, DIRECTORY_NOT_INITIALISED, FORMAT_UNSUPPORTED, MANIFEST_CORRUPT */
export function readManifest(disk: Disk, directory: string): Manifest {
  if (!disk.exists(directory)) {
    throw new TravertineError('DIRECTORY_MISSING', `Cannot open data directory ${directory}: it does not exist`, {
      where: { file: directory },
      hint: 'create it with `travertine init`',
    })
  }
  const file = joinPath(directory, MANIFEST_NAME)
  if (!disk.exists(file)) {
    throw new TravertineError(
      'DIRECTORY_NOT_INITIALISED',
      `Cannot open data directory ${directory}: it has no manifest`,
      {
        where: { file: directory },
        hint: 'create a data directory with `travertine init`; `run` never creates one',
      },
    )
  }
  return decodeManifest(readWholeFile(disk, file), file)
}

export function decodeManifest(bytes: Buffer, file: string): Manifest {
  const kind: SmallRecordKind = {
    kind: 'manifest',
    version: MANIFEST_VERSION,
    file,
    corrupt: 'MANIFEST_CORRUPT',
    hint: 'restore the manifest from a copy, or replace this node by a new replica',
  }
  const fields = new Fields(decodeSmallRecord(bytes, kind), kind)
  const channels = fields.count('channels', 1, CHANNEL_COUNT_LIMIT)
  return {
    clusterId: clusterId(fields.uuid('clusterId')),
    nodeId: nodeId(fields.uuid('nodeId')),
    role: fields.oneOf('role', ['master', 'replica']),
    channels,
    segmentBytes: fields.count('segmentBytes', SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT),
    members: fields
      .list('members')
      .map((m) => ({ row: m.count('row', 1, REPLICA_COUNT_LIMIT), address: m.text('address') })),
    quorum: fields.count('quorum', 0, REPLICA_COUNT_LIMIT),
    history: fields.list('history').map((m) => readMastership(m, channels)),
    fence: fields.has('fence') ? readTerm(fields.child('fence')) : undefined,
  }
}

function readMastership(fields: Fields, channels: number): Mastership {
  const starts = fields.counts('starts', channels)
  return {
    term: readTerm(fields.child('term')),
    firstEpoch: epoch(fields.u64('firstEpoch')),
    baseEpoch: epoch(fields.u64('baseEpoch')),
    starts: starts.map(byteOffset),
  }
}

function readTerm(fields: Fields): Term {
  return {
    number: termNumber(fields.u64('number')),
    nodeId: nodeId(fields.uuid('nodeId')),
    tag: fields.count('tag', 1, 0xffff_ffff),
  }
}

/** Reads typed fields of a record whose CRC is right: a wrong field is a broken program's, and still no crash of ours. */
class Fields {
  readonly #value: Readonly<Record<string, unknown>>
  readonly #kind: SmallRecordKind

  constructor(value: Readonly<Record<string, unknown>>, kind: SmallRecordKind) {
    this.#value = value
    this.#kind = kind
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined && this.#value[name] !== null
  }

  uuid(name: string): string {
    const value = this.text(name)
    return isUuid(value) ? value : this.#wrong(name, 'a UUID')
  }

  text(name: string): string {
    const value = this.#value[name]
    return typeof value === 'string' && value.length > 0 ? value : this.#wrong(name, 'a text')
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.text(name)
    return allowed.find((one) => one === value) ?? this.#wrong(name, `one of ${allowed.join(', ')}`)
  }

  count(name: string, min: number, max: number): number {
    const value = this.#value[name]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    return this.#wrong(name, `a whole number from ${min} to ${max}`)
  }

  u64(name: string): bigint {
    const value = this.#value[name]
    if (typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) < 1n << 64n) return BigInt(value)
    return this.#wrong(name, 'a u64 as decimal text')
  }

  counts(name: string, length: number): number[] {
    const value = this.#value[name]
    const good =
      Array.isArray(value) && value.length === length && value.every((v) => Number.isSafeInteger(v) && v >= 0)
    return good ? value : this.#wrong(name, `${length} positions`)
  }

  child(name: string): Fields {
    const value = this.#value[name]
    if (typeof value !== 'object' || value === null) return this.#wrong(name, 'an object')
    return new Fields(value as Record<string, unknown>, this.#kind) // an object, just checked
  }

  list(name: string): Fields[] {
    const value = this.#value[name]
    if (!Array.isArray(value)) return this.#wrong(name, 'a list')
    return value.map((_, i) => new Fields({ ...value }, this.#kind).child(String(i)))
  }

  #wrong(name: string, expected: string): never {
    throw new TravertineError(
      this.#kind.corrupt,
      `Cannot read the ${this.#kind.kind}: found ${JSON.stringify(this.#value[name]) ?? 'nothing'} as ${name}, expected ${expected}`,
      { where: { file: this.#kind.file, key: name }, hint: this.#kind.hint },
    )
  }
}
