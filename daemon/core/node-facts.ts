/** What a core knows about its own node from the start and never changes while it runs. */

import type { Message } from '../../protocol/control-message.ts'
import { TravertineError } from '../../protocol/errors.ts'
import type { ClusterId, NodeId, Term } from '../../protocol/ids.ts'

export interface NodeFacts {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly channels: number
  readonly logPorts: readonly number[]
  /** host:port of this node's control channel, as told to others. */
  readonly address: string
}

export interface MasterFacts extends NodeFacts {
  readonly term: Term
}

/** @throws CLUSTER_MISMATCH. An empty id is a client that does not mind. */
export function checkCluster(facts: NodeFacts, found: string): void {
  if (found === facts.clusterId || found === '') return
  throw new TravertineError(
    'CLUSTER_MISMATCH',
    `Cannot begin a session: found cluster ${found}, expected ${facts.clusterId}`,
    {
      hint: 'the address belongs to a node of another cluster',
    },
  )
}

/** @throws CHANNEL_COUNT_MISMATCH */
export function checkChannels(facts: NodeFacts, found: number): void {
  if (found === facts.channels) return
  throw new TravertineError(
    'CHANNEL_COUNT_MISMATCH',
    `Cannot begin a session: found ${found} channels, expected ${facts.channels}`,
    {
      hint: "the channel count is fixed at init; make the replica anew with the master's count",
    },
  )
}

export function unexpected(message: Message, state: string): TravertineError {
  return new TravertineError('MESSAGE_UNEXPECTED', `Cannot handle a message: found ${message.type} ${state}`, {
    hint: 'the peer speaks another protocol, or is broken',
  })
}
