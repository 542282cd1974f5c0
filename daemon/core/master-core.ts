/**
 * The master's decisions: clients, replicas, heartbeats, shutdown. No IO (DESIGN 9); see events.ts for the language.
 *
 * The commit path does not run through here: the core only says who may open log connections and which rows are up.
 */

import type { ClusterConfig } from '../../protocol/cluster-config.ts'
import type { Message } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { DRAIN_MS_MAX } from '../../protocol/limits.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { ClientSessions, type Watermarks } from './client-sessions.ts'
import { committedEpoch } from './committed-epoch.ts'
import { ConfigChanges } from './config-changes.ts'
import { Connections } from './connections.ts'
import type { ConnectionId, Core, Effect, Event } from './events.ts'
import { errorMessage } from './events.ts'
import { type MasterFacts, unexpected } from './node-facts.ts'
import { ReaderSessions } from './reader-sessions.ts'
import { Replicas } from './replicas.ts'
import { ReplicationSession, type Source } from './replication-session.ts'

export interface MasterOptions {
  readonly facts: MasterFacts
  readonly history: TermHistory
  readonly config: ClusterConfig
  /** Ends of the log per channel when the mastership started. */
  readonly ends: readonly number[]
}

export class MasterCore implements Core {
  readonly #watermarks: Watermarks = { closed: 0n, stored: 0n, propagated: 0n }
  readonly #connections = new Connections()
  readonly #clients: ClientSessions
  readonly #readers: ReaderSessions
  readonly #replicas: Replicas
  readonly #changes: ConfigChanges
  /** Readers were shown it under a config before: a stricter one takes nothing back. */
  #shown: bigint | undefined
  readonly #baseEpoch: bigint
  #ends: readonly number[]
  #sessions = 0n
  /** Client sessions that are ready and wait for the first CONFIG to be STORED; undefined once it is (WAL-39). */
  #early: bigint[] | undefined = []
  #stopAt: number | undefined
  #stopped = false

