/**
 * The network door on Node's TCP sockets. Small writes go out at once (noDelay): whoever has more to say in one turn
 * says it in one `writeAll`.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Connection, ConnectionHandler, Listener, ListenPlace, Network } from '../protocol/connection.ts'
import { asError, TravertineError } from '../protocol/errors.ts'
import { LINGER_MS_MAX, SOCKET_KEEP_ALIVE_MS } from '../protocol/limits.ts'
import { ConnectionQuota, peerOf } from './connection-quota.ts'

/** Any stream socket; `openedEvent` is the event that says a dialled one is ready: of TLS, after its handshake. */
export class NodeConnection implements Connection {
  readonly #socket: Socket
  #peer: string
  #handler: ConnectionHandler | undefined
  #cause: Error | undefined

  constructor(socket: Socket, peer: string, openedEvent: 'connect' | 'secureConnect' = 'connect') {
    this.#socket = socket
    this.#peer = peer
    socket.on('error', (error) => {
      this.#cause = error
      socket.destroy()
    })
    socket.on(openedEvent, () => {
      this.#peer = peerOf(socket)
      this.#handler?.opened?.()
    })
    socket.on('drain', () => this.#handler?.drained?.())
    socket.on('end', () => this.#handler?.ended?.())
    socket.on('close', () => this.#handler?.closed(this.#cause))
  }

  get peer(): string {
    return this.#peer
  }

  get unsentBytes(): number {
    return this.#socket.writableLength
  }

  handle(handler: ConnectionHandler): void {
    const isFirst = this.#handler === undefined
    this.#handler = handler
    if (isFirst) this.#socket.on('data', (chunk: Buffer) => this.#handler?.data(chunk)) // begins to read
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  writeAll(buffers: readonly Uint8Array[], taken?: () => void): void {
    const last = buffers.length - 1
    if (last > 0) this.#socket.cork()
    for (let i = 0; i < last; i++) this.#socket.write(buffers[i]!)
    // of a destroyed socket Node reports success as well
    if (last >= 0) {
      this.#socket.write(buffers[last]!, taken && ((error) => (error || this.#socket.destroyed ? undefined : taken())))
    }
    if (last > 0) this.#socket.uncork()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(lastWords?: Uint8Array): void {
    const socket = this.#socket
    if (lastWords === undefined) socket.end()
    else socket.end(lastWords)
    socket.removeAllListeners('data')
    socket.resume() // let the end of the stream arrive, and with it `close`
    const timer = setTimeout(() => socket.destroy(), LINGER_MS_MAX)
    timer.unref()
    socket.once('close', () => clearTimeout(timer))
  }

  close(): void {
    this.#socket.destroySoon()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** Heartbeats watch control connections; what watches a log connection that has nothing to say is the kernel. */
export const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: SOCKET_KEEP_ALIVE_MS } as const

export const nodeNetwork: Network = {
  dial: (host, port) => new NodeConnection(connect({ host, port, ...SOCKET_OPTIONS }), `${host}:${port}`),
  listen: (at, accept, refuse) => {
    const quota = new ConnectionQuota(at)
    const server = createServer(SOCKET_OPTIONS, serve(quota, accept, refuse))
    return listenOn(server, at, quota)
  },
}

/** What becomes of a socket that is ready to be talked to. */
export function serve(
  quota: ConnectionQuota,
  accept: Parameters<Network['listen']>[1],
  refuse: Parameters<Network['listen']>[2],
): (socket: Socket) => void {
  return (socket) => {
    const connection = new NodeConnection(socket, peerOf(socket))
    const refusal = quota.refusalOf(socket)
    if (refusal === undefined) accept(connection)
    else refuse(connection, refusal)
  }
}

/** The server's own listeners ask `quota` whether they may serve a socket. */
export function listenOn(
  server: Server,
  { host, port }: Pick<ListenPlace, 'host' | 'port'>,
  quota: ConnectionQuota,
): Promise<Listener> {
  const sockets = new Set<Socket>() // TCP's, below TLS too
  server.maxConnections = quota.maxConnections
  server.prependListener('connection', (socket) => {
    quota.enter(socket)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return new Promise((resolve, reject) => {
    server.once('error', (thrown) => reject(listenFailed(host, port, asError(thrown))))
    server.listen({ host, port }, () => {
      const address = server.address()
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        close: () => {
          server.close()
        },
        destroyConnections: () => {
          for (const socket of sockets) socket.destroy()
        },
      })
    })
  })
}

function listenFailed(host: string, port: number, cause: Error): TravertineError {
  const inUse = 'code' in cause && cause.code === 'EADDRINUSE'
  return new TravertineError(
    inUse ? 'PORT_IN_USE' : 'CONFIG_INVALID',
    `Cannot listen on ${host}:${port}: ${cause.message}`,
    {
      where: { peer: `${host}:${port}` },
      hint: inUse
        ? 'somebody listens there, another process or this node itself: stop it, or choose another port'
        : 'check the host and the port',
      cause,
    },
  )
}
