/**
 * May this sender feed this node? A pure rule (REP-80, REP-81), beside that of terms (checkMasterTerm).
 *
 * One sender at a time. A higher term goes before a lower one, and the master itself before a feeder of the same term: a
 * member of its set must not be kept from it. Of two feeders the one that is there stays, so that they do not take a
 * replica from each other for ever.
 */
import { TravertineError } from '../../protocol/errors.ts'
import type { Term } from '../../protocol/ids.ts'
import { sameTerm } from '../../protocol/ids.ts'
import { CASCADE_DEPTH_LIMIT } from '../../protocol/limits.ts'

export interface Feeder {
  readonly nodeId: string
  /** Of the mastership whose log it sends. */
  readonly term: Term
  /** Replicas between the master and this node, the sender last; empty: the master itself. */
  readonly via: readonly string[]
}

/** @throws CASCADE_LOOP, FED_ALREADY */
export function checkFeeder(ownId: string, offered: Feeder, current: Feeder | undefined): void {
  if (offered.via.includes(ownId)) {
    throw loop(`this node among the replicas that the log comes through: ${offered.via.join(', ')}`)
  }
  if (offered.via.length >= CASCADE_DEPTH_LIMIT) {
    throw loop(`${offered.via.length} replicas between the master and this one, expected fewer`)
  }
  if (current === undefined || offered.via.length === 0 || offered.nodeId === current.nodeId) return
  if (!sameTerm(offered.term, current.term)) return // checkMasterTerm has shown that it is a higher one
  const by = current.via.length === 0 ? 'the master itself' : `node ${current.nodeId}`
  throw new TravertineError('FED_ALREADY', `Cannot follow node ${offered.nodeId}: found ${by} feeding this replica`, {
    hint: 'a replica is fed by one node; the other one waits in case that it goes away',
  })
}

function loop(found: string): TravertineError {
  return new TravertineError('CASCADE_LOOP', `Cannot follow a feeder: found ${found}`, {
    hint: 'look at cascade.replicas of these nodes: the way from the master to a replica must not lead in a circle',
  })
}