  constructor(options: MasterOptions) {
    const { facts, history, config, ends } = options
    this.#ends = ends
    this.#changes = new ConfigChanges(facts, config)
    this.#clients = new ClientSessions(facts, this.#watermarks, () => countInSync(this.#changes.config))
    this.#baseEpoch = history.at(-1)?.baseEpoch ?? 0n
    const committed = (): bigint | undefined => this.#committed()
    this.#readers = new ReaderSessions({ facts, history: () => history, committed })
    const source: Source = { term: facts.term, history, masterAddress: facts.address, via: [] }
    const ahead = new Map<string, TravertineError>()
    this.#replicas = new Replicas(
      config,
      (member) =>
        new ReplicationSession({
          facts,
          member,
          members: () => this.#replicas.members,
          ahead,
          source: () => source,
          committed,
          ends: () => this.#ends,
          nextSession: () => this.#nextSession(),
        }),
    )
  }

  step(now: number, event: Event): readonly Effect[] {
    const effects = this.#handle(now, event)
    // a connection that we close says nothing any more, not even `closed`
    for (const effect of effects) if (effect.type === 'close') this.#connections.remove(effect.connection)
    return effects
  }

  #handle(now: number, event: Event): readonly Effect[] {
    switch (event.type) {
      case 'connected':
        this.#connections.add(event.connection, { peer: event.peer, secret: event.secret, row: event.row }, now)
        return event.row === undefined ? [] : this.#replicas.dialled(event.row, event.connection)
      case 'dialFailed':
      case 'rowOpen':
      case 'rowDown':
        return this.#replicas.hear(now, event)
      case 'message':
        return this.#message(now, event.connection, event.message)
      case 'closed':
        return this.#closed(now, event.connection, event.error)
      case 'sessionReady':
        return this.#ready(event.session)
      case 'readerFailed':
        return this.#readers.failed(event.session, event.error)
      case 'configDurable':
        return this.#configDurable(now, event.number)
      case 'watermarks':
        this.#watermarks.closed = event.closed
        this.#watermarks.stored = event.stored
        this.#watermarks.propagated = event.propagated
        return [...this.#replicas.watermarks(), ...this.#readers.advance()]
      case 'ends':
        this.#ends = event.ends
        return []
      case 'tick':
        return this.#tick(now)
      case 'shutdown':
        if (this.#stopAt !== undefined) return []
        this.#stopAt = now + DRAIN_MS_MAX
        return [{ type: 'drain' }]
      case 'drained':
        return this.#stop()
      case 'adopted':
      case 'cascade':
        return [] // a replica's events
    }
  }

  #ready(session: bigint): Effect[] {
    if (this.#early !== undefined) {
      this.#early.push(session)
      return []
    }
    return [...this.#clients.ready(session), ...this.#readers.ready(session)]
  }

  #configDurable(now: number, number: number): Effect[] {
    if (this.#early !== undefined) return this.#begin()
    const shown = this.#committed()
    const replicas = countInSync(this.#changes.config)
    const changed = this.#changes.durable(number)
    if (changed === undefined) return []
    this.#shown = shown
    const { config } = this.#changes
    const hasTurned = (countInSync(config) === 0) !== (replicas === 0)
    return [
      ...this.#replicas.follow(now, config),
      ...changed.effects,
      // writers were told whether PROPAGATED can be asked for at all: they come back, and are told anew
      ...(hasTurned
        ? this.#clients.endAll('PROPAGATED can be asked for, or not any more: the members have changed')
        : []),
    ]
  }

  /** Up to where readers may be shown data. */
  #committed(): bigint | undefined {
    const replicas = countInSync(this.#changes.config)
    const epoch = committedEpoch({ watermarks: this.#watermarks, replicas, baseEpoch: this.#baseEpoch })
    return this.#shown !== undefined && (epoch === undefined || epoch < this.#shown) ? this.#shown : epoch
  }

  #begin(): Effect[] {
    const early = this.#early ?? []
    this.#early = undefined
    return early.flatMap((session) => this.#ready(session))
  }

  /** For `status`: replicas and why one is not streaming. */
  replicas(): readonly ReplicationSession[] {
    return this.#replicas.members
  }

  /** What rules now: for `status`, together with `replicas`. */
  get config(): ClusterConfig {
    return this.#changes.config
  }

  get clientCount(): number {
    return this.#clients.count
  }

  get readerCount(): number {
    return this.#readers.count
  }

  #message(now: number, connection: ConnectionId, message: Message): readonly Effect[] {
    const state = this.#connections.heard(connection, now)
    if (state === undefined) return []
    try {
      if (state.row !== undefined) return this.#replicas.message(now, state.row, message)
      return this.#clientMessage(connection, message)
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      return this.#refuse(now, connection, error)
    }
  }

  #clientMessage(connection: ConnectionId, message: Message): Effect[] {
    const state = this.#connections.get(connection)
    if (state === undefined) return []
    switch (message.type) {
      case 'client_hello':
      case 'reader_hello': {
        this.#refuseWhileStopping('begin a session')
        if (state.inSession) throw unexpected(message, 'in a session that has begun')
        state.inSession = true
        const session = this.#nextSession()
        return message.type === 'client_hello'
          ? this.#clients.hello(connection, message, session, state.secret)
          : this.#readers.hello(connection, message, session, state.secret)
      }
      case 'config_change':
        return this.#configChange(connection, message)
      case 'group_commit_ok': {
        const effects = this.#readers.confirmed(connection)
        if (effects === undefined) throw unexpected(message, 'from a client')
        return effects
      }
      case 'heartbeat':
        return [{ type: 'send', connection, message: { type: 'heartbeat_ok', sequence: message.sequence } }]
      case 'session_end':
        return [{ type: 'close', connection }, ...this.#forget(connection)]
      case 'session_begin':
        throw new TravertineError(
          'MESSAGE_UNEXPECTED',
          'Cannot follow a master: found session_begin, but this node is master itself',
          {
            hint: 'a member address of the sender, or its cascade.replicas, points at a master',
          },
        )
      default:
        throw unexpected(message, 'from a client')
    }
  }

  /** @throws what ConfigChanges throws, SHUTTING_DOWN, NOT_READY */
  #configChange(connection: ConnectionId, message: Message<'config_change'>): Effect[] {
    const what = 'change the config of the cluster'
    this.#refuseWhileStopping(what)
    if (this.#early !== undefined) {
      throw new TravertineError('NOT_READY', `Cannot ${what}: the first one of this mastership is not STORED yet`, {
        hint: 'try again in a moment',
      })
    }
    const effects = this.#changes.request(connection, message, this.#replicas.rows)
    const state = this.#connections.get(connection)
    if (state !== undefined) state.inSession = true
    return effects
  }

  /** @throws SHUTTING_DOWN */
  #refuseWhileStopping(what: string): void {
    if (this.#stopAt === undefined) return
    throw new TravertineError('SHUTTING_DOWN', `Cannot ${what}: the node is shutting down`)
  }

  #refuse(now: number, connection: ConnectionId, error: TravertineError): Effect[] {
    return [
      { type: 'send', connection, message: errorMessage(toWireError(error)) },
      { type: 'close', connection },
      ...this.#closed(now, connection, error),
    ]
  }

  #closed(now: number, connection: ConnectionId, error: TravertineError | undefined): Effect[] {
    const row = this.#connections.get(connection)?.row
    const forgotten = this.#forget(connection)
    return row === undefined ? forgotten : [...forgotten, ...this.#replicas.closed(now, row, connection, error)]
  }

  #forget(connection: ConnectionId): Effect[] {
    if (this.#connections.remove(connection) === undefined) return []
    return [...this.#clients.closed(connection), ...this.#readers.closed(connection)]
  }

  #tick(now: number): Effect[] {
    if (this.#stopAt !== undefined && now >= this.#stopAt) return this.#stop()
    const effects: Effect[] = []
    const { waiting } = this.#changes
    if (waiting !== undefined) this.#connections.heard(waiting, now) // it waits for us, not we for it
    for (const { connection, handshake } of this.#connections.expired(now)) {
      const error = silence(handshake)
      if (handshake) effects.push({ type: 'send', connection, message: errorMessage(toWireError(error)) })
      effects.push({ type: 'close', connection }, ...this.#closed(now, connection, error))
    }
    // while draining too: what is in flight waits for the replicas, and a silent master would lose them
    return [...effects, ...this.#replicas.tick(now)]
  }

  #stop(): Effect[] {
    if (this.#stopped) return []
    this.#stopped = true
    const effects = this.#replicas.end('the master shuts down')
    const dialled = new Set(this.#replicas.all.map((replica) => replica.connection))
    for (const connection of this.#connections.all()) {
      if (dialled.has(connection)) continue
      effects.push(
        { type: 'send', connection, message: { type: 'session_end', reason: 'the node shuts down' } },
        { type: 'close', connection },
      )
    }
    return [...effects, { type: 'stop' }]
  }

  #nextSession(): bigint {
    this.#sessions += 1n
    return this.#sessions
  }
}

export function silence(handshake: boolean): TravertineError {
  return handshake
    ? new TravertineError('HANDSHAKE_TIMEOUT', 'Cannot keep a connection: it has not begun a session in time')
    : new TravertineError('CONNECTION_LOST', 'Cannot keep a session: the peer has been silent for too long')
}

const countInSync = ({ members }: ClusterConfig): number => members.filter((member) => member.inSync).length
