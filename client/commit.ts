/**
 * What a writer is told about a session, and at which level.
 */
import type { Epoch, Term } from '../protocol/ids.ts'

/** STORED: durable on the master. PROPAGATED: durable on the replicas that the policy asks for, too. */
export type Level = 'stored' | 'propagated'

/** Where a session stands in history. A receipt names (term, epoch), never an epoch alone. */
export interface Commit {
  readonly term: Term
  readonly epoch: Epoch
  /** Number of the session among those of its channel object: 1, 2, 3, ... */
  readonly sequence: number
}
