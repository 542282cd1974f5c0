/**
 * Who counts for PROPAGATED: a pure rule over what each row of the board has made durable.
 *
 * All members of the in-sync set count, and the set must have its least size; otherwise PROPAGATED waits. It never
 * degrades by itself: only a recorded change of the policy can make the set smaller (DESIGN 5).
 */
import { assert } from '../protocol/assert.ts'
import type { ClusterConfig } from '../protocol/cluster-config.ts'
import { REPLICA_COUNT_LIMIT } from '../protocol/limits.ts'

export interface Policy {
  /** Rows of the in-sync set, 1 to 15, ascending. Row 0, the local disk, always counts and is never named. */
  readonly inSync: readonly number[]
  /** Least size of the in-sync set. */
  readonly quorum: number
}

export const policyOf = ({ members, quorum }: ClusterConfig): Policy => ({
  inSync: members.filter((member) => member.inSync).map((member) => member.row),
  quorum,
})

/**
 * A policy as one small number, so that every thread reads it in one atomic step, and looks at it without making bigints
 * (it is looked at for each row, several times per flush): quorum in the low byte, then a bit per row.
 */
export function encodePolicy(policy: Policy): number {
  let word = policy.quorum
  for (const row of policy.inSync) {
    assert(row >= 1 && row <= REPLICA_COUNT_LIMIT, 'an in-sync row is a replica row', { row })
    word |= 1 << (8 + row)
  }
  return word
}

/** Does the policy word ask for any replica, and is the in-sync set large enough? */
export function policyIsSatisfiable(word: number): boolean {
  let members = 0
  for (let row = 1; row <= REPLICA_COUNT_LIMIT; row++) if (policyCounts(word, row)) members++
  return members > 0 && members >= (word & 0xff)
}

/** Does anything of what is written now ever get PROPAGATED, be it only once the set is large enough? */
export const policyAsksForAny = (word: number): boolean => word >>> 9 !== 0

export const policyCounts = (word: number, row: number): boolean => (word & (1 << (8 + row))) !== 0

/**
 * Highest layer durable on every counted row; -1 where the policy cannot be satisfied.
 *
 * @param durable highest durable layer per row; index 0 is the local disk and is not looked at
 */
export function propagatedLayer(word: number, durable: readonly bigint[]): bigint {
  if (!policyIsSatisfiable(word)) return -1n
  let lowest: bigint | undefined
  for (let row = 1; row < durable.length; row++) {
    if (!policyCounts(word, row)) continue
    const layer = durable[row]!
    if (lowest === undefined || layer < lowest) lowest = layer
  }
  return lowest ?? -1n
}
