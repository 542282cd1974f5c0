/**
 * The replicas that a node feeds: one session for each member, and those of removed members until their rows are free.
 *
 * A row belongs to one session at a time, so what is told of a row is that session's. What comes late, of a row that is free,
 * is nobody's.
 */
import type { ClusterConfig, Member } from '../../protocol/cluster-config.ts'
import type { Message } from '../../protocol/control-message.ts'
import type { TravertineError } from '../../protocol/errors.ts'
import type { ConnectionId, Effect, Event } from './events.ts'
import type { ReplicationSession } from './replication-session.ts'

export class Replicas {
  #sessions: ReplicationSession[]
  readonly #create: (member: Member) => ReplicationSession

  constructor(config: Pick<ClusterConfig, 'members'>, create: (member: Member) => ReplicationSession) {
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

  /** What channels and dials tell of a row. */
  hear(now: number, event: Extract<Event, { readonly type: 'dialFailed' | 'rowOpen' | 'rowDown' }>): Effect[] {
    const session = this.#of(event.row)
    if (session === undefined) return []
    if (event.type === 'dialFailed') return session.dialFailed(now, event.error)
    if (event.type === 'rowOpen') return session.rowOpen(event.session, event.channel)
    return session.rowDown(now, event.session, event.channel, event.error)
  }

  /** A dial is waited for also where its replica was removed meanwhile, so there is somebody. */
  dialled(row: number, connection: ConnectionId): Effect[] {
    return this.#of(row)?.connected(connection) ?? [{ type: 'close', connection }]
  }

  /** @throws what ReplicationSession throws */
  message(now: number, row: number, message: Message): Effect[] {
    return this.#of(row)?.message(now, message) ?? []
  }

  closed(now: number, row: number, connection: ConnectionId, error: TravertineError | undefined): Effect[] {
    const session = this.#of(row)
    return session?.connection === connection ? session.closed(now, error) : []
  }

  tick(now: number): Effect[] {
    return this.all.flatMap((session) => session.tick(now))
  }

  /** Readers below may be shown more than before. */
  watermarks(): Effect[] {
    return this.members.flatMap((session) => session.watermarks())
  }

  interrupt(now: number, reason: string): Effect[] {
    return this.all.flatMap((session) => session.interrupt(now, reason))
  }

  end(reason: string): Effect[] {
    return this.all.flatMap((session) => session.end(reason))
  }

  /** Members that are new are dialled at the next tick; those that are no members any more are let go. */
  follow(now: number, { members }: Pick<ClusterConfig, 'members'>): Effect[] {
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

  #of(row: number): ReplicationSession | undefined {
    return this.all.find(({ member }) => member.row === row)
  }
}
