/** Which core a node begins with: that of a master if it has just begun a mastership, else that of a replica. */
import type { Term } from '../../protocol/ids.ts'
import type { Manifest } from '../../wal/manifest.ts'
import type { Core } from './events.ts'
import { MasterCore } from './master-core.ts'
import type { NodeFacts } from './node-facts.ts'
import { ReplicaCore } from './replica-core.ts'

export interface CoreOptions extends Pick<NodeFacts, 'logPorts' | 'address'> {
  readonly manifest: Manifest
  /** Of the mastership that begins here; undefined for a replica. */
  readonly term: Term | undefined
  /** Per channel: where its log ends. */
  readonly ends: readonly number[]
  /** Addresses of the replicas that a replica feeds. */
  readonly cascade: readonly string[]
}

export function createCore({ manifest, term, ends, cascade, logPorts, address }: CoreOptions): Core {
  const { clusterId, nodeId, channels, history, config } = manifest
  const facts = { clusterId, nodeId, channels, logPorts, address }
  if (term === undefined) return new ReplicaCore(facts, manifest, cascade)
  return new MasterCore({ facts: { ...facts, term }, history, config, ends })
}
