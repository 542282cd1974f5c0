/**
 * The replicas of a master: one session for each member, and those of removed members until their rows are free.
 *
 * A row belongs to one session at a time, so what is told of a row is that session's. What comes late, of a row that is free,
 * is nobody's.
 */
import type { ClusterConfig, Member } from '../../protocol/cluster-config.ts'
import type { Effect } from './events.ts'
import type { ReplicationSession } from './replication-session.ts'

export class Replicas {
  #sessions: ReplicationSession[]
  readonly #create: (member: Member) => ReplicationSession

  constructor(config: ClusterConfig, create: (member: Member) => ReplicationSession) {
    this.#create = create
    this.#sessions = config.members.map(create)
  }

  /** Of the members, by ascending rows. */
  get members(): readonly ReplicationSession[] {
    return this.#sessions.filter(({ isRetired }) => !isRetired)
  }

  /** Those that are leaving, too. */
  get all(): readonly ReplicationSession[] {
    this.#sessions = this.#sessions.filter(({ isGone }) => !isGone)
    return this.#sessions
  }

  get rows(): number[] {
    return this.all.map(({ member }) => member.row)
  }

  of(row: number): ReplicationSession | undefined {
    return this.all.find(({ member }) => member.row === row)
  }

  /** Members that are new are dialled at the next tick; those that are no members any more are let go. */
  follow(now: number, { members }: ClusterConfig): Effect[] {
    const effects: Effect[] = []
    for (const session of this.members) {
      const member = members.find(({ row }) => row === session.member.row)
      if (member === undefined) effects.push(...session.retire(now))
      else session.member = member
    }
    const known = new Set(this.rows)
    this.#sessions.push(...members.filter(({ row }) => !known.has(row)).map(this.#create))
    this.#sessions.sort((a, b) => a.member.row - b.member.row)
    return effects
  }
}
