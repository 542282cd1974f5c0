/** What `status` says of a node: plain data, the same in the CLI's JSON and on the control channel. */
import type { Role } from '../wal/manifest.ts'

export interface ReplicaStatus {
  readonly address: string
  readonly state: string
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
  readonly clients: number
  readonly replicas: readonly ReplicaStatus[]
  readonly diskLow: boolean
}
