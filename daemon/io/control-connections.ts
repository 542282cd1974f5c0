/**
 * The sockets of the control channel: accepts, dials, cuts streams into messages, and tells the core by events.
 * No decisions: who may stay and who must go is the core's.
 */
import { randomBytes } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { asError, TravertineError, toWireError } from '../../protocol/errors.ts'
import { CONNECTION_COUNT_LIMIT, HANDSHAKE_MS_MAX, UNREAD_BYTES_LIMIT } from '../../protocol/limits.ts'
import { SECRET_BYTES } from '../../protocol/message-field.ts'
import type { ConnectionId, Event } from '../core/events.ts'
import { endSocket, listenOn, peerOf } from './log-listener.ts'

export class ControlConnections {
  readonly #server: Server
  readonly #sockets = new Map<ConnectionId, Socket>()
  readonly #onEvent: (event: Event) => void
  /** Answers a status request; the core has no part in it. */
  readonly #status: () => Readonly<Record<string, unknown>>
  #nextId = 1
  #stopped = false

  constructor(onEvent: (event: Event) => void, status: () => Readonly<Record<string, unknown>>) {
    this.#onEvent = onEvent
    this.#status = status
    this.#server = createServer({ noDelay: true }, (socket) => this.#add(socket, undefined))
    this.#server.maxConnections = CONNECTION_COUNT_LIMIT
  }

  listen(host: string, port: number): Promise<number> {
    return listenOn(this.#server, host, port)
  }

  dial(row: number, address: string): void {
    const [host, port] = splitAddress(address)
    const socket = connect({ host, port, noDelay: true })
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), HANDSHAKE_MS_MAX)
    const onError = (thrown: Error): void => {
      clearTimeout(timer)
      if (this.#stopped) return
      this.#onEvent({
        type: 'dialFailed',
        row,
        error: new TravertineError('CONNECT_FAILED', `Cannot reach ${address}: ${thrown.message}`, {
          where: { peer: address },
          cause: thrown,
        }),
      })
    }
    socket.once('error', onError)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', onError)
      if (this.#stopped) socket.destroy()
      else this.#add(socket, row)
    })
  }

  send(connection: ConnectionId, message: Message): void {
    const socket = this.#sockets.get(connection)
    if (socket === undefined) return // it has gone; the core hears, or has heard, `closed`
    socket.write(encodeMessage(message))
    if (socket.writableLength > UNREAD_BYTES_LIMIT) socket.destroy() // a peer that does not read is cut
  }

  close(connection: ConnectionId): void {
    const socket = this.#sockets.get(connection)
    this.#sockets.delete(connection)
    if (socket !== undefined) endSocket(socket)
  }

  stop(): void {
    this.#stopped = true
    this.#server.close()
    for (const connection of [...this.#sockets.keys()]) this.close(connection)
  }

  #add(socket: Socket, row: number | undefined): void {
    const connection = this.#nextId++
    const peer = peerOf(socket)
    const reader = new MessageReader({ peer })
    this.#sockets.set(connection, socket)
    let failure: TravertineError | undefined
    socket.on('data', (chunk: Buffer) => {
      if (!this.#sockets.has(connection)) return
      try {
        for (const message of reader.push(chunk)) this.#receive(connection, message)
      } catch (thrown) {
        if (!(thrown instanceof TravertineError)) throw thrown
        failure = thrown
        this.send(connection, { type: 'error', error: toWireError(thrown) })
        this.close(connection)
        this.#onEvent({ type: 'closed', connection, error: thrown })
      }
    })
    socket.on('error', (thrown) => {
      failure ??= new TravertineError('CONNECTION_LOST', `Cannot talk to ${peer}: ${asError(thrown).message}`, {
        where: { peer },
        cause: thrown,
      })
    })
    socket.on('close', () => {
      if (!this.#sockets.delete(connection)) return // closed by us: the core knows
      this.#onEvent(
        failure === undefined ? { type: 'closed', connection } : { type: 'closed', connection, error: failure },
      )
    })
    const secret = randomBytes(SECRET_BYTES)
    this.#onEvent(
      row === undefined
        ? { type: 'connected', connection, peer, secret }
        : { type: 'connected', connection, peer, secret, row },
    )
  }

  #receive(connection: ConnectionId, message: Message): void {
    if (message.type === 'status') this.send(connection, { type: 'status_ok', status: this.#status() })
    else this.#onEvent({ type: 'message', connection, message })
  }
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
