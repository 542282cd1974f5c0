/** What `status` says of a node: plain data, the same in the CLI's JSON and on the control channel. */
import { type Board, NONE, UNKNOWN } from '../wal/board.ts'
import type { Manifest, Role } from '../wal/manifest.ts'
import type { Core } from './core/events.ts'
import { MasterCore } from './core/master-core.ts'
import { ReplicaCore } from './core/replica-core.ts'
import type { StatSlots } from './metrics/stat-slots.ts'

export interface ReplicaStatus {
  readonly row: number
  readonly address: string
  /** Counts for PROPAGATED. */
  readonly inSync: boolean
  readonly state: string
  /** STORED epochs that it is not known to hold; undefined while it is not connected, and where a replica feeds it. */
  readonly lagEpochs: number | undefined
  /** Bytes that are durable on this node and not known to be durable there, all channels together; undefined before it has streamed. */
  readonly lagBytes: number | undefined
  /** Why it is not streaming. */
  readonly error: string | undefined
}

export interface NodeStatus {
  readonly role: Role
  readonly nodeId: string
  readonly clusterId: string
  readonly channels: number
  readonly term: bigint
  /** Watermarks, in this order: propagated <= stored <= closed < open. */
  readonly open: bigint
  readonly closed: bigint
  readonly stored: bigint
  readonly propagated: bigint
  /** On a replica: last epoch held whole, and whom it follows. */
  readonly whole: bigint
  readonly masterAddress: string
  readonly following: boolean
  /** Node ids of the replicas through which a replica gets the log, from the master's side; empty: from the master. */
  readonly via: readonly string[]
  readonly clients: number
  readonly readers: number
  readonly controlConnections: number
  /** The members of a master; the replicas that a replica feeds. */
  readonly replicas: readonly ReplicaStatus[]
  /** Number of the cluster config, its least in-sync set, and how often it was loosened. */
  readonly configNumber: number
  readonly quorum: number
  readonly loosened: number
  readonly diskLow: boolean
}

export interface NodeParts {
  readonly manifest: Manifest
  /** Only on a master. */
  readonly board: Board | undefined
  /** What the channels tell of themselves. */
  readonly stats: readonly StatSlots[]
  /** Undefined until the node listens. */
  readonly core: Core | undefined
  readonly whole: bigint
  readonly controlConnections: number
  readonly diskLow: boolean
}

export function describeNode(parts: NodeParts): NodeStatus {
  const { manifest, board, core, stats, whole, controlConnections, diskLow } = parts
  const open = board?.open() ?? 0n
  const replica = core instanceof ReplicaCore ? core : undefined
  const master = core instanceof MasterCore ? core : undefined
  const config = master?.config ?? manifest.config
  return {
    role: manifest.role,
    nodeId: manifest.nodeId,
    clusterId: manifest.clusterId,
    channels: manifest.channels,
    term: manifest.history.at(-1)?.term.number ?? 0n,
    open,
    closed: board?.shownEpoch(open - 1n) ?? 0n,
    stored: board?.shownEpoch(board.stored()) ?? 0n,
    propagated: board?.shownEpoch(board.propagated()) ?? replica?.groupCommit ?? 0n,
    whole,
    masterAddress: replica?.masterAddress ?? '',
    following: replica?.isFollowing ?? false,
    via: replica?.via ?? [],
    clients: master?.clientCount ?? 0,
    controlConnections,
    readers: master?.readerCount ?? replica?.readerCount ?? 0,
    replicas:
      (master ?? replica)?.replicas().map((r) => ({
        row: r.member.row,
        address: r.member.address,
        inSync: r.member.inSync,
        lagEpochs: board === undefined ? undefined : lagOf(board, r.member.row),
        lagBytes: r.hasStreamed ? bytesBehind(stats, r.member.row) : undefined,
        state: r.state,
        error: r.lastError?.describe(),
      })) ?? [],
    configNumber: config.number,
    quorum: config.quorum,
    loosened: config.loosened,
    diskLow,
  }
}

/** By the cells of its row: whatever of a channel is not durable there begins at the layer in its cell. */
function lagOf(board: Board, row: number): number | undefined {
  const stored = board.stored() // before the cells: a row that moves on meanwhile is shown closer, never further away
  let first = NONE
  for (let channel = 0; channel < board.shape.channels; channel++) {
    const cell = board.cell(row, channel)
    if (cell === UNKNOWN) return undefined
    if (cell < first) first = cell
  }
  return first > stored ? 0 : Number(stored - first) + 1
}

/** While it is away: as known last. */
const bytesBehind = (stats: readonly StatSlots[], row: number): number =>
  stats.reduce((sum, one) => sum + Math.max(0, one.get('durablePosition') - one.row(row, 'durablePosition')), 0)
