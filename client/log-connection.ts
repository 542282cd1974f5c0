/**
 * One log connection of a producer: takes the frames that are to be sent, hands answers to the producer.
 *
 * All frames of one turn of the event loop leave in one write: a flush is put at the end of the turn (no timer), or done
 * at once when a lot has come together. While the kernel does not take more bytes, frames wait and count as never sent.
 *
 * It decides nothing: what an answer means is in producer.ts, what its end means in log-link.ts.
 */
import type { Clock } from '../protocol/clock.ts'
import type { Connection } from '../protocol/connection.ts'
import { TravertineError } from '../protocol/errors.ts'
import { type ReplyHandler, ReplyReader } from '../protocol/log-reply.ts'
import type { OpenedConnection } from './handshake.ts'
import type { KeptFrames } from './kept-frames.ts'

export interface LogConnectionHandler extends ReplyHandler {
  /** Everything that was to be sent is now in the hands of the connection. */
  framesTaken(): void
  /** All replies of one read were handed over. */
  repliesRead(): void
}

export interface LogConnectionOptions {
  readonly clock: Clock
  readonly opened: OpenedConnection
  readonly frames: KeptFrames
  readonly handler: LogConnectionHandler
  /** Called once, unless the connection is closed by us. */
  readonly onLost: (error: TravertineError) => void
}

export class LogConnection {
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #peer: string
  readonly #frames: KeptFrames
  readonly #handler: LogConnectionHandler
  readonly #onLost: (error: TravertineError) => void
  readonly #reader = new ReplyReader()
  #isFlushPlanned = false
  #isClosed = false
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>

  constructor({ clock, opened, frames, handler, onLost }: LogConnectionOptions) {
    this.#clock = clock
    this.#connection = opened.connection
    this.#peer = opened.peer
    this.#frames = frames
    this.#handler = handler
    this.#onLost = onLost
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

  /** Sends what is to be sent when the current turn is over. */
  flushSoon(): void {
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    this.#clock.endOfTurn(this.#plannedFlush)
  }

  /** Sends what is to be sent now, if the kernel takes it; else when it does. */
  readonly flush = (): void => {
    if (this.#isClosed || this.#frames.unsentBytes === 0 || this.#connection.unsentBytes > 0) return
    const buffers = this.#frames.take()
    this.#handler.framesTaken()
    this.#connection.writeAll(buffers, this.flush)
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
    if (this.#isClosed) return
    this.close(false)
    this.#onLost(error)
  }
}
