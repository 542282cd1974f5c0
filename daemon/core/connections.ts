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
  heardAt: number
  inSession: boolean
}

export class Connections {
  readonly #states = new Map<ConnectionId, ConnectionState>()

  add(connection: ConnectionId, state: Omit<ConnectionState, 'inSession'>): void {
    this.#states.set(connection, { ...state, inSession: false })
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
      const limit = state.inSession ? HEARTBEAT_TIMEOUT_MS : HANDSHAKE_MS_MAX
      if (now - state.heardAt > limit) found.push({ connection, handshake: !state.inSession })
    }
    return found
  }
}
