/**
 * The manifest: the one small file that says which cluster, node, role, terms and policy a data directory belongs to.
 *
 * Replaced atomically (side file, flush, rename, directory flush); readers see the old or the new one, never a mixture.
 * Its last replacement at the start of a mastership *is* the cut of the log on all channels at once (DESIGN 4b, step 6).
 * It never authorises deleting data it does not know.
 */
import { type ClusterConfig, faultOfConfig } from '../protocol/cluster-config.ts'
import { TravertineError } from '../protocol/errors.ts'
import {
  byteOffset,
  type ClusterId,
  clusterId,
  epoch,
  type NodeId,
  nodeId,
  type Term,
  termNumber,
} from '../protocol/ids.ts'
import { CHANNEL_COUNT_LIMIT, REPLICA_COUNT_LIMIT, SEGMENT_BYTES_LIMIT, SEGMENT_BYTES_MIN } from '../protocol/limits.ts'
import { type Disk, joinPath, putInPlace, readWholeFile, replaceFile, writeSideFile } from './disk.ts'
import { RecordFields } from './record-fields.ts'
import { decodeSmallRecord, encodeSmallRecord, type SmallRecordKind } from './small-record.ts'
import type { Mastership, TermHistory } from './term-history.ts'

const MANIFEST_NAME = 'manifest'
const MANIFEST_VERSION = 1

export type Role = 'master' | 'replica'

export interface Manifest {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly role: Role
  readonly channels: number
  readonly segmentBytes: number
  /** Members, in-sync set and policy, as this node knows them. A newer CONFIG in its log goes before it (WAL-78). */
  readonly config: ClusterConfig
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

/** Durable beside the one that holds, which stays as it is. */
export function prepareManifest(disk: Disk, directory: string, manifest: Manifest): void {
  writeSideFile(disk, directory, MANIFEST_NAME, encodeManifest(manifest))
}

/** The one that was prepared last holds from now on. Where it throws, nobody can say which one a power loss would leave. */
export function replaceManifest(disk: Disk, directory: string): void {
  putInPlace(disk, directory, MANIFEST_NAME)
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
  const fields = new RecordFields(decodeSmallRecord(bytes, kind), kind)
  const channels = fields.count('channels', 1, CHANNEL_COUNT_LIMIT)
  return {
    clusterId: clusterId(fields.uuid('clusterId')),
    nodeId: nodeId(fields.uuid('nodeId')),
    role: fields.oneOf('role', ['master', 'replica']),
    channels,
    segmentBytes: fields.count('segmentBytes', SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT),
    config: readConfig(fields.child('config')),
    history: fields.list('history').map((m) => readMastership(m, channels)),
    fence: fields.has('fence') ? readTerm(fields.child('fence')) : undefined,
  }
}

/** Also in recovery points. */
export function readConfig(fields: RecordFields): ClusterConfig {
  const config: ClusterConfig = {
    number: fields.count('number', 0, Number.MAX_SAFE_INTEGER),
    loosened: fields.count('loosened', 0, Number.MAX_SAFE_INTEGER),
    formatLevel: fields.count('formatLevel', 1, 0xffff_ffff),
    quorum: fields.count('quorum', 0, REPLICA_COUNT_LIMIT),
    members: fields.list('members').map((m) => ({
      row: m.count('row', 1, REPLICA_COUNT_LIMIT),
      address: m.text('address'),
      inSync: m.flag('inSync'),
      via: m.count('via', 0, REPLICA_COUNT_LIMIT),
    })),
  }
  const fault = faultOfConfig(config)
  return fault === undefined ? config : fields.wrong('members', `a sound config, not ${fault}`)
}

function readMastership(fields: RecordFields, channels: number): Mastership {
  const starts = fields.counts('starts', channels)
  return {
    term: readTerm(fields.child('term')),
    firstEpoch: epoch(fields.u64('firstEpoch')),
    baseEpoch: epoch(fields.u64('baseEpoch')),
    starts: starts.map(byteOffset),
  }
}

function readTerm(fields: RecordFields): Term {
  return {
    number: termNumber(fields.u64('number')),
    nodeId: nodeId(fields.uuid('nodeId')),
    tag: fields.count('tag', 1, 0xffff_ffff),
  }
}
