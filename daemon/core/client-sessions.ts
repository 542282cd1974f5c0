/**
 * Client sessions: who may open log connections with which secret. Sessions live as long as their control connection.
 *
 * A client gets its client_hello_ok only when all channel threads know the secret, so that the log connections it opens
 * next are not refused by a thread that has not heard of it yet.
 */
import { type Message, negotiateVersion } from '../../protocol/control-message.ts'
import type { ConnectionId, Effect } from './events.ts'
import { checkCluster, type MasterFacts } from './node-facts.ts'

interface ClientSession {
  readonly connection: ConnectionId
  readonly version: number
  readonly secret: Uint8Array
}

export interface Watermarks {
  closed: bigint
  stored: bigint
  propagated: bigint
}

export class ClientSessions {
  readonly #facts: MasterFacts
  readonly #watermarks: Watermarks
  readonly #replicas: () => number
  readonly #bySession = new Map<bigint, ClientSession>()

  constructor(facts: MasterFacts, watermarks: Watermarks, replicas: () => number) {
    this.#facts = facts
    this.#watermarks = watermarks
    this.#replicas = replicas
  }

  get count(): number {
    return this.#bySession.size
  }

  /** @throws PROTOCOL_VERSION_UNSUPPORTED, CLUSTER_MISMATCH */
  hello(connection: ConnectionId, message: Message<'client_hello'>, session: bigint, secret: Uint8Array): Effect[] {
    const version = negotiateVersion(message)
    checkCluster(this.#facts, message.clusterId)
    this.#bySession.set(session, { connection, version, secret })
    return [{ type: 'registerSession', session, version, secret, kind: 'client' }]
  }

  ready(session: bigint): Effect[] {
    const found = this.#bySession.get(session)
    if (found === undefined) return []
    const { clusterId, nodeId, term, channels, logPorts } = this.#facts
    const { stored, propagated } = this.#watermarks
    const message: Message = {
      type: 'client_hello_ok',
      version: found.version,
      clusterId,
      nodeId,
      session,
      secret: found.secret,
      term,
      channels,
      logPorts,
      stored,
      propagated,
      replicas: this.#replicas(),
    }
    return [{ type: 'send', connection: found.connection, message }]
  }

  /** Ends all sessions; the clients begin again. */
  endAll(reason: string): Effect[] {
    return [...this.#bySession.values()].flatMap(({ connection }): Effect[] => [
      { type: 'send', connection, message: { type: 'session_end', reason } },
      { type: 'close', connection },
      ...this.closed(connection),
    ])
  }

  closed(connection: ConnectionId): Effect[] {
    for (const [session, found] of this.#bySession) {
      if (found.connection !== connection) continue
      this.#bySession.delete(session)
      return [{ type: 'forgetSession', session }]
    }
    return []
  }
}
