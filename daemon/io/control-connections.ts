/**
 * The connections of the control channel: accepts, dials, cuts streams into messages, and tells the core by events.
 * No decisions: who may stay and who must go is the core's.
 */
import { splitAddress as splitText } from '../../protocol/address.ts'
import type { SharedSecret } from '../../protocol/authentication.ts'
import type { Connection, Listener } from '../../protocol/connection.ts'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import {
  ADDRESS_CONNECTION_COUNT_LIMIT,
  CONNECTION_COUNT_LIMIT,
  HANDSHAKE_MS_MAX,
  REFUSED_NOTE_MS,
  UNREAD_BYTES_LIMIT,
} from '../../protocol/limits.ts'
import { SECRET_BYTES } from '../../protocol/message-field.ts'
import type { World } from '../../protocol/world.ts'
import type { ConnectionId, Event } from '../core/events.ts'
import { AcceptGate, DialGate, type Passage } from './auth-gate.ts'

export interface ControlOptions {
  readonly world: World
  readonly onEvent: (event: Event) => void
  /** A connection came above a limit, and was told so. Called once a minute at most. */
  readonly onRefused: (error: TravertineError) => void
  /** An error was sent to the other side; of connections above a limit those that `onRefused` does not tell of. */
  readonly onTold: (code: string) => void
  /** Answers a status request; the core has no part in it. */
  readonly status: () => Readonly<Record<string, unknown>>
  /** Asked for on each new connection, so that they can change; none: everybody may connect. */
  readonly secrets: () => readonly SharedSecret[]
}

/** What each message passes on its way to the core; undefined where no secret is asked for. */
type Gate = { receive(message: Message): Passage } | undefined

export class ControlConnections {
  readonly #world: World
  readonly #connections = new Map<ConnectionId, Connection>()
  readonly #options: ControlOptions
  #listener: Listener | undefined
  #nextId = 1
  #stopped = false
  /** Until then nobody is told of connections that were refused. */
  #quietUntil = 0

  constructor(options: ControlOptions) {
    this.#world = options.world
    this.#options = options
  }

  get count(): number {
    return this.#connections.size
  }

  /** Resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
  async listen(host: string, port: number): Promise<number> {
    this.#listener = await this.#world.network.listen(
      { host, port, connectionLimit: CONNECTION_COUNT_LIMIT, addressLimit: ADDRESS_CONNECTION_COUNT_LIMIT },
      (connection) => this.#add(connection, undefined),
      (connection, error) => this.#refuse(connection, error),
    )
    if (this.#stopped) this.#listener.close()
    return this.#listener.port
  }

  /** The core hears `connected` when the other side has proven itself, or `dialFailed`. */
  dial(row: number, address: string): void {
    const secrets = this.#options.secrets()
    const failed = (error: TravertineError): void => {
      if (!this.#stopped) this.#options.onEvent({ type: 'dialFailed', row, error })
    }
    let gate: DialGate | undefined
    try {
      if (secrets.length > 0) gate = new DialGate(secrets, this.#world.randomBytes(SECRET_BYTES))
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.#world.clock.nextTurn(() => failed(thrown)) // never inside the step that asked for it
      return
    }
    const [host, port] = splitAddress(address)
    const connection = this.#world.network.dial(host, port)
    let reason: TravertineError | undefined
    const give = (error: TravertineError): void => {
      reason ??= error
      connection.destroy()
    }
    const timer = this.#world.clock.after(HANDSHAKE_MS_MAX, () => give(unreachable(address, 'no answer in time')))
    const reader = new MessageReader({ peer: address })
    const ready = (): void => {
      timer.cancel()
      if (this.#stopped) connection.destroy()
      else this.#add(connection, row, reader)
    }
    connection.handle({
      opened: () => (gate === undefined ? ready() : connection.write(encodeMessage(gate.begin()))),
      data: (chunk) => {
        try {
          const [message] = reader.push(chunk, 1)
          if (message === undefined || gate === undefined) return
          for (const reply of gate.receive(message).replies) connection.write(encodeMessage(reply))
          ready()
        } catch (thrown) {
          if (!(thrown instanceof TravertineError)) throw thrown
          give(thrown)
        }
      },
      closed: (cause) => {
        timer.cancel()
        failed(reason ?? unreachable(address, cause?.message ?? 'it was closed', cause))
      },
    })
  }

  send(id: ConnectionId, message: Message): void {
    const connection = this.#connections.get(id)
    if (connection === undefined) return // it has gone; the core hears, or has heard, `closed`
    connection.write(encodeMessage(message))
    if (message.type === 'error') this.#options.onTold(message.error.code)
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

  #refuse(connection: Connection, error: TravertineError): void {
    connection.end(encodeMessage({ type: 'error', error: toWireError(error) }))
    const now = this.#world.clock.now()
    if (now < this.#quietUntil) return this.#options.onTold(error.code)
    this.#quietUntil = now + REFUSED_NOTE_MS
    this.#options.onRefused(error)
  }

  #add(connection: Connection, row: number | undefined, reader = new MessageReader({ peer: connection.peer })): void {
    const id = this.#nextId++
    const { peer } = connection
    const { onEvent } = this.#options
    const secrets = this.#options.secrets()
    const isAsked = row === undefined && secrets.length > 0
    const gate: Gate = isAsked ? new AcceptGate(secrets, this.#world.randomBytes(SECRET_BYTES)) : undefined
    this.#connections.set(id, connection)
    connection.handle({
      data: (chunk) => {
        if (!this.#connections.has(id)) return
        try {
          for (const message of reader.push(chunk)) this.#receive(id, message, gate)
        } catch (thrown) {
          if (!(thrown instanceof TravertineError)) throw thrown
          this.send(id, { type: 'error', error: toWireError(thrown) })
          this.close(id)
          onEvent({ type: 'closed', connection: id, error: thrown })
        }
      },
      closed: (cause) => {
        if (!this.#connections.delete(id)) return // closed by us: the core knows
        if (cause === undefined) onEvent({ type: 'closed', connection: id })
        else onEvent({ type: 'closed', connection: id, error: lost(peer, cause) })
      },
    })
    const secret = this.#world.randomBytes(SECRET_BYTES)
    onEvent(
      row === undefined
        ? { type: 'connected', connection: id, peer, secret }
        : { type: 'connected', connection: id, peer, secret, row },
    )
  }

  /** @throws AUTHENTICATION_FAILED, PERMISSION_DENIED */
  #receive(connection: ConnectionId, message: Message, gate: Gate): void {
    const { replies, passes } = gate?.receive(message) ?? OPEN
    for (const reply of replies) this.send(connection, reply)
    if (!passes) return
    if (message.type === 'status') this.send(connection, { type: 'status_ok', status: this.#options.status() })
    else this.#options.onEvent({ type: 'message', connection, message })
  }
}

const OPEN: Passage = { replies: [], passes: true }

function unreachable(address: string, found: string, cause?: Error): TravertineError {
  return new TravertineError('CONNECT_FAILED', `Cannot reach ${address}: ${found}`, {
    where: { peer: address },
    cause,
  })
}

function lost(peer: string, cause: Error): TravertineError {
  return new TravertineError('CONNECTION_LOST', `Cannot talk to ${peer}: ${cause.message}`, { where: { peer }, cause })
}

/** @throws CONFIG_INVALID */
export function splitAddress(address: string): readonly [string, number] {
  const parts = splitText(address)
  if (parts === undefined) {
    throw new TravertineError('CONFIG_INVALID', `Cannot use address "${address}": expected host:port`, {
      hint: 'for example 127.0.0.1:7400',
    })
  }
  return parts
}
