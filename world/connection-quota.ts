/**
 * How many connections one port takes, in all and from one address. One address cannot take all of them, so that others
 * still get in. Who comes above a limit is let in as far as to be told why; beyond `REFUSED_CONNECTION_COUNT_LIMIT` of those
 * the system cuts (`maxConnections` of the server), as telling costs something, too.
 */
import type { Socket } from 'node:net'
import { TravertineError } from '../protocol/errors.ts'
import { REFUSED_CONNECTION_COUNT_LIMIT } from '../protocol/limits.ts'

export interface ConnectionLimits {
  readonly connectionLimit: number
  readonly addressLimit: number
}

export class ConnectionQuota {
  readonly #limits: ConnectionLimits
  readonly #byAddress = new Map<string, number>()
  /** Peers that came above a limit, by address and port: TCP's socket and that of TLS above it have the same. */
  readonly #refused = new Map<string, TravertineError>()
  #count = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  /** For the server. */
  get maxConnections(): number {
    return this.#limits.connectionLimit + REFUSED_CONNECTION_COUNT_LIMIT
  }

  /** A TCP connection has come in. */
  enter(socket: Socket): void {
    const peer = peerOf(socket)
    const address = socket.remoteAddress ?? ''
    const ofAddress = this.#byAddress.get(address) ?? 0
    const { connectionLimit, addressLimit } = this.#limits
    if (this.#count >= connectionLimit) this.#refuse(socket, peer, `${connectionLimit} of them on this port`)
    else if (ofAddress >= addressLimit) this.#refuse(socket, peer, `${addressLimit} of them from ${address}`)
    else {
      this.#count++
      this.#byAddress.set(address, ofAddress + 1)
      socket.once('close', () => this.#leave(address))
    }
  }

  /** Why this connection must not be served. */
  refusalOf(socket: Socket): TravertineError | undefined {
    return this.#refused.get(peerOf(socket))
  }

  #refuse(socket: Socket, peer: string, found: string): void {
    const error = new TravertineError(
      'CONNECTION_LIMIT',
      `Cannot take a connection: found ${found}, which is the limit`,
      { where: { peer }, hint: 'close connections that are not needed' },
    )
    this.#refused.set(peer, error)
    socket.once('close', () => this.#refused.delete(peer))
  }

  #leave(address: string): void {
    this.#count--
    const left = (this.#byAddress.get(address) ?? 1) - 1
    if (left === 0) this.#byAddress.delete(address)
    else this.#byAddress.set(address, left)
  }
}

export const peerOf = (socket: Socket): string => `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
