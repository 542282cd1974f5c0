/**
 * Reader sessions, the same on a master and on a replica: who may read the log, and up to which epoch it may be shown.
 *
 * A reader is sent what is durable, and told apart from it what is committed: `group_commit` is coalesced, one in flight,
 * always the newest, and never goes back. A session lives as long as the history that it was told: where a replica adopts
 * another one, its readers end and begin again, so no reader ever mixes two histories.
 */
import { type Message, negotiateVersion } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { READER_COUNT_LIMIT } from '../../protocol/limits.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { type ConnectionId, type Effect, errorMessage } from './events.ts'
import { checkCluster, type NodeFacts } from './node-facts.ts'
import { toWireHistory } from './wire-history.ts'

interface ReaderSession {
  readonly session: bigint
  readonly version: number
  readonly secret: Uint8Array
  /** Epoch that was told last; undefined before the hello is answered. */
  told: bigint | undefined
  /** A group_commit has not been answered yet. */
  inFlight: boolean
}

export interface ReaderSessionsOptions {
  readonly facts: NodeFacts
  readonly history: () => TermHistory
  /** Readers may be shown what is not above it; undefined while this node does not know. */
  readonly committed: () => bigint | undefined
}

export class ReaderSessions {
  readonly #options: ReaderSessionsOptions
  readonly #byConnection = new Map<ConnectionId, ReaderSession>()

  constructor(options: ReaderSessionsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#byConnection.size
  }

  has(connection: ConnectionId): boolean {
    return this.#byConnection.has(connection)
  }

  /** @throws PROTOCOL_VERSION_UNSUPPORTED, CLUSTER_MISMATCH, NOT_READY, CONNECTION_LIMIT */
  hello(connection: ConnectionId, message: Message<'reader_hello'>, session: bigint, secret: Uint8Array): Effect[] {
    const version = negotiateVersion(message)
    checkCluster(this.#options.facts, message.clusterId)
    if (this.#options.committed() === undefined) throw notReady()
    if (this.#byConnection.size >= READER_COUNT_LIMIT) throw tooMany()
    this.#byConnection.set(connection, { session, version, secret, told: undefined, inFlight: false })
    return [{ type: 'registerSession', session, version, secret, kind: 'reader' }]
  }

  ready(session: bigint): Effect[] {
    const { facts, history } = this.#options
    const committed = this.#options.committed()
    for (const [connection, reader] of this.#byConnection) {
      if (reader.session !== session || committed === undefined) continue
      const { version, secret } = reader
      const { clusterId, nodeId, channels, logPorts } = facts
      reader.told = committed
      const message: Message = {
        type: 'reader_hello_ok',
        version,
        clusterId,
        nodeId,
        session,
        secret,
        channels,
        logPorts,
        committed,
        history: toWireHistory(history()),
      }
      return [{ type: 'send', connection, message }]
    }
    return []
  }

  /** Readers may be shown more than before. */
  advance(): Effect[] {
    return [...this.#byConnection].flatMap(([connection, reader]) => this.#tell(connection, reader))
  }

  /** group_commit_ok has come; undefined where this connection is no reader's. */
  confirmed(connection: ConnectionId): Effect[] | undefined {
    const reader = this.#byConnection.get(connection)
    if (reader === undefined) return undefined
    reader.inFlight = false
    return this.#tell(connection, reader)
  }

  /** A log connection of this session was ended, by what its reader said or because the log cannot be read here. */
  failed(session: bigint, error: TravertineError): Effect[] {
    for (const [connection, reader] of this.#byConnection) {
      if (reader.session !== session) continue
      const isOurs = error.code !== 'MESSAGE_UNEXPECTED'
      return [
        { type: 'send', connection, message: errorMessage(toWireError(error)) },
        { type: 'close', connection },
        ...this.closed(connection),
        ...(isOurs ? [{ type: 'log', level: 'warn', code: error.code, text: error.describe() } as const] : []),
      ]
    }
    return []
  }

  closed(connection: ConnectionId): Effect[] {
    const reader = this.#byConnection.get(connection)
    this.#byConnection.delete(connection)
    return reader === undefined ? [] : [{ type: 'forgetSession', session: reader.session }]
  }

  /** Ends all sessions; the readers begin again. */
  endAll(reason: string): Effect[] {
    return [...this.#byConnection.keys()].flatMap((connection): Effect[] => [
      { type: 'send', connection, message: { type: 'session_end', reason } },
      { type: 'close', connection },
      ...this.closed(connection),
    ])
  }

  #tell(connection: ConnectionId, reader: ReaderSession): Effect[] {
    const committed = this.#options.committed()
    if (committed === undefined || reader.told === undefined || reader.inFlight || committed <= reader.told) return []
    reader.told = committed
    reader.inFlight = true
    return [{ type: 'send', connection, message: { type: 'group_commit', epoch: committed } }]
  }
}

function notReady(): TravertineError {
  return new TravertineError(
    'NOT_READY',
    'Cannot begin a reader session: this node does not know yet up to which epoch readers may be shown data',
    { hint: 'it waits to hear from its master, or from its replicas; try again, or ask another node' },
  )
}

function tooMany(): TravertineError {
  return new TravertineError(
    'CONNECTION_LIMIT',
    `Cannot begin a reader session: found ${READER_COUNT_LIMIT} of them, expected fewer`,
    { hint: 'end readers that are not needed, or read from another node of the cluster' },
  )
}
