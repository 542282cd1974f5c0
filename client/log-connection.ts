/**
 * The socket of one producer: takes finished frames from the buffer, hands answers to the producer.
 *
 * All frames of one turn of the event loop leave in one write: a flush is put behind the microtasks of the turn
 * (`nextTick`, no timer), or done at once when a lot has come together. While the kernel does not take more bytes,
 * frames stay in the buffer and count as never sent.
 *
 * It decides nothing: what an answer or the end of the connection means is in producer.ts.
 */
import type { Socket } from 'node:net'
import { TravertineError } from '../protocol/errors.ts'
import { type ReplyHandler, ReplyReader } from '../protocol/log-reply.ts'
import type { Chunk, FrameBuffer } from './frame-buffer.ts'
import type { OpenedSocket } from './handshake.ts'

export interface LogConnectionHandler extends ReplyHandler {
  /** Everything that was in the buffer is now in the hands of the socket. */
  framesTaken(): void
  /** All replies of one read were handed over. */
  repliesRead(): void
  /** Called once, unless the connection is closed by us. */
  connectionLost(error: TravertineError): void
}

export class LogConnection {
  readonly #socket: Socket
  readonly #peer: string
  readonly #frames: FrameBuffer
  readonly #handler: LogConnectionHandler
  readonly #reader = new ReplyReader()
  #isFlushPlanned = false
  #isClosed = false
  /** Resolves when the socket is closed, by whomever. */
  readonly closed: Promise<void>

  constructor(opened: OpenedSocket, frames: FrameBuffer, handler: LogConnectionHandler) {
    this.#socket = opened.socket
    this.#peer = opened.peer
    this.#frames = frames
    this.#handler = handler
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
    this.#socket.on('error', (error) => this.#lost(`its socket failed: ${error.message}`, error))
    this.#socket.on('end', () => this.#lost('the node has closed it'))
    this.#socket.on('close', () => this.#lost('it was closed'))
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    if (opened.rest.length > 0) process.nextTick(() => this.#read(opened.rest))
    process.nextTick(() => this.#socket.resume())
  }

  /** Sends what is in the buffer when the current turn is over. */
  flushSoon(): void {
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    process.nextTick(this.#plannedFlush)
  }

  /** Sends what is in the buffer now, if the kernel takes it; else when it does. */
  flush(): void {
    if (this.#isClosed || this.#frames.queuedBytes === 0 || this.#socket.writableLength > 0) return
    const chunks = this.#frames.take()
    this.#handler.framesTaken()
    const written = (): void => this.#written(chunks)
    const last = chunks.length - 1
    if (last > 0) this.#socket.cork()
    for (const [i, { buffer, from, to }] of chunks.entries()) {
      this.#socket.write(buffer.subarray(from, to), i === last ? written : undefined)
    }
    if (last > 0) this.#socket.uncork()
  }

  /** @param isGraceful what was written is still delivered */
  close(isGraceful: boolean): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (isGraceful) this.#socket.destroySoon()
    else this.#socket.destroy()
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
