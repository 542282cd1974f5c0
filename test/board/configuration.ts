/**
 * What one exploration of the in-flight board is given: how many channels, how many sessions each gets, how small the
 * ring, whether there is a replica and what may happen to it.
 */
import { encodePolicy } from '../../wal/durability.ts'

export interface Configuration {
  /** Sessions that each channel gets, up to 9, or ENDLESS; its length is the number of channels, 1 to 3. */
  readonly sessions: readonly number[]
  /** Per channel: the channel whose sessions must all be answered STORED before its own are sent. */
  readonly after: readonly (number | undefined)[]
  readonly ring: number
  readonly bound: number
  /** With a replica, row 1 counts for PROPAGATED and every session is answered twice. */
  readonly replica: boolean
  /** `up`: the row is connected when the first session comes. `down`: its coming up mixes with the sessions. */
  readonly rowAtStart: 'up' | 'down'
  /**
   * `all`: the replica makes durable and acknowledges any prefix of what it was sent. `seals`: prefixes that end with a
   * seal, and all of it. Others move no cell: to the board they are just one more recompute.
   */
  readonly acks: 'all' | 'seals'
  /** How often the replication session may break. */
  readonly breaks: number
  /** How many disks the replica has, one after the other: after a break it comes back with the next one, empty. */
  readonly lives: number
  /** Nothing is brought into one form, nothing is forgotten (canonical.ts): many more states, the same verdict. */
  readonly exact: boolean
}

/** As many sessions as you like. The states stay finite because canonical.ts forgets epochs that are behind. */
export const ENDLESS = 200

/** A replica that may come back with an empty disk needs the whole log again: then no log is forgotten. */
export const forgets = (config: Configuration): boolean => config.lives === 1

export const configuration = (options: Partial<Configuration> & { sessions: readonly number[] }): Configuration => ({
  after: [],
  ring: 2,
  bound: 2,
  replica: false,
  rowAtStart: 'up',
  acks: 'seals',
  breaks: 0,
  lives: 1,
  exact: false,
  ...options,
})

export const rowsOf = (config: Configuration): number => (config.replica ? 2 : 1)

export const policyOf = (config: Configuration): number =>
  encodePolicy({ inSync: config.replica ? [1] : [], quorum: config.replica ? 1 : 0 })

export function nameOf(config: Configuration): string {
  const { sessions, after, ring, bound, replica, rowAtStart, acks, breaks, lives, exact } = config
  const row = replica ? `, replica (${rowAtStart} at start, acks of ${acks}, ${breaks} breaks, ${lives} lives)` : ''
  const order = after
    .flatMap((first, channel) => (first === undefined ? [] : [`, c${channel} after c${first}`]))
    .join('')
  return `sessions ${sessions.map((count) => (count === ENDLESS ? 'endless' : count)).join(',')}, ring ${ring}, bound ${bound}${order}${row}${exact ? ', exact' : ''}`
}

/** The first epoch is not 1 and does not follow its base: as after a restart that has cut something. */
export const FIRST_EPOCH = 3n
export const BASE_EPOCH = 1n
