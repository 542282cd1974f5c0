/**
 * The log connection of one producer: takes finished frames from the buffer, hands answers to the producer.
 *
 * All frames of one turn of the event loop leave in one write: a flush is put behind the microtasks of the turn
 * (`endOfTurn`, no timer), or done at once when a lot has come together. While the kernel does not take more bytes,
 * frames stay in the buffer and count as never sent.
 *
 * It decides nothing: what an answer or the end of the connection means is in producer.ts.
 */
import type { Clock } from '../protocol/clock.ts'
import type { Connection } from '../protocol/connection.ts'
import { TravertineError } from '../protocol/errors.ts'
import { type ReplyHandler, ReplyReader } from '../protocol/log-reply.ts'
import type { Chunk, FrameBuffer } from './frame-buffer.ts'
import type { OpenedConnection } from './handshake.ts'

export interface LogConnectionHandler extends ReplyHandler {
  /** Everything that was in the buffer is now in the hands of the connection. */
  framesTaken(): void
  /** All replies of one read were handed over. */
  repliesRead(): void
  /** Called once, unless the connection is closed by us. */
  connectionLost(error: TravertineError): void
}

export class LogConnection {
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #peer: string
  readonly #frames: FrameBuffer
  readonly #handler: LogConnectionHandler
  readonly #reader = new ReplyReader()
  #isFlushPlanned = false
  #isClosed = false
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>

  constructor(clock: Clock, opened: OpenedConnection, frames: FrameBuffer, handler: LogConnectionHandler) {
    this.#clock = clock
    this.#connection = opened.connection
    this.#peer = opened.peer
    this.#frames = frames
    this.#handler = handler
    this.closed = new Promise((resolve) => {
      this.#connection.handle({
        data: (chunk) => this.#read(chunk),
        ended: () => this.#lost('the node has closed it'),
        closed: (cause) => {
          resolve()
          this.#lost(cause === undefined ? 'it was closed' : `its socket failed: ${cause.message}`, cause)
        },
      })
    })
    clock.endOfTurn(() => {
      if (opened.rest.length > 0) this.#read(opened.rest)
      this.#connection.resume()
    })
  }

  /** Sends what is in the buffer when the current turn is over. */
  flushSoon(): void {
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    this.#clock.endOfTurn(this.#plannedFlush)
  }

  /** Sends what is in the buffer now, if the kernel takes it; else when it does. */
  flush(): void {
    if (this.#isClosed || this.#frames.queuedBytes === 0 || this.#connection.unsentBytes > 0) return
    const chunks = this.#frames.take()
    this.#handler.framesTaken()
    this.#connection.writeAll(
      chunks.map(({ buffer, from, to }) => buffer.subarray(from, to)),
      () => this.#written(chunks),
    )
  }

  /** @param isGraceful what was written is still delivered */
  close(isGraceful: boolean): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (isGraceful) this.#connection.close()
    else this.#connection.destroy()
  }

  readonly #plannedFlush = (): void => {
    this.#isFlushPlanned = false
    this.flush()
  }

  #written(chunks: readonly Chunk[]): void {
    if (this.#isClosed) return
    this.#frames.release(chunks)
    this.flush()
  }

  #read(chunk: Buffer): void {
    if (this.#isClosed) return
    try {
      this.#reader.push(chunk, this.#handler)
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      this.#end(error)
      return
    }
    this.#handler.repliesRead()
  }

  #lost(what: string, cause?: Error): void {
    this.#end(
      new TravertineError('CONNECTION_LOST', `Cannot go on with the log connection to ${this.#peer}: ${what}`, {
        where: { peer: this.#peer },
        cause,
      }),
    )
  }

  #end(error: TravertineError): void {
    if (!this.#isClosed) this.#handler.connectionLost(error)
  }
}
