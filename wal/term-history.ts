/**
 * The masterships that wrote a log, oldest first: which term a byte belongs to, and where two histories part.
 *
 * Pure. Invariants: numbers strictly ascend; the starts of one channel never descend; one mastership (number, node, tag)
 * has the same starts and epochs in every history that contains it.
 *
 * Example, one channel: [{term 1, start 0}, {term 2, start 500}]. Byte 499 was written in term 1, byte 500 in term 2. A
 * node that holds frames of term 1 at 500 and beyond holds surplus of a lost tail: they are not valid any more (WAL-40).
 *
 * A history may have forgotten its oldest masterships (WAL-48). A node forgets one only where its own log, without a gap,
 * reaches beyond it: then what stands below was written by those, and by nobody else.
 */
import { assert } from '../protocol/assert.ts'
import { TravertineError } from '../protocol/errors.ts'
import { type ByteOffset, type Epoch, sameTerm, type Term } from '../protocol/ids.ts'

export interface Mastership {
  readonly term: Term
  /** First epoch that this mastership may close: highest ever seen when it started, plus one. */
  readonly firstEpoch: Epoch
  /** Last whole epoch when it started: `prev` of its first seal. */
  readonly baseEpoch: Epoch
  /** Per channel the position of its first frame; everything of older terms beyond is cut. */
  readonly starts: readonly ByteOffset[]
}

export type TermHistory = readonly Mastership[]

/** The mastership that the byte at `position` of `channel` must belong to; undefined before the first. */
export function mastershipAt(history: TermHistory, channel: number, position: number): Mastership | undefined {
  for (let i = history.length - 1; i >= 0; i--) {
    const mastership = history[i]!
    if (startOf(mastership, channel) <= position) return mastership
  }
  return undefined
}

/** May a frame of this term stand at this position? */
export function termMayStandAt(
  history: TermHistory,
  frame: { readonly channel: number; readonly position: number; readonly term: bigint; readonly termTag: number },
): boolean {
  const term = mastershipAt(history, frame.channel, frame.position)?.term
  if (term === undefined) return isForgotten(history, frame.term)
  return term.number === frame.term && term.tag === frame.termTag
}

/** Below the first start of a history: may a frame of this term number have been written by what was forgotten? */
export function isForgotten(history: TermHistory, term: bigint | number): boolean {
  const oldest = history[0]
  return oldest !== undefined && term < oldest.term.number
}

/** Of an epoch that was known whole in the time of `term`: up to where that still holds, after the masterships behind it. */
export function wholeThrough(history: TermHistory, term: bigint, known: bigint): bigint {
  let least = known
  for (let i = history.length - 1; i >= 0 && history[i]!.term.number > term; i--) {
    const { baseEpoch } = history[i]!
    if (baseEpoch < least) least = baseEpoch
  }
  return least
}

/** Without its oldest masterships, where more than `limit` are there and the log reaches beyond them on all channels. */
export function forgetOldest(history: TermHistory, ends: readonly number[], limit: number): TermHistory {
  const kept = history.slice(-limit)
  const reached = kept[0]?.starts.every((start, channel) => start <= (ends[channel] ?? 0)) ?? true
  return reached ? kept : history
}

/** The youngest mastership that two histories share: its places in them. What is older in either is shared as well. */
export function lastShared(a: TermHistory, b: TermHistory): { readonly a: number; readonly b: number } | undefined {
  for (let i = a.length - 1, j = b.length - 1; i >= 0 && j >= 0; ) {
    const [one, other] = [a[i]!.term, b[j]!.term] // within both
    if (sameTerm(one, other)) return { a: i, b: j }
    if (one.number >= other.number) i--
    if (other.number >= one.number) j--
  }
  return undefined
}

/** What a node knows that follows a history: also what that history has forgotten and the node has not. */
export function joinHistories(own: TermHistory, adopted: TermHistory): TermHistory {
  const shared = lastShared(own, adopted)
  return shared === undefined ? adopted : [...own.slice(0, Math.max(0, shared.a - shared.b)), ...adopted]
}

function startOf(mastership: Mastership, channel: number): ByteOffset {
  const start = mastership.starts[channel]
  assert(start !== undefined, 'a mastership has a start per channel', { channel, starts: mastership.starts.length })
  return start
}

