/** `initNode`: makes a data directory for a master or a replica. The only way to get one; `startNode` never creates. */
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type ClusterConfig, EMPTY_CONFIG } from '../protocol/cluster-config.ts'
import { TravertineError } from '../protocol/errors.ts'
import { clusterId, isUuid, nodeId } from '../protocol/ids.ts'
import {
  CHANNEL_COUNT_LIMIT,
  REPLICA_COUNT_LIMIT,
  SEGMENT_BYTES_DEFAULT,
  SEGMENT_BYTES_LIMIT,
  SEGMENT_BYTES_MIN,
} from '../protocol/limits.ts'
import { initDirectory } from '../wal/init-directory.ts'
import type { Manifest, Role } from '../wal/manifest.ts'
import { NodeDisk } from '../wal/node-disk.ts'
import { splitAddress } from './io/control-connections.ts'

export interface InitOptions {
  readonly directory: string
  readonly role: Role
  /** UUID of the cluster; a master without one founds a new cluster, a replica must be told. */
  readonly clusterId?: string
  readonly channels?: number
  readonly segmentBytes?: number
  /** Control addresses (host:port) of the master's replicas. All of them count for PROPAGATED. */
  readonly replicas?: readonly string[]
}

/** @throws CONFIG_INVALID, DIRECTORY_NOT_EMPTY, DIRECTORY_READ_ONLY, DISK_FULL */
export function initNode(options: InitOptions): Manifest {
  const { role } = options
  const replicas = options.replicas ?? []
  const channels = options.channels ?? 1
  const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES_DEFAULT
  check(
    Number.isInteger(channels) && channels >= 1 && channels <= CHANNEL_COUNT_LIMIT,
    'channels',
    channels,
    `1 to ${CHANNEL_COUNT_LIMIT}`,
  )
  check(
    Number.isInteger(segmentBytes) && segmentBytes >= SEGMENT_BYTES_MIN && segmentBytes <= SEGMENT_BYTES_LIMIT,
    'segmentBytes',
    segmentBytes,
    `${SEGMENT_BYTES_MIN} to ${SEGMENT_BYTES_LIMIT}`,
  )
  check(replicas.length <= REPLICA_COUNT_LIMIT, 'replicas', replicas.length, `at most ${REPLICA_COUNT_LIMIT}`)
  check(new Set(replicas).size === replicas.length, 'replicas', replicas.join(','), 'each address once')
  check(
    role === 'master' || replicas.length === 0,
    'replicas',
    replicas.length,
    'none on a replica: its master knows the members',
  )
  check(
    role === 'master' || options.clusterId !== undefined,
    'clusterId',
    'nothing',
    'the cluster id that `init` of the master has printed',
  )
  check(
    options.clusterId === undefined || isUuid(options.clusterId),
    'clusterId',
    options.clusterId,
    'a UUID in lower case',
  )
  for (const address of replicas) splitAddress(address)
  const manifest: Manifest = {
    clusterId: clusterId(options.clusterId ?? randomUUID()),
    nodeId: nodeId(randomUUID()),
    role,
    channels,
    segmentBytes,
    config: role === 'master' ? firstConfig(replicas) : EMPTY_CONFIG,
    history: [],
    fence: undefined,
  }
  const directory = resolve(options.directory)
  makeParents(directory)
  initDirectory(new NodeDisk(), directory, manifest)
  return manifest
}

/** All replicas count for PROPAGATED, and none may be missing. */
function firstConfig(replicas: readonly string[]): ClusterConfig {
  const members = replicas.map((address, i) => ({ row: i + 1, address, inSync: true, via: 0 }))
  return { ...EMPTY_CONFIG, number: 1, quorum: replicas.length, members }
}

function makeParents(directory: string): void {
  try {
    mkdirSync(dirname(directory), { recursive: true })
  } catch (cause) {
    throw new TravertineError(
      'DIRECTORY_READ_ONLY',
      `Cannot create a data directory: ${dirname(directory)} cannot be made`,
      { where: { file: directory }, cause },
    )
  }
}

function check(good: boolean, key: string, found: unknown, expected: string): void {
  if (good) return
  throw new TravertineError(
    'CONFIG_INVALID',
    `Cannot create a data directory: found ${key} ${String(found)}, expected ${expected}`,
    { where: { key } },
  )
}
