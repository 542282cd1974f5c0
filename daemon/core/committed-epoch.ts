/**
 * Up to which epoch readers may be shown data: a pure rule (REP-18).
 *
 * PROPAGATED, or STORED where no replica is asked for. A master that has just started does not know what of its log is
 * PROPAGATED before the replicas have told it: then there is no such epoch yet, and what it showed in the term before is
 * no substitute, since it may start from a log that is behind.
 */
import type { Watermarks } from './client-sessions.ts'

export interface CommittedOptions {
  readonly watermarks: Watermarks
  /** Replicas that PROPAGATED asks for. */
  readonly replicas: number
  /** Last whole epoch when the mastership started: PROPAGATED below it is not known. */
  readonly baseEpoch: bigint
}

/** undefined: not known yet. */
export function committedEpoch({ watermarks, replicas, baseEpoch }: CommittedOptions): bigint | undefined {
  const { stored, propagated } = watermarks
  const epoch = replicas === 0 || stored < propagated ? stored : propagated
  return epoch >= baseEpoch ? epoch : undefined
}
