/**
 * The replicas that this replica feeds (decision 0014): the sessions of a master, with the log that this node follows.
 *
 * Nobody is fed before a history was adopted in this life, nor while another one is being adopted: what is sent below is of
 * the history that was told below, and `via` is true in every session that lives. Whoever is fed is no member: the rows
 * are this node's own, and count nowhere.
 */

import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import type { Message } from '../../protocol/control-message.ts'
import type { TravertineError } from '../../protocol/errors.ts'
import { sameTerm } from '../../protocol/ids.ts'
import { REPLICA_COUNT_LIMIT, UNFED_MS_MAX, UNFED_REST_MS } from '../../protocol/limits.ts'
import { nextConfig, type WantedConfig } from '../../wal/config-change.ts'
import type { ConnectionId, Effect, Event } from './events.ts'
import type { NodeFacts } from './node-facts.ts'
import { Replicas } from './replicas.ts'
import { ReplicationSession, type Source } from './replication-session.ts'

export interface CascadeOptions {
  readonly facts: NodeFacts
  readonly addresses: readonly string[]
  readonly committed: () => bigint | undefined
  readonly nextSession: () => bigint
}

export class Cascade {
  #config = EMPTY_CONFIG
  readonly #replicas: Replicas
  #source: Source | undefined
  #ends: readonly number[] = []
  #isSuspended = false
  #wanted: readonly string[] = []
  /** Not fed itself: when those below are let go next. */
  #letGoAt: number | undefined
  /** Until then nobody is fed, so that another feeder finds them free. */
  #restsUntil: number | undefined

  constructor({ facts, addresses, committed, nextSession }: CascadeOptions) {
    this.#replicas = new Replicas(
      this.#config,
      (member) =>
        new ReplicationSession({
          facts,
          member,
          members: () => this.#replicas.members,
          ahead: undefined,
          source: () => (this.#isSuspended || this.#restsUntil !== undefined ? undefined : this.#source),
          committed,
          ends: () => this.#ends,
          nextSession,
        }),
    )
    this.follow(0, addresses)
  }

  /** For `status`. */
  get members(): readonly ReplicationSession[] {
    return this.#replicas.members
  }

  /** Who is fed from now on. Rows are kept and given as on a master. @throws CONFIG_INVALID */
  follow(now: number, addresses: readonly string[]): Effect[] {
    nextConfig(EMPTY_CONFIG, wanted(addresses), []) // what they cannot be changes nothing
    this.#wanted = addresses
    return this.#takeUp(now)
  }

  /** Those that are wanted no more leave first; who finds no free row comes when one of them has let go of it. */
  #takeUp(now: number): Effect[] {
    const fed = new Set(this.#config.members.map(({ address }) => address))
    const kept = this.#wanted.filter((address) => fed.has(address))
    const left = this.#change(now, kept)
    const free = REPLICA_COUNT_LIMIT - this.#replicas.rows.length
    const added = this.#wanted.filter((address) => !fed.has(address)).slice(0, free)
    return [...left, ...this.#change(now, [...kept, ...added])]
  }

  #change(now: number, addresses: readonly string[]): Effect[] {
    this.#config = nextConfig(this.#config, wanted(addresses), this.#replicas.rows)
    return this.#replicas.follow(now, this.#config)
  }

  /** This node is about to follow `next`. Where that is not what those below were told, their sessions end before. */
  suspend(now: number, next: Source): Effect[] {
    if (this.#source !== undefined && isSame(this.#source, next)) return []
    this.#isSuspended = true
    return this.#replicas.interrupt(now, 'the node follows another mastership, or another feeder')
  }

  /** It follows: the history is durable here. */
  resume(source: Source, ends: readonly number[]): void {
    this.#source = source
    this.#ends = ends
    this.#isSuspended = false
  }

  hear(now: number, event: Extract<Event, { readonly type: 'dialFailed' | 'rowOpen' | 'rowDown' }>): Effect[] {
    return this.#replicas.hear(now, event)
  }

  dialled(row: number, connection: ConnectionId): Effect[] {
    return this.#replicas.dialled(row, connection)
  }

  /** @throws what ReplicationSession throws */
  message(now: number, row: number, message: Message): Effect[] {
    return this.#replicas.message(now, row, message)
  }

  closed(now: number, row: number, connection: ConnectionId, error: TravertineError | undefined): Effect[] {
    return this.#replicas.closed(now, row, connection, error)
  }

  /** @param isFed somebody feeds this node */
  tick(now: number, isFed: boolean): Effect[] {
    const taken = this.#config.members.length < this.#wanted.length ? this.#takeUp(now) : []
    return [...taken, ...this.#letGoIfDue(now, isFed), ...this.#replicas.tick(now), ...this.advance()]
  }

  /** Who is not fed itself has little to give: now and then it lets go of those below, in case that another one is fed. */
  #letGoIfDue(now: number, isFed: boolean): Effect[] {
    if (isFed) {
      this.#letGoAt = undefined
      this.#restsUntil = undefined
      return []
    }
    if (this.#restsUntil !== undefined && now >= this.#restsUntil) this.#restsUntil = undefined
    this.#letGoAt ??= now + UNFED_MS_MAX
    return now < this.#letGoAt ? [] : this.letGo(now)
  }

  /** Also when the feeder of this node has let go of it: it may not be fed itself, and those below cannot know. */
  letGo(now: number): Effect[] {
    this.#restsUntil = now + UNFED_REST_MS
    this.#letGoAt = now + UNFED_REST_MS + UNFED_MS_MAX
    return this.#replicas.interrupt(now, 'this feeder is not fed itself: another one may be')
  }

  /** Readers may be shown more than before. */
  advance(): Effect[] {
    return this.#replicas.watermarks()
  }

  end(reason: string): Effect[] {
    return this.#replicas.end(reason)
  }
}

const wanted = (addresses: readonly string[]): WantedConfig => ({
  quorum: 0,
  members: addresses.map((address) => ({ address, inSync: false })),
})

const isSame = (a: Source, b: Source): boolean =>
  sameTerm(a.term, b.term) && a.masterAddress === b.masterAddress && a.via.join() === b.via.join()
