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
import { nextConfig } from '../../wal/config-change.ts'
import type { ConnectionState } from './connections.ts'
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

  constructor({ facts, addresses, committed, nextSession }: CascadeOptions) {
    this.#replicas = new Replicas(
      this.#config,
      (member) =>
        new ReplicationSession({
          facts,
          member,
          source: () => (this.#isSuspended ? undefined : this.#source),
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

  /** Who is fed from now on. Rows are kept and given as on a master. @throws CONFIG_INVALID, CONFIG_CONFLICT */
  follow(now: number, addresses: readonly string[]): Effect[] {
    const members = addresses.map((address) => ({ address, inSync: false }))
    this.#config = nextConfig(this.#config, { quorum: 0, members }, this.#replicas.rows)
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
  message(now: number, row: number, state: ConnectionState, message: Message): Effect[] {
    return this.#replicas.message(now, row, state, message)
  }

  closed(now: number, row: number, connection: ConnectionId, error: TravertineError | undefined): Effect[] {
    return this.#replicas.closed(now, row, connection, error)
  }

  tick(now: number): Effect[] {
    return [...this.#replicas.tick(now), ...this.advance()]
  }

  /** Readers may be shown more than before. */
  advance(): Effect[] {
    return this.#replicas.watermarks()
  }

  end(reason: string): Effect[] {
    return this.#replicas.end(reason)
  }
}

const isSame = (a: Source, b: Source): boolean =>
  sameTerm(a.term, b.term) && a.masterAddress === b.masterAddress && a.via.join() === b.via.join()
