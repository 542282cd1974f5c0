/** What a client knows of the master that it is connected to. */
import { type ClusterId, clusterId, type Epoch, epoch, type NodeId, nodeId, type Term } from '../protocol/ids.ts'
import { formatAddress } from './address.ts'
import type { FoundMaster } from './find-master.ts'
import { asTerm } from './term.ts'

/** What the node has said when the connection was made. */
export interface ClientInfo {
  /** host:port of the master's control channel. */
  readonly address: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly term: Term
  /** Number of log channels of the cluster. */
  readonly channels: number
  /** Replicas that PROPAGATED asks for; 0: that level cannot be reached. */
  readonly replicas: number
  readonly protocolVersion: number
  /** Watermarks at that time. */
  readonly storedEpoch: Epoch
  readonly propagatedEpoch: Epoch
}

export function infoOf({ address, hello }: FoundMaster): ClientInfo {
  return {
    address: formatAddress(address),
    clusterId: clusterId(hello.clusterId),
    nodeId: nodeId(hello.nodeId),
    term: asTerm(hello.term),
    channels: hello.channels,
    replicas: hello.replicas,
    protocolVersion: hello.version,
    storedEpoch: epoch(hello.stored),
    propagatedEpoch: epoch(hello.propagated),
  }
}
