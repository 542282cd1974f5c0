/**
 * The door to the network: streams of bytes between two peers, dialled by the one and accepted by the other.
 *
 * What is promised: bytes arrive in the order in which they were written, none twice, none changed by accident more often
 * than TCP does. What is *not* promised: that they arrive at all, or in pieces of the size in which they were written;
 * that a peer which is gone is ever noticed (a connection may stay half open for ever: heartbeats tell); that what was
 * written before `destroy`, or before the end of the connection, was read by anybody. An answer is the only proof.
 *
 * A handler is never called inside a call of its connection.
 */
import type { TravertineError } from './errors.ts'

export interface ConnectionHandler {
  /** A dialled connection is up; what was written before is on its way. */
  opened?(): void
  /** Bytes have come. The buffer is the handler's to keep, and nobody else writes to it. */
  data(chunk: Buffer): void
  /** All that was written has left this process, after more than a little had piled up. */
  drained?(): void
  /** The peer sends nothing any more; `closed` follows. */
  ended?(): void
  /** The connection is gone: called once, last, whoever ended it. `cause` says why if something went wrong. */
  closed(cause: Error | undefined): void
}

export interface Connection {
  /** host:port of the other end, for error places. */
  readonly peer: string
  /** Bytes written that have not left this process. */
  readonly unsentBytes: number
  /** Who hears from now on. Until there is a handler nothing is read. */
  handle(handler: ConnectionHandler): void
  /** The bytes must not change afterwards. */
  write(bytes: Uint8Array): void
  /** Writes all of them one behind the other. `taken` is called when they have left this process; never if they cannot. */
  writeAll(buffers: readonly Uint8Array[], taken?: () => void): void
  /** Reads nothing until `resume`. */
  pause(): void
  resume(): void
  /** Sends what was written, with these last words; what still comes is thrown away. A peer that does not close too is cut. */
  end(lastWords?: Uint8Array): void
  /** Sends what was written, then closes without waiting for the peer. */
  close(): void
  /** Closes at once. */
  destroy(): void
}

export interface Listener {
  readonly port: number
  /** No new connections; those that are there live on. */
  close(): void
  /** Closes at once what it has accepted. */
  destroyConnections(): void
}

export interface ListenPlace {
  readonly host: string
  readonly port: number
  readonly connectionLimit: number
  readonly addressLimit: number
}

export interface Network {
  dial(host: string, port: number): Connection
  /**
   * Each accepted connection gets its handler inside `accept`. At most `connectionLimit` live at once, and `addressLimit`
   * from one address. Some of those above are handed to `refuse`, to be told why; the others are cut.
   *
   * @throws PORT_IN_USE, CONFIG_INVALID
   */
  listen(
    at: ListenPlace,
    accept: (connection: Connection) => void,
    refuse: (connection: Connection, error: TravertineError) => void,
  ): Promise<Listener>
}
