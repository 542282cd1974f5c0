/**
 * The recovery rule, written once more and as plainly as it is stated, to judge the board by. It shares nothing with
 * wal/whole-epoch.ts; judge.ts compares the two on every state.
 *
 * An epoch is whole if the epoch its `prev` names is whole and every channel named in any of its surviving seals holds
 * its seal. The base is whole. (DESIGN 4b)
 */
export interface SurvivingSeal {
  readonly channel: number
  readonly epoch: bigint
  readonly prev: bigint
  readonly participants: bigint
}

/** @returns the last whole epoch; the base if there is none */
export type RecoveryRule = (seals: readonly SurvivingSeal[], base: bigint) => bigint

export const recoveryRule: RecoveryRule = (seals, base) => {
  const isWhole = (epoch: bigint): boolean => {
    if (epoch === base) return true
    const own = seals.filter((seal) => seal.epoch === epoch)
    return (
      own.length > 0 && own.every((seal) => namedChannelsHold(seal, own)) && own.every((seal) => isWhole(seal.prev))
    )
  }
  return latest(seals.map((seal) => seal.epoch).filter(isWhole), base)
}

/** A planted defect: each epoch is judged alone, so one that vanished without a trace is not missed. */
export const recoveryRuleWithoutPrev: RecoveryRule = (seals, base) => {
  const isWhole = (epoch: bigint): boolean => {
    const own = seals.filter((seal) => seal.epoch === epoch)
    return own.every((seal) => namedChannelsHold(seal, own))
  }
  let last = base
  for (const epoch of [...new Set(seals.map((seal) => seal.epoch))].sort((a, b) => (a < b ? -1 : 1))) {
    if (!isWhole(epoch)) break
    last = epoch
  }
  return last
}

function namedChannelsHold(seal: SurvivingSeal, own: readonly SurvivingSeal[]): boolean {
  for (let channel = 0; seal.participants >> BigInt(channel) !== 0n; channel++) {
    const named = (seal.participants & (1n << BigInt(channel))) !== 0n
    if (named && !own.some((other) => other.channel === channel)) return false
  }
  return true
}

function latest(epochs: readonly bigint[], base: bigint): bigint {
  return epochs.reduce((last, epoch) => (epoch > last ? epoch : last), base)
}
