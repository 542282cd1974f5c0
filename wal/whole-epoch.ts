/**
 * Which epochs of a log are whole: a pure rule over the seals that were found (WAL-44).
 *
 * An epoch is whole if the epoch its `prev` names is whole and every channel named in any of its seals holds its seal.
 * The chain is anchored at an epoch that is known to be whole. Seals are identified by (term, epoch).
 */
import { CHANNEL_COUNT_LIMIT } from '../protocol/limits.ts'

export interface FoundSeal {
  readonly channel: number
  readonly epoch: bigint
  readonly term: bigint
  readonly prev: bigint
  readonly participants: bigint
}

export interface WholeOptions {
  /** An epoch known to be whole: base of the term history, or STORED of a recovery point. */
  readonly anchor: bigint
  /** Per channel the last epoch sealed below the place where its scan began: those seals are held, though not found. */
  readonly heldThrough: readonly bigint[]
  readonly seals: readonly FoundSeal[]
}

export interface WholeResult {
  readonly lastWhole: bigint
  /** Why the next epoch is not whole: the channels whose seal is missing. Undefined if there is no next epoch. */
  readonly missing: { readonly epoch: bigint; readonly channels: readonly number[] } | undefined
}

export function lastWholeEpoch(options: WholeOptions): WholeResult {
  const byPrev = new Map<bigint, FoundSeal[]>()
  for (const seal of options.seals) {
    const group = byPrev.get(seal.prev)
    if (group === undefined) byPrev.set(seal.prev, [seal])
    else group.push(seal)
  }
  let lastWhole = options.anchor
  for (;;) {
    const group = byPrev.get(lastWhole)
    if (group === undefined) return { lastWhole, missing: undefined }
    const { epoch, term } = group[0]! // groups are not empty
    const missing = missingChannels(
      group.filter((s) => s.epoch === epoch && s.term === term),
      epoch,
      options.heldThrough,
    )
    if (missing.length > 0) return { lastWhole, missing: { epoch, channels: missing } }
    lastWhole = epoch
  }
}

function missingChannels(seals: readonly FoundSeal[], epoch: bigint, heldThrough: readonly bigint[]): number[] {
  let named = 0n
  let held = 0n
  for (const seal of seals) {
    named |= seal.participants
    held |= 1n << BigInt(seal.channel)
  }
  const missing: number[] = []
  if ((named & ~held) === 0n) return missing // nearly always; the loop makes a big number for each channel there may be
  for (let channel = 0; channel < CHANNEL_COUNT_LIMIT; channel++) {
    const bit = 1n << BigInt(channel)
    if ((named & ~held & bit) !== 0n && epoch > (heldThrough[channel] ?? 0n)) missing.push(channel)
  }
  return missing
}
