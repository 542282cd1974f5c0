/**
 * The replica's decisions: one master at a time, told by its term; clients are sent to it. No IO (DESIGN 9). Whom it feeds
 * itself is cascade.ts's.
 *
 * A session_begin is answered when three things are done, in this order: the older session's links are closed in all
 * channel threads; the master's history, with the cut that it implies, is durable; all channel threads know the secret.
 */

import { type Message, negotiateVersion } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { sameTerm } from '../../protocol/ids.ts'
import { DRAIN_MS_MAX } from '../../protocol/limits.ts'
import { checkHistory, checkMasterTerm, type KnownTerms, latestTerm, type TermHistory } from '../../wal/term-history.ts'
import { Cascade } from './cascade.ts'
import { Connections } from './connections.ts'
import type { AdoptedHistory, ConnectionId, Core, Effect, Event } from './events.ts'
import { errorMessage } from './events.ts'
import { checkFeeder, type Feeder } from './feeder.ts'
import { silence } from './master-core.ts'
import { checkChannels, checkCluster, type NodeFacts, unexpected } from './node-facts.ts'
import { ReaderSessions } from './reader-sessions.ts'
import type { ReplicationSession, Source } from './replication-session.ts'
import { type SessionRequest, WaitingRequest } from './waiting-request.ts'
import { fromWireHistory } from './wire-history.ts'

interface Following extends Feeder {
  readonly connection: ConnectionId
  readonly version: number
  readonly secret: Uint8Array
  readonly masterAddress: string
  readonly session: bigint
  resume: readonly number[]
}

export class ReplicaCore implements Core {
  readonly #facts: NodeFacts
  readonly #connections = new Connections()
  #following: Following | undefined
  readonly #waiting: WaitingRequest
  #adopting = false
  #masterAddress = ''
  #sessions = 0n
  #stopAt: number | undefined
  #stopped = false
  /** Readers may be shown what is not above this epoch; undefined until the master of this history has said it. */
  #committed: bigint | undefined
  readonly #readers: ReaderSessions
  readonly #cascade: Cascade

  #terms: KnownTerms

  /** @param cascade addresses of the replicas that this one feeds */
  constructor(facts: NodeFacts, terms: KnownTerms, cascade: readonly string[] = []) {
    this.#facts = facts
    this.#terms = terms
    this.#waiting = new WaitingRequest(facts.nodeId, (connection) => this.#connections.get(connection) !== undefined)
    const history = (): TermHistory => this.#terms.history
    const committed = (): bigint | undefined => this.#committed
    this.#readers = new ReaderSessions({ facts, history, committed })
    this.#cascade = new Cascade({ facts, addresses: cascade, committed, nextSession: () => this.#nextSession() })
  }

  /** host:port of the master followed last; '' if none was met since the start. */
  get masterAddress(): string {
    return this.#masterAddress
  }

  /** 0 while it is not known. */
  get groupCommit(): bigint {
    return this.#committed ?? 0n
  }

  get readerCount(): number {
    return this.#readers.count
  }

  /** For `status`: the replicas that this one feeds. */
  replicas(): readonly ReplicationSession[] {
    return this.#cascade.members
  }

  /** Node ids of the replicas between the master and this one. */
  get via(): readonly string[] {
    return this.#following?.via ?? []
  }

