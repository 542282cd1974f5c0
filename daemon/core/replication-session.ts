/**
 * The feeding side of one replica, on its master or on a replica that feeds it (decision 0014): dial, begin, open the rows,
 * stream, and begin again after any break, for ever.
 *
 *   idle -> dialling (-> asking) -> beginning -> opening -> streaming
 *     ^                                             |          |
 *     +----------------- closing <------------------+----------+
 *
 * Two members may name one node, by mistake. It would give each new session of either the place of the other one, for ever,
 * and its one disk would count twice. So of the rows of one node one is open at most: who meets it a second time is told
 * NAMED_TWICE, and from then on asks who is there before it begins.
 *
 * A replica that was removed is retired: its session ends, and the row is free when it is `idle`, not before. A dial that is
 * under way is waited for: what it brings must not be taken for the next owner of the row.
 *
 * A node that has claimed more than its master had appended or sent is not fed by that mastership any more (`ahead`), and asked
 * for its name as well: once the log had got that far, its row would count for bytes that it does not hold.
 *
 * `closing` ends only when every channel thread has stored UNKNOWN for the row: a row must never mix two lives of a
 * replica (DESIGN 4, "row up"). Reconnect waits double from RECONNECT_MS_MIN up to RECONNECT_MS_MAX; there is no last try.
 */
