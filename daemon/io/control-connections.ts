/**
 * The connections of the control channel: accepts, dials, cuts streams into messages, and tells the core by events.
 * No decisions: who may stay and who must go is the core's.
 */
import type { Connection, Listener } from '../../protocol/connection.ts'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { CONNECTION_COUNT_LIMIT, HANDSHAKE_MS_MAX, UNREAD_BYTES_LIMIT } from '../../protocol/limits.ts'
import { SECRET_BYTES } from '../../protocol/message-field.ts'
import type { World } from '../../protocol/world.ts'
import type { ConnectionId, Event } from '../core/events.ts'

export class ControlConnections {
  readonly #world: World
  readonly #connections = new Map<ConnectionId, Connection>()
  readonly #onEvent: (event: Event) => void
  /** Answers a status request; the core has no part in it. */
  readonly #status: () => Readonly<Record<string, unknown>>
  #listener: Listener | undefined
  #nextId = 1
  #stopped = false

  constructor(world: World, onEvent: (event: Event) => void, status: () => Readonly<Record<string, unknown>>) {
    this.#world = world
    this.#onEvent = onEvent
    this.#status = status
  }

  get count(): number {
    return this.#connections.size
  }

  /** Resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
  async listen(host: string, port: number): Promise<number> {
    const at = { host, port, connectionLimit: CONNECTION_COUNT_LIMIT }
    this.#listener = await this.#world.network.listen(at, (connection) => this.#add(connection, undefined))
    if (this.#stopped) this.#listener.close()
    return this.#listener.port
  }

  dial(row: number, address: string): void {
    const [host, port] = splitAddress(address)
    const connection = this.#world.network.dial(host, port)
    let isLate = false
    const timer = this.#world.clock.after(HANDSHAKE_MS_MAX, () => {
      isLate = true
      connection.destroy()
    })
    connection.handle({
      opened: () => {
        timer.cancel()
        if (this.#stopped) connection.destroy()
        else this.#add(connection, row)
      },
      data: () => undefined, // comes after `opened`, to another handler
      closed: (cause) => {
        timer.cancel()
        if (this.#stopped) return
        const found = isLate ? 'no answer in time' : (cause?.message ?? 'it was closed')
        this.#onEvent({
          type: 'dialFailed',
          row,
          error: new TravertineError('CONNECT_FAILED', `Cannot reach ${address}: ${found}`, {
            where: { peer: address },
            cause,
          }),
        })
      },
    })
  }

  send(id: ConnectionId, message: Message): void {
    const connection = this.#connections.get(id)
    if (connection === undefined) return // it has gone; the core hears, or has heard, `closed`
    connection.write(encodeMessage(message))
    if (connection.unsentBytes > UNREAD_BYTES_LIMIT) connection.destroy() // a peer that does not read is cut
  }

  close(id: ConnectionId): void {
    const connection = this.#connections.get(id)
    this.#connections.delete(id)
    connection?.end()
  }

  stop(): void {
    this.#stopped = true
    this.#listener?.close()
    for (const id of [...this.#connections.keys()]) this.close(id)
  }

  #add(connection: Connection, row: number | undefined): void {
    const id = this.#nextId++
    const { peer } = connection
    const reader = new MessageReader({ peer })
    this.#connections.set(id, connection)
    connection.handle({
      data: (chunk) => {
        if (!this.#connections.has(id)) return
        try {
          for (const message of reader.push(chunk)) this.#receive(id, message)
        } catch (thrown) {
          if (!(thrown instanceof TravertineError)) throw thrown
          this.send(id, { type: 'error', error: toWireError(thrown) })
          this.close(id)
          this.#onEvent({ type: 'closed', connection: id, error: thrown })
        }
      },
      closed: (cause) => {
        if (!this.#connections.delete(id)) return // closed by us: the core knows
        if (cause === undefined) this.#onEvent({ type: 'closed', connection: id })
        else this.#onEvent({ type: 'closed', connection: id, error: lost(peer, cause) })
      },
    })
    const secret = this.#world.randomBytes(SECRET_BYTES)
    this.#onEvent(
      row === undefined
        ? { type: 'connected', connection: id, peer, secret }
        : { type: 'connected', connection: id, peer, secret, row },
    )
  }

  #receive(connection: ConnectionId, message: Message): void {
    if (message.type === 'status') this.send(connection, { type: 'status_ok', status: this.#status() })
    else this.#onEvent({ type: 'message', connection, message })
  }
}

function lost(peer: string, cause: Error): TravertineError {
  return new TravertineError('CONNECTION_LOST', `Cannot talk to ${peer}: ${cause.message}`, { where: { peer }, cause })
}

/** @throws CONFIG_INVALID */
export function splitAddress(address: string): [string, number] {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):(\d{1,5})$/.exec(address)
  const port = Number(match?.[3])
  const host = match?.[1] ?? match?.[2]
  if (host === undefined || !(port > 0 && port < 65_536)) {
    throw new TravertineError('CONFIG_INVALID', `Cannot use address "${address}": expected host:port`, {
      hint: 'for example 127.0.0.1:7400',
    })
  }
  return [host, port]
}
