/**
 * Control connections of a node: who is silent for too long, and who has not said what it wants.
 *
 * A connection that has not begun a session within the handshake limit is cut; one in a session is cut after the
 * heartbeat timeout without a word. Time comes in as an argument.
 */
import { HANDSHAKE_MS_MAX, HEARTBEAT_TIMEOUT_MS } from '../../protocol/limits.ts'
import type { ConnectionId } from './events.ts'

export interface ConnectionState {
  readonly peer: string
  readonly secret: Uint8Array
  /** Row of the replica that this node has dialled; undefined for connections that came in. */
  readonly row: number | undefined
  readonly since: number
  heardAt: number
  inSession: boolean
}

export class Connections {
  readonly #states = new Map<ConnectionId, ConnectionState>()

  /** A connection that this node has dialled is in a session from its first byte on: adopting a history may take long. */
  add(connection: ConnectionId, state: Omit<ConnectionState, 'inSession' | 'since' | 'heardAt'>, now: number): void {
    this.#states.set(connection, { ...state, since: now, heardAt: now, inSession: state.row !== undefined })
  }

  get(connection: ConnectionId): ConnectionState | undefined {
    return this.#states.get(connection)
  }

  heard(connection: ConnectionId, now: number): ConnectionState | undefined {
    const state = this.#states.get(connection)
    if (state !== undefined) state.heardAt = now
    return state
  }

  remove(connection: ConnectionId): ConnectionState | undefined {
    const state = this.#states.get(connection)
    this.#states.delete(connection)
    return state
  }

  all(): IterableIterator<ConnectionId> {
    return this.#states.keys()
  }

  /** Connections whose time is up. */
  expired(now: number): { readonly connection: ConnectionId; readonly handshake: boolean }[] {
    const found: { connection: ConnectionId; handshake: boolean }[] = []
    for (const [connection, state] of this.#states) {
      // before the session whatever is said buys no time: else a peer could stay for ever without saying what it wants
      const late = state.inSession ? now - state.heardAt > HEARTBEAT_TIMEOUT_MS : now - state.since > HANDSHAKE_MS_MAX
      if (late) found.push({ connection, handshake: !state.inSession })
    }
    return found
  }
}