  get isFollowing(): boolean {
    return this.#following !== undefined && !this.#adopting
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
        return event.row === undefined ? [] : this.#cascade.dialled(event.row, event.connection)
      case 'dialFailed':
      case 'rowOpen':
      case 'rowDown':
        return this.#cascade.hear(now, event)
      case 'cascade':
        return this.#feed(now, event.addresses)
      case 'message':
        return this.#message(now, event.connection, event.message)
      case 'closed':
        return this.#closed(now, event.connection, event.error)
      case 'adopted':
        return this.#adopted(now, event.connection, event.result)
      case 'sessionReady':
        return [...this.#ready(event.session), ...this.#readers.ready(event.session)]
      case 'readerFailed':
        return this.#readers.failed(event.session, event.error)
      case 'tick':
        if (this.#stopAt !== undefined && now >= this.#stopAt) return this.#stop()
        return [
          ...this.#connections
            .expired(now)
            .flatMap(({ connection, handshake }) => this.#refuse(now, connection, silence(handshake))),
          ...this.#cascade.tick(now, this.#following !== undefined),
        ]
      case 'shutdown':
        if (this.#stopAt !== undefined) return []
        this.#stopAt = now + DRAIN_MS_MAX
        return [{ type: 'drain' }]
      case 'drained':
        return this.#stop()
      case 'configDurable':
      case 'watermarks':
      case 'ends':
        return [] // a master's events
    }
  }

  #message(now: number, connection: ConnectionId, message: Message): readonly Effect[] {
    const state = this.#connections.heard(connection, now)
    if (state === undefined) return []
    try {
      if (state.row !== undefined) return this.#cascade.message(now, state.row, message)
      return this.#dispatch(now, connection, message)
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      return this.#refuse(now, connection, error)
    }
  }

  #dispatch(now: number, connection: ConnectionId, message: Message): Effect[] {
    switch (message.type) {
      case 'session_begin':
        return this.#begin(now, connection, message)
      case 'client_hello':
      case 'config_change':
        throw this.#stopAt === undefined ? this.#notMaster() : shuttingDown()
      case 'reader_hello':
        return this.#readerHello(connection, message)
      case 'group_commit_ok': {
        const effects = this.#readers.confirmed(connection)
        if (effects === undefined) throw unexpected(message, 'on a replica')
        return effects
      }
      case 'heartbeat':
        return [{ type: 'send', connection, message: { type: 'heartbeat_ok', sequence: message.sequence } }]
      case 'group_commit':
        if (connection !== this.#following?.connection || this.#adopting)
          throw unexpected(message, 'from a peer that is not followed')
        if (this.#committed === undefined || message.epoch > this.#committed) this.#committed = message.epoch
        return [
          { type: 'groupCommit', epoch: this.#committed },
          { type: 'send', connection, message: { type: 'group_commit_ok', epoch: message.epoch } },
          ...this.#readers.advance(),
          ...this.#cascade.advance(),
        ]
      case 'epoch':
        return []
      case 'session_end':
        return [{ type: 'close', connection }, ...this.#ended(now, connection, message.reason)]
      default:
        throw unexpected(message, 'on a replica')
    }
  }

  #readerHello(connection: ConnectionId, message: Message<'reader_hello'>): Effect[] {
    if (this.#stopAt !== undefined) throw shuttingDown()
    const state = this.#connections.get(connection)! // it has just spoken
    if (state.inSession) throw unexpected(message, 'in a session that has begun')
    state.inSession = true
    return this.#readers.hello(connection, message, this.#nextSession(), state.secret)
  }

  /** The settings name other replicas to feed. What they cannot be changes nothing. */
  #feed(now: number, addresses: readonly string[]): Effect[] {
    try {
      return this.#cascade.follow(now, addresses)
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      return [{ type: 'log', level: 'warn', code: error.code, text: error.describe() }]
    }
  }

  #begin(now: number, connection: ConnectionId, message: Message<'session_begin'>): Effect[] {
    if (this.#stopAt !== undefined) throw shuttingDown()
    if (this.#readers.has(connection)) throw unexpected(message, 'in a reader session')
    negotiateVersion(message)
    checkCluster(this.#facts, message.clusterId)
    checkChannels(this.#facts, message.channels)
    checkHistory(fromWireHistory(message.history), this.#facts.channels)
    // before the session with a rightful master is ended
    const term = checkMasterTerm(this.#terms, latestTerm(fromWireHistory(message.history)))
    const sender = { nodeId: message.nodeId, via: message.via, term }
    checkFeeder(this.#facts.nodeId, sender, this.#following)
    this.#waiting.check(sender)
    const state = this.#connections.get(connection)
    if (state !== undefined) state.inSession = true
    if (!this.#adopting) return this.#adopt(now, connection, message)
    const replaced = this.#waiting.replace({ connection, message, sender })
    if (replaced === undefined) return []
    return [{ type: 'close', connection: replaced }, ...this.#closed(now, replaced, undefined)]
  }

  #adopt(now: number, connection: ConnectionId, message: Message<'session_begin'>): Effect[] {
    const older = this.#following
    const history = fromWireHistory(message.history)
    this.#adopting = true
    this.#following = {
      connection,
      nodeId: message.nodeId,
      term: latestTerm(history)!, // #begin has checked that there is one
      via: message.via,
      version: negotiateVersion(message),
      secret: this.#connections.get(connection)!.secret, // it has just spoken
      masterAddress: message.address,
      session: this.#nextSession(),
      resume: [],
    }
    const effects: Effect[] = []
    if (older !== undefined) {
      effects.push({ type: 'forgetSession', session: older.session })
      if (older.connection !== connection) effects.push({ type: 'close', connection: older.connection })
    }
    const below = this.#cascade.suspend(now, this.#sourceBelow(this.#following, history))
    return [...effects, ...below, ...this.#endReaders(history), { type: 'adopt', connection, history }]
  }

  /** What those are told whom this node feeds. */
  #sourceBelow({ term, masterAddress, via }: Following, history: TermHistory): Source {
    return { term, history, masterAddress, via: [...via, this.#facts.nodeId] }
  }

  /** Another mastership may cut what readers were sent, and only it knows what of its history is committed. */
  #endReaders(next: TermHistory): Effect[] {
    const [before, after] = [latestTerm(this.#terms.history), latestTerm(next)]
    if (before !== undefined && after !== undefined && sameTerm(before, after)) return []
    this.#committed = undefined
    return this.#readers.endAll('the node follows another mastership')
  }

  #adopted(now: number, connection: ConnectionId, result: AdoptedHistory | TravertineError): Effect[] {
    this.#adopting = false
    const effects: Effect[] = []
    const following = this.#following
    if (result instanceof TravertineError) {
      this.#following = undefined
      effects.push(...this.#refuse(now, connection, result))
      effects.push({ type: 'log', level: 'warn', code: result.code, text: result.describe() })
    } else {
      this.#terms = result.terms // durable, whatever has become of the connection
      if (following !== undefined) {
        following.resume = result.resume
        this.#cascade.resume(this.#sourceBelow(following, result.terms.history), result.resume)
      }
    }
    if (this.#stopAt !== undefined) return effects // nothing begins any more, and whoever waits is told so by the end
    const next = this.#takeNext(now, effects)
    if (next !== undefined) return [...effects, ...this.#adopt(now, next.connection, next.message)]
    if (this.#following === undefined) return effects
    if (this.#connections.get(connection) === undefined) {
      this.#following = undefined // it has gone meanwhile
      return effects
    }
    const { session, version, secret, masterAddress } = this.#following
    this.#masterAddress = masterAddress
    return [...effects, { type: 'registerSession', session, version, secret, kind: 'replication' }]
  }

  /** The waiting session_begin, if its connection lives and its term is still good beside what was adopted meanwhile. */
  #takeNext(now: number, effects: Effect[]): SessionRequest | undefined {
    const next = this.#waiting.take()
    if (next === undefined) return undefined
    try {
      checkMasterTerm(this.#terms, fromWireHistory(next.message.history).at(-1)?.term)
      return next
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      effects.push(...this.#refuse(now, next.connection, error))
      return undefined
    }
  }

  #ready(session: bigint): Effect[] {
    const following = this.#following
    if (following === undefined || following.session !== session) return []
    const message: Message = {
      type: 'session_begin_ok',
      version: following.version,
      nodeId: this.#facts.nodeId,
      session,
      secret: following.secret,
      resume: following.resume,
      logPorts: this.#facts.logPorts,
    }
    return [
      { type: 'send', connection: following.connection, message },
      { type: 'log', level: 'info', text: describeFollowing(following) },
    ]
  }

  #closed(now: number, connection: ConnectionId, error: TravertineError | undefined): Effect[] {
    const row = this.#connections.remove(connection)?.row
    if (row !== undefined) return this.#cascade.closed(now, row, connection, error)
    const following = this.#following
    if (following === undefined || following.connection !== connection) return this.#readers.closed(connection)
    if (!this.#adopting) this.#following = undefined
    return [{ type: 'forgetSession', session: following.session }]
  }

  /** A feeder that lets go may be cut off from the master: then those below have to be free at the same time (REP-85). */
  #ended(now: number, connection: ConnectionId, reason: string): Effect[] {
    const following = this.#following
    const closed = this.#closed(now, connection, undefined)
    if (following?.connection !== connection) return closed
    const { masterAddress, via, nodeId } = following
    const sender = via.length === 0 ? `the master at ${masterAddress}` : `the replica ${nodeId}, which feeds this one,`
    return [
      { type: 'log', level: 'info', text: `${sender} has ended the session: ${reason}` },
      ...closed,
      ...(via.length > 0 ? this.#cascade.letGo(now) : []),
    ]
  }

  #refuse(now: number, connection: ConnectionId, error: TravertineError): Effect[] {
    return [
      { type: 'send', connection, message: errorMessage(toWireError(error)) },
      { type: 'close', connection },
      ...this.#closed(now, connection, error),
    ]
  }

  #notMaster(): TravertineError {
    const known = this.#masterAddress !== ''
    return new TravertineError('NOT_MASTER', 'Cannot begin a client session: this node is a replica', {
      where: known ? { peer: this.#masterAddress } : {},
      hint: known ? `the master is at ${this.#masterAddress}` : 'it has not met its master yet; ask another node',
    })
  }

  #stop(): Effect[] {
    if (this.#stopped) return []
    this.#stopped = true
    const effects = this.#cascade.end('the replica shuts down')
    const dialled = new Set(this.#cascade.members.map((replica) => replica.connection))
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

const describeFollowing = ({ masterAddress, via, nodeId }: Following): string =>
  `follows the master at ${masterAddress}${via.length === 0 ? '' : `, fed by the replica ${nodeId}`}`

const shuttingDown = (): TravertineError =>
  new TravertineError('SHUTTING_DOWN', 'Cannot begin a session: the node is shutting down', {
    hint: 'try again when it is back',
  })
