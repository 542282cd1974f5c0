/**
 * The listener of one channel: accepts log connections, does the opening handshake within its limit, and hands the
 * socket over with whatever bytes came behind the first message.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { asError, TravertineError, toWireError } from '../../protocol/errors.ts'
import { CONNECTION_COUNT_LIMIT, HANDSHAKE_MS_MAX, LINGER_MS_MAX } from '../../protocol/limits.ts'

/** Takes over opened connections, and answers with log_open_ok or log_read_ok. @throws TravertineError to refuse */
export interface LogOpenings {
  /** Somebody wants to append: a client on a master, a master on a replica. */
  append(socket: Socket, open: Message<'log_open'>, rest: Buffer): void
  read(socket: Socket, open: Message<'log_read'>, rest: Buffer): void
}

export class LogListener {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #openings: LogOpenings

  constructor(openings: LogOpenings) {
    this.#openings = openings
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
    this.#server.maxConnections = CONNECTION_COUNT_LIMIT
  }

  /** Resolves with the port. @throws PORT_IN_USE */
  listen(host: string, port: number): Promise<number> {
    return listenOn(this.#server, host, port)
  }

  /** No new connections. */
  stopListening(): void {
    this.#server.close()
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy()) // the close handler of whoever owns it says what is lost
    const reader = new MessageReader({ peer: peerOf(socket) })
    const timer = setTimeout(() => {
      refuse(
        socket,
        new TravertineError('HANDSHAKE_TIMEOUT', 'Cannot open a log connection: found no log_open or log_read in time'),
      )
    }, HANDSHAKE_MS_MAX)
    socket.once('close', () => clearTimeout(timer))
    const onData = (chunk: Buffer): void => {
      try {
        const [message] = reader.push(chunk, 1)
        if (message === undefined) return
        clearTimeout(timer)
        socket.off('data', onData)
        const rest = reader.takeRest()
        if (message.type === 'log_open') this.#openings.append(socket, message, rest)
        else if (message.type === 'log_read') this.#openings.read(socket, message, rest)
        else throw unexpectedOpening(message)
      } catch (thrown) {
        clearTimeout(timer)
        socket.off('data', onData)
        if (!(thrown instanceof TravertineError)) throw thrown
        refuse(socket, thrown)
      }
    }
    socket.on('data', onData)
  }
}

function unexpectedOpening({ type }: Message): TravertineError {
  return new TravertineError(
    'MESSAGE_UNEXPECTED',
    `Cannot open a log connection: found ${type}, expected log_open or log_read`,
  )
}

/** Says why, and closes. */
function refuse(socket: Socket, error: TravertineError): void {
  endSocket(socket, encodeMessage({ type: 'error', error: toWireError(error) }))
}

/** Sends the last bytes and ends; what still comes in is thrown away. A peer that does not end too is cut in the end. */
export function endSocket(socket: Socket, bytes?: Buffer): void {
  if (bytes === undefined) socket.end()
  else socket.end(bytes)
  socket.resume() // let the end of the stream arrive, and with it `close`
  const timer = setTimeout(() => socket.destroy(), LINGER_MS_MAX)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}

export const peerOf = (socket: Socket): string => `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`

/** Listens and resolves with the port. @throws PORT_IN_USE, CONFIG_INVALID */
export function listenOn(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (thrown) => {
      const cause = asError(thrown)
      const inUse = 'code' in cause && cause.code === 'EADDRINUSE'
      reject(
        new TravertineError(
          inUse ? 'PORT_IN_USE' : 'CONFIG_INVALID',
          `Cannot listen on ${host}:${port}: ${cause.message}`,
          {
            where: { peer: `${host}:${port}` },
            hint: inUse
              ? 'another process listens there; stop it, or choose another port'
              : 'check the host and the port',
            cause,
          },
        ),
      )
    })
    server.listen({ host, port }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}