/** Up to where two histories hold the same bytes, per channel: below it a log of the one is a log of the other. */
export function commonEnds(a: TermHistory, b: TermHistory, channels: number): readonly number[] {
  const shared = lastShared(a, b)
  if (shared === undefined) return new Array<number>(channels).fill(0)
  for (let i = shared.a, j = shared.b; i >= 0 && j >= 0; i--, j--) checkSameStarts(a[i]!, b[j]!)
  return Array.from({ length: channels }, (_, channel) => {
    const next = [a[shared.a + 1], b[shared.b + 1]].filter((m) => m !== undefined)
    return Math.min(Number.MAX_SAFE_INTEGER, ...next.map((m) => startOf(m, channel)))
  })
}

/** The last epoch that two histories share: a log of the one that is cut at `commonEnds` holds nothing of a later one. */
export function commonEpoch(a: TermHistory, b: TermHistory): bigint {
  const shared = lastShared(a, b)
  if (shared === undefined) return 0n
  const next = [a[shared.a + 1], b[shared.b + 1]].filter((m) => m !== undefined)
  return next.reduce((least, { baseEpoch }) => (baseEpoch < least ? baseEpoch : least), (1n << 64n) - 1n)
}

/** One of the histories comes from a peer: its disagreement is a condition of the world. */
function checkSameStarts(a: Mastership, b: Mastership): void {
  if (
    sameTerm(a.term, b.term) &&
    a.starts.length === b.starts.length &&
    a.starts.every((start, i) => start === b.starts[i])
  )
    return
  throw new TravertineError(
    'HISTORY_DIVERGED',
    `Cannot compare histories: found term ${a.term.number} with two sets of start positions`,
    {
      hint: 'one of the two nodes is broken or was restored from a foreign copy; replace it by a new replica',
    },
  )
}

/** Checks a history that came from a peer, before anything is done with it. @throws HISTORY_DIVERGED */
export function checkHistory(history: TermHistory, channels: number): void {
  let number = 0n
  let starts: readonly number[] = new Array<number>(channels).fill(0)
  for (const mastership of history) {
    const good =
      mastership.starts.length === channels &&
      mastership.term.number > number &&
      mastership.starts.every((start, i) => start >= starts[i]!)
    if (!good) {
      throw new TravertineError(
        'HISTORY_DIVERGED',
        `Cannot follow a history: found term ${mastership.term.number} out of order or with ${mastership.starts.length} starts, expected ${channels}`,
      )
    }
    number = mastership.term.number
    starts = mastership.starts
  }
}

export function latestTerm(history: TermHistory): Term | undefined {
  return history.at(-1)?.term
}

/** The terms that a node has written in, followed or promised. */
export interface KnownTerms {
  readonly history: TermHistory
  /** Highest term promised. */
  readonly fence: Term | undefined
}

/**
 * May a master of this term lead a node that knows these terms? Returns the term.
 *
 * @throws TERM_STALE if the node has promised a higher term, TERM_CONFLICT if it knows another term of the same number,
 *   HISTORY_DIVERGED if the master has no term at all
 */
export function checkMasterTerm(known: KnownTerms, offered: Term | undefined): Term {
  if (offered === undefined) {
    throw new TravertineError('HISTORY_DIVERGED', 'Cannot follow a master: found an empty term history', {
      hint: 'a master has at least its own term; the sender is broken',
    })
  }
  for (const term of [known.fence, latestTerm(known.history)]) {
    if (term === undefined || sameTerm(term, offered) || offered.number > term.number) continue
    if (offered.number === term.number) {
      throw new TravertineError(
        'TERM_CONFLICT',
        `Cannot follow term ${offered.number} of node ${offered.nodeId}: found another term of the same number, of node ${term.nodeId}`,
        { hint: 'two nodes have started as master at the same time; stop the wrong one' },
      )
    }
    throw new TravertineError(
      'TERM_STALE',
      `Cannot follow term ${offered.number}: found term ${term.number} promised already`,
      {
        hint: 'the sender was master once, or feeds the log of one that was; it has to follow the newer one',
      },
    )
  }
  return offered
}
