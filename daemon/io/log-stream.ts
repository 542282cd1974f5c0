/**
 * One channel's log on its way over one socket, from a position on: the one sender, for replicas and readers.
 *
 * What is durable is read from the channel's files, one slice at a time and only as fast as the peer takes it. At the
 * live tail a replica is handed the buffers that are on their way to the disk; when its socket is full it falls behind, is
 * read for from the files until it is level again, and the next flush finds it at the live tail. The stream never queues
 * more than its limits, and never leaves a gap: `position` is that of the next byte on the wire, whatever its source.
 */
import type { Socket } from 'node:net'
import { TravertineError } from '../../protocol/errors.ts'
import { SENDER_QUEUE_BYTES_LIMIT } from '../../protocol/limits.ts'
import type { Segments } from '../../wal/segments.ts'

export interface LogStreamOptions {
  readonly socket: Socket
  /** The channel's files, opened for reading; whoever opened them closes them, after `stop`. */
  readonly files: Segments
  /** Where the first byte stands. */
  readonly position: number
  /** Bytes read in one go. Nothing is read while as many wait in the socket. */
  readonly sliceBytes: number
  /** What lies below may be read from the files. */
  readonly durablePosition: () => number
  /** The files cannot be read. */
  readonly onError: (error: TravertineError) => void
}

export class LogStream {
  readonly #options: LogStreamOptions
  #position: number
  #reading = false
  #stopped = false

  constructor(options: LogStreamOptions) {
    this.#options = options
    this.#position = options.position
    options.socket.on('drain', () => this.pump())
  }

  /** Everything below was sent. */
  get position(): number {
    return this.#position
  }

  /** Bytes that are being flushed at `position`; sent at once if this stream is level and the socket has room. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    const { socket } = this.#options
    if (this.#stopped || this.#position !== position || socket.writableLength + bytes > SENDER_QUEUE_BYTES_LIMIT) return
    if (buffers.length === 1) socket.write(buffers[0]!)
    else {
      socket.cork()
      for (const buffer of buffers) socket.write(buffer)
      socket.uncork()
    }
    this.#position += bytes
  }

  /** Goes on reading from the files if the peer is behind. Called after each flush, and when the socket has room. */
  pump(): void {
    const { socket, sliceBytes, durablePosition } = this.#options
    if (this.#stopped || this.#reading || this.#position >= durablePosition()) return
    if (socket.writableLength >= sliceBytes) return // the drain event goes on
    this.#reading = true
    setImmediate(() => {
      this.#reading = false
      if (!this.#stopped) this.#sendSlice()
    })
  }

  stop(): void {
    this.#stopped = true
  }

  #sendSlice(): void {
    const { socket, files, sliceBytes, durablePosition, onError } = this.#options
    const behind = durablePosition() - this.#position
    if (behind <= 0) return
    try {
      const slice = Buffer.allocUnsafeSlow(Math.min(behind, sliceBytes))
      const got = files.read(this.#position, slice)
      socket.write(slice.subarray(0, got))
      this.#position += got
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      onError(thrown)
      return
    }
    this.pump()
  }
}
