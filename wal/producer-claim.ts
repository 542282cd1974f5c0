/**
 * What a node answers to a producer that opens a log connection: a pure rule over what the client says and what the
 * channel's log says (REP-61 to REP-64).
 *
 * The danger is to call a session missing that stands in the log: it would be written twice. So where the table does not
 * reach back far enough the answer is PRODUCER_EXPIRED, at the price of refusing some that were never here.
 */
import type { WireRange } from '../protocol/control-message.ts'
import { type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import type { ProducerEntry } from './producer-table.ts'

/** What `log_open` says of a producer. */
export interface ProducerClaim {
  /** No sequence above it was ever handed to a socket. */
  readonly sent: number
  /** Every session up to it is answered. */
  readonly answered: number
  /** From the last answer to this producer; 0: there was none. */
  readonly since: bigint
}

export interface ClaimAnswer {
  readonly sequence: number
  readonly missing: readonly WireRange[]
  readonly since: bigint
}

/** The table and the board of the channel, as far as they matter here. */
export interface ClaimGround {
  /** Undefined: the producer is not in the table. */
  readonly entry: ProducerEntry | undefined
  readonly evictedEpoch: number
  readonly closedEpoch: bigint
  readonly where: ErrorPlace
}

/** @throws PRODUCER_SEQUENCE, PRODUCER_EXPIRED */
export function judgeClaim({ sent, answered, since }: ProducerClaim, ground: ClaimGround): ClaimAnswer {
  const { entry, evictedEpoch, closedEpoch, where } = ground
  const sequence = entry?.last ?? 0
  if (answered > sent || sequence > sent) {
    throw new TravertineError(
      'PRODUCER_SEQUENCE',
      `Cannot open a log connection: found session ${Math.max(answered, sequence)} of this producer, expected none above ${sent}`,
      { where, hint: 'a producer belongs to one client, which chooses its id at random' },
    )
  }
  const isForgotten = entry === undefined ? sent > 0 && BigInt(evictedEpoch) > since : entry.judgedFrom > answered + 1
  if (isForgotten) {
    throw new TravertineError(
      'PRODUCER_EXPIRED',
      `Cannot tell what became of sessions ${answered + 1} to ${sent}: found a memory that reaches back to ${
        entry === undefined ? `epoch ${evictedEpoch}` : `session ${entry.judgedFrom}`
      }, expected more`,
      { where, hint: 'read what is there before you write it again; go on under a new producer' },
    )
  }
  return {
    sequence,
    missing: entry === undefined ? [] : missingAbove(entry.missing, answered),
    since: sent > 0 && since < closedEpoch ? since : closedEpoch,
  }
}

function missingAbove(pairs: readonly number[], answered: number): WireRange[] {
  const ranges: WireRange[] = []
  for (let i = 0; i < pairs.length; i += 2) {
    const to = pairs[i + 1]! // pairs
    if (to > answered) ranges.push([Math.max(pairs[i]!, answered + 1), to])
  }
  return ranges
}
