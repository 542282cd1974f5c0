/**
 * From one config of the cluster to the next, as an operator wants it: pure rules.
 *
 * A member that stays keeps its row on the board; a new one gets the lowest row that nobody uses, not even a member that has
 * just been removed and whose session has not let go of it (DESIGN 4, "row up"). Numbers count one by one (WAL-39).
 */
import { type ClusterConfig, faultOfConfig, type Member } from '../protocol/cluster-config.ts'
import { TravertineError } from '../protocol/errors.ts'
import { REPLICA_COUNT_LIMIT } from '../protocol/limits.ts'

export interface WantedConfig {
  readonly quorum: number
  readonly members: readonly Pick<Member, 'address' | 'inSync'>[]
}

/** Does PROPAGATED promise less under `to`? It does where a member counts no more, or where fewer of them are enough. */
const loosens = (from: ClusterConfig, to: WantedConfig): boolean =>
  to.quorum < from.quorum || uncounted(from, to).length > 0

/** Addresses of the members that count under `from` and not under `to`. */
export function uncounted(from: ClusterConfig, to: WantedConfig): string[] {
  const counted = new Set(to.members.filter(({ inSync }) => inSync).map(({ address }) => address))
  return from.members.filter(({ inSync, address }) => inSync && !counted.has(address)).map(({ address }) => address)
}

/**
 * The config that follows `config`; `config` itself where nothing changes.
 *
 * @param usedRows rows that are not free, besides those of the members
 * @throws CONFIG_INVALID for a config that is none, CONFIG_CONFLICT where no row is free
 */
export function nextConfig(config: ClusterConfig, wanted: WantedConfig, usedRows: readonly number[]): ClusterConfig {
  const { members: before, number, loosened } = config
  const used = new Set([...usedRows, ...before.map(({ row }) => row)])
  const members = wanted.members
    .map(({ address, inSync }): Member => {
      const known = before.find((member) => member.address === address)
      if (known !== undefined) return { ...known, inSync }
      const row = freeRow(used)
      used.add(row)
      return { row, address, inSync, via: 0 }
    })
    .sort((a, b) => a.row - b.row)
  const next = {
    ...config,
    number: number + 1,
    loosened: loosens(config, wanted) ? loosened + 1 : loosened,
    quorum: wanted.quorum,
    members,
  }
  const fault = faultOfConfig(next)
  if (fault !== undefined) {
    throw new TravertineError('CONFIG_INVALID', `Cannot change the config of the cluster: found ${fault}`)
  }
  return isSame(config, next) ? config : next
}

function isSame(a: ClusterConfig, b: ClusterConfig): boolean {
  if (a.quorum !== b.quorum || a.members.length !== b.members.length) return false
  return a.members.every((member, i) => member.row === b.members[i]?.row && member.inSync === b.members[i].inSync)
}

function freeRow(used: ReadonlySet<number>): number {
  for (let row = 1; row <= REPLICA_COUNT_LIMIT; row++) if (!used.has(row)) return row
  throw new TravertineError(
    'CONFIG_CONFLICT',
    `Cannot change the config of the cluster: found no free row for another member, expected one of ${REPLICA_COUNT_LIMIT}`,
    { hint: 'a member that was removed keeps its row until its session has ended; try again in a moment' },
  )
}