import { splitAddress } from '../../protocol/address.ts'
import type { Member } from '../../protocol/cluster-config.ts'
import type { Message } from '../../protocol/control-message.ts'
import { negotiateVersion, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../../protocol/control-message.ts'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'
import type { Term } from '../../protocol/ids.ts'
import { HEARTBEAT_INTERVAL_MS, NODES_AHEAD_LIMIT, RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../../protocol/limits.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import type { ConnectionId, Effect } from './events.ts'
import { checkChannels, type NodeFacts, unexpected } from './node-facts.ts'
import { toWireHistory } from './wire-history.ts'

export type ReplicationState = 'idle' | 'dialling' | 'asking' | 'beginning' | 'opening' | 'streaming' | 'closing'

/** Whose log is streamed. */
export interface Source {
  readonly term: Term
  readonly history: TermHistory
  /** host:port of the master's control channel. */
  readonly masterAddress: string
  /** Node ids of the replicas between the master and the one that is fed, this node last; empty: this node is the master. */
  readonly via: readonly string[]
}

export interface ReplicationOptions {
  readonly facts: NodeFacts
  readonly member: Member
  /** All members, this one too. */
  readonly members: () => readonly ReplicationSession[]
  /**
   * Of a master: nodes that have claimed more than there can be, and why they are not fed, one map for all members. A feeder
   * remembers none: what those below it hold counts for nobody.
   */
  readonly ahead: Map<string, TravertineError> | undefined
  /** undefined: nobody is fed now. Where it changes, sessions have to be interrupted before. */
  readonly source: () => Source | undefined
  /** Readers may be shown what is not above it; undefined while it is not known. */
  readonly committed: () => bigint | undefined
  readonly ends: () => readonly number[]
  readonly nextSession: () => bigint
}

export class ReplicationSession {
  readonly #options: ReplicationOptions
  state: ReplicationState = 'idle'
  #retryAt = 0
  #retryMs = RECONNECT_MS_MIN
  /** Code that was logged last since the replica streamed: a try that fails for the same reason is no news. */
  #loggedCode: string | undefined
  #connection: ConnectionId | undefined
  #session = 0n
  readonly #rowsOpen = new Set<number>()
  readonly #rowsDown = new Set<number>()
  #heartbeatAt = 0
  #heartbeats = 0
  /** -1: nothing yet; an epoch 0 is news to a replica, since then it knows. */
  #groupCommitSent = -1n
  #groupCommitInFlight = false
  #member: Member
  /** Of the node that was met there last. */
  #nodeId: string | undefined
  #isRetired = false
  #hasStreamed = false
  /** Why the replica is not streaming now; shown in status. */
  lastError: TravertineError | undefined

  constructor(options: ReplicationOptions) {
    this.#options = options
    this.#member = options.member
  }

  get member(): Member {
    return this.#member
  }

  /** It counts, or counts no more. */
  set member(member: Member) {
    this.#member = member
  }

  /** Since this mastership began, or since it is a member; on a replica, since that was started. */
  get hasStreamed(): boolean {
    return this.#hasStreamed
  }

  get isRetired(): boolean {
    return this.#isRetired
  }

  /** Retired, and nothing of it can come any more: the row is free. */
  get isGone(): boolean {
    return this.#isRetired && this.state === 'idle'
  }

  /** The replica is no member any more. */
  retire(now: number): Effect[] {
    this.#isRetired = true
    return this.interrupt(now, REMOVED)
  }

  /** Ends the session; it begins again, unless it is retired. A dial that is under way begins with what is true then. */
  interrupt(now: number, reason: string): Effect[] {
    if (this.state === 'dialling' || this.state === 'idle') return []
    const goodbye = this.#connection === undefined ? [] : [this.#send({ type: 'session_end', reason })]
    return [...goodbye, ...this.#breakOff(now, undefined)]
  }

  get connection(): ConnectionId | undefined {
    return this.#connection
  }

  tick(now: number): Effect[] {
    if (this.state === 'idle' && now >= this.#retryAt && !this.#isRetired) {
      if (this.#options.source() === undefined) return []
      this.state = 'dialling'
      return [{ type: 'dial', row: this.member.row, address: this.member.address }]
    }
    if (this.#connection === undefined || now < this.#heartbeatAt) return []
    this.#heartbeatAt = now + HEARTBEAT_INTERVAL_MS
    return [this.#send({ type: 'heartbeat', sequence: ++this.#heartbeats })]
  }

  connected(connection: ConnectionId): Effect[] {
    const source = this.#options.source()
    if (this.#isRetired || source === undefined) {
      this.state = 'idle'
      return [{ type: 'close', connection }]
    }
    this.#connection = connection
    if (this.#twin(BEGUN) === undefined && this.#refusal === undefined) return this.#begin(source)
    this.state = 'asking'
    return [this.#send({ type: 'status' })]
  }

  #begin(source: Source): Effect[] {
    const { facts, ends } = this.#options
    this.state = 'beginning'
    return [
      this.#send({
        type: 'session_begin',
        versionMin: PROTOCOL_VERSION_MIN,
        versionMax: PROTOCOL_VERSION_MAX,
        clusterId: facts.clusterId,
        nodeId: facts.nodeId,
        address: source.masterAddress,
        channels: facts.channels,
        term: source.term,
        history: toWireHistory(source.history),
        ends: ends(),
        via: source.via,
      }),
    ]
  }

  dialFailed(now: number, error: TravertineError): Effect[] {
    this.lastError = error
    return this.#backOff(now, error)
  }

  /** @throws MESSAGE_UNEXPECTED, CHANNEL_COUNT_MISMATCH */
  message(now: number, message: Message): Effect[] {
    switch (message.type) {
      case 'status_ok':
        return this.#answered(now, message)
      case 'session_begin_ok':
        return this.#begun(now, message)
      case 'heartbeat_ok':
        return []
      case 'group_commit_ok':
        this.#groupCommitInFlight = false
        return this.watermarks()
      case 'error':
        this.lastError = fromWireError(message.error, this.member.address)
        return this.#breakOff(now, this.lastError)
      case 'session_end':
        return this.#breakOff(now, gone(`it has ended the session: ${message.reason}`))
      default:
        throw this.#unexpected(message)
    }
  }

  #unexpected(message: Message): TravertineError {
    return unexpected(message, `in state ${this.state} of a replication session`)
  }

  /** The node that is there is fed in the row of `twin`. */
  #leave(now: number, twin: ReplicationSession): Effect[] {
    const error = new TravertineError(
      'NAMED_TWICE',
      `Cannot stream to ${this.member.address}: found the replica that is fed as ${twin.member.address}, expected another one`,
      { hint: 'one node has two names here: remove one of them' },
    )
    return this.#refuse(now, error)
  }

  #refuse(now: number, error: TravertineError): Effect[] {
    return [this.#send({ type: 'session_end', reason: error.message }), ...this.#breakOff(now, error)]
  }

  closed(now: number, error: TravertineError | undefined): Effect[] {
    this.#connection = undefined
    return this.#breakOff(now, error ?? gone('it has closed the connection'))
  }

  rowOpen(session: bigint, channel: number): Effect[] {
    if (session !== this.#session || this.state !== 'opening') return []
    this.#rowsOpen.add(channel)
    if (this.#rowsOpen.size < this.#options.facts.channels) return []
    this.state = 'streaming'
    this.#hasStreamed = true
    this.#retryMs = RECONNECT_MS_MIN
    this.#loggedCode = undefined
    this.lastError = undefined
    return [
      { type: 'log', level: 'info', text: `replica ${this.member.address} streams on ${this.#rowsOpen.size} channels` },
    ]
  }

  rowDown(now: number, session: bigint, channel: number, error: TravertineError | undefined): Effect[] {
    if (session !== this.#session) return []
    this.#rowsDown.add(channel)
    if (error?.code === 'REPLICA_AHEAD') this.#remember(error)
    const effects = this.state === 'closing' ? [] : this.#breakOff(now, error)
    if (this.#rowsDown.size < this.#options.facts.channels) return effects
    this.#session = 0n
    return [...effects, ...this.#backOff(now, this.lastError)]
  }

  /** Why the node that was met last is not fed by this mastership. */
  get #refusal(): TravertineError | undefined {
    return this.#nodeId === undefined ? undefined : this.#options.ahead?.get(this.#nodeId)
  }

  #remember(error: TravertineError): void {
    const { ahead } = this.#options
    if (ahead === undefined || this.#nodeId === undefined) return
    const [eldest] = ahead.keys()
    if (eldest !== undefined && ahead.size >= NODES_AHEAD_LIMIT) ahead.delete(eldest)
    ahead.set(this.#nodeId, error)
  }

  /** group_commit is coalesced: one in flight, always the newest. */
  watermarks(): Effect[] {
    const epoch = this.#options.committed()
    if (this.state !== 'streaming' || this.#groupCommitInFlight) return []
    if (epoch === undefined || epoch <= this.#groupCommitSent) return []
    this.#groupCommitInFlight = true
    this.#groupCommitSent = epoch
    return [this.#send({ type: 'group_commit', epoch })]
  }

  end(reason: string): Effect[] {
    if (this.#connection === undefined) return []
    return [this.#send({ type: 'session_end', reason }), { type: 'close', connection: this.#connection }]
  }

  /** Another member's row that is one of the same node. */
  #twin(states: ReadonlySet<ReplicationState>): ReplicationSession | undefined {
    if (this.#nodeId === undefined) return undefined
    const others = this.#options.members().filter((other) => other !== this && other.#nodeId === this.#nodeId)
    return others.find(({ state }) => states.has(state))
  }

  #answered(now: number, message: Message<'status_ok'>): Effect[] {
    const source = this.#options.source()
    if (this.state !== 'asking' || source === undefined) throw this.#unexpected(message)
    const { nodeId } = message.status
    if (typeof nodeId === 'string') this.#nodeId = nodeId // else it is the one that we know, for all we know
    const twin = this.#twin(BEGUN)
    if (twin !== undefined) return this.#leave(now, twin)
    return this.#refusal === undefined ? this.#begin(source) : this.#refuse(now, this.#refusal)
  }

  #begun(now: number, message: Message<'session_begin_ok'>): Effect[] {
    if (this.state !== 'beginning') throw this.#unexpected(message)
    negotiateVersion({ versionMin: message.version, versionMax: message.version }) // it is one of ours
    checkChannels(this.#options.facts, message.logPorts.length)
    checkChannels(this.#options.facts, message.resume.length)
    this.#nodeId = message.nodeId
    const twin = this.#twin(HAS_ROW)
    if (twin !== undefined) return this.#leave(now, twin)
    if (this.#refusal !== undefined) return this.#refuse(now, this.#refusal)
    this.state = 'opening'
    this.#session = this.#options.nextSession()
    this.#rowsOpen.clear()
    this.#rowsDown.clear()
    this.#groupCommitInFlight = false
    this.#groupCommitSent = -1n
    return [
      {
        type: 'openRow',
        row: this.member.row,
        session: this.#session,
        peerSession: message.session,
        version: message.version,
        secret: message.secret,
        host: splitAddress(this.member.address)![0], // as it was dialled (REP-1), and as a certificate names it
        ports: message.logPorts,
        resume: message.resume,
      },
    ]
  }

  #breakOff(now: number, error: TravertineError | undefined): Effect[] {
    if (error !== undefined) this.lastError = error
    const effects: Effect[] = []
    if (this.#connection !== undefined) effects.push({ type: 'close', connection: this.#connection })
    this.#connection = undefined
    if (this.state === 'closing') return effects
    if (this.#session === 0n) return [...effects, ...this.#backOff(now, error)]
    this.state = 'closing'
    effects.push({ type: 'closeRow', row: this.member.row, session: this.#session })
    return effects
  }

  #backOff(now: number, error: TravertineError | undefined): Effect[] {
    this.state = 'idle'
    this.#retryAt = now + this.#retryMs
    this.#retryMs = Math.min(this.#retryMs * 2, RECONNECT_MS_MAX)
    if (error === undefined || error.code === this.#loggedCode || this.#isRetired) return []
    this.#loggedCode = error.code
    return [
      {
        type: 'log',
        level: 'warn',
        code: error.code,
        text: `replica ${this.member.address} is away: ${error.describe()}`,
      },
    ]
  }

  #send(message: Message): Effect {
    return { type: 'send', connection: this.#connection!, message } // callers have checked that there is one
  }
}

/** Its row is open, or may be. */
const HAS_ROW: ReadonlySet<ReplicationState> = new Set(['opening', 'streaming', 'closing'])
const BEGUN: ReadonlySet<ReplicationState> = new Set([...HAS_ROW, 'beginning'])

const REMOVED = 'the replica was removed from the cluster'

const gone = (how: string): TravertineError =>
  new TravertineError('CONNECTION_LOST', `Cannot stream to a replica: ${how}`)
