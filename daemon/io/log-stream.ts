/**
 * One channel's log on its way over one connection, from a position on: the one sender, for replicas and readers.
 *
 * What is durable is read from the channel's files, one slice at a time and only as fast as the peer takes it. At the
 * live tail a replica is handed the buffers that are on their way to the disk; when its connection is full it falls behind, is
 * read for from the files until it is level again, and the next flush finds it at the live tail. The stream never queues
 * more than its limits, and never leaves a gap: `position` is that of the next byte on the wire, whatever its source.
 */
import type { Clock } from '../../protocol/clock.ts'
import type { Connection } from '../../protocol/connection.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { SENDER_QUEUE_BYTES_LIMIT } from '../../protocol/limits.ts'
import type { Segments } from '../../wal/segments.ts'

export interface LogStreamOptions {
  readonly clock: Clock
  /** Its handler calls `pump` when it has drained. */
  readonly connection: Connection
  /** The channel's files, opened for reading; whoever opened them closes them, after `stop`. */
  readonly files: Segments
  /** Where the first byte stands. */
  readonly position: number
  /** Bytes read in one go. Nothing is begun while as many wait in the connection. */
  readonly sliceBytes: number
  /** So many may wait in the connection, and a slice, when it catches up with what flushes have made durable meanwhile. */
  readonly queueBytes: number
  /** What lies below may be read from the files. */
  readonly durablePosition: () => number
  /** Is a flush planned that writers wait for? A slice gives way to it; `pump` is called when it is through. */
  readonly isFlushPlanned?: (() => boolean) | undefined
  /** The files cannot be read. */
  readonly onError: (error: TravertineError) => void
}

export class LogStream {
  readonly #options: LogStreamOptions
  #position: number
  /** Slices that the socket has taken, to be read into again: as garbage they pile up faster than anybody collects them. */
  readonly #free: Buffer[] = []
  #reading = false
  /**
   * How far behind it was when it could not go on: it gave way to a flush, or had filled the connection (over TLS it is full for
   * a turn, whatever the peer takes). Once it goes on it sends as much as has become durable since, and a slice at least: else a
   * channel that is always busy would leave its peers behind for ever.
   */
  #heldAt: number | undefined
  /** It gave way to the flush that is planned, or to the last one: it does not give way to a second one. */
  #gaveWay = false
  #stopped = false

  constructor(options: LogStreamOptions) {
    this.#options = options
    this.#position = options.position
  }

  /** Everything below was sent. */
  get position(): number {
    return this.#position
  }

  /** Bytes that are being flushed at `position`; sent at once if this stream is level and the connection has room. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    const { connection } = this.#options
    if (this.#stopped || this.#position !== position) return
    const { unsentBytes } = connection // into an empty socket any flush goes, one of the largest session too
    if (unsentBytes > 0 && unsentBytes + bytes > SENDER_QUEUE_BYTES_LIMIT) return
    connection.writeAll(buffers)
    this.#position += bytes
  }

  /** Goes on reading from the files if the peer is behind. Called after each flush, and when the connection has room. */
  pump(): void {
    const { clock, connection, sliceBytes, queueBytes } = this.#options
    if (this.#stopped || this.#reading || this.#lag <= 0) return
    if (connection.unsentBytes >= sliceBytes) return // `drained` goes on
    if (this.#givesWay()) return
    this.#reading = true
    clock.nextTurn(() => {
      this.#reading = false
      if (this.#stopped || (!this.#gaveWay && this.#givesWay())) return
      const lagEnough = this.#heldAt ?? Number.POSITIVE_INFINITY
      this.#heldAt = undefined
      this.#gaveWay = false
      do if (!this.#sendSlice()) return
      while (this.#lag >= lagEnough && connection.unsentBytes < queueBytes)
      if (connection.unsentBytes >= sliceBytes) this.#heldAt = this.#lag
      this.pump()
    })
  }

  stop(): void {
    this.#stopped = true
  }

  get #lag(): number {
    return this.#options.durablePosition() - this.#position
  }

  #givesWay(): boolean {
    if (this.#options.isFlushPlanned?.() !== true) return false
    this.#heldAt ??= this.#lag
    this.#gaveWay = true
    return true
  }

  /** @returns is there more to do? */
  #sendSlice(): boolean {
    const { connection, files, sliceBytes, onError } = this.#options
    if (this.#lag <= 0) return false
    try {
      const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(sliceBytes)
      const slice = buffer.subarray(0, files.read(this.#position, buffer.subarray(0, Math.min(this.#lag, sliceBytes))))
      if (slice.length === 0) throw cutShort(files.pathAt(this.#position), this.#position)
      connection.writeAll([slice], () => this.#free.push(buffer))
      this.#position += slice.length
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      onError(thrown)
      return false
    }
    return true
  }
}

/** Of a file that was whole when it was opened. */
const cutShort = (file: string, offset: number): TravertineError =>
  new TravertineError('LOG_DAMAGED', 'Cannot read what is durable: found the end of the files, expected more', {
    where: { file, offset },
    hint: 'somebody has cut or removed files of the log: keep the directory, and let a replica take over',
  })
