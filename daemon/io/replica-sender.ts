/**
 * The master's end of one replica's log connection on one channel: opens it, streams the log (log-stream.ts), and hears
 * what the replica has made durable.
 *
 * A network may swallow one connection and leave the others be: TCP notices after a quarter of an hour, or never. So where bytes
 * are on their way and nothing has come back for ACK_SILENCE_MS_MAX, the row goes down and is opened anew.
 */
import type { Clock, Timer } from '../../protocol/clock.ts'
import type { Connection } from '../../protocol/connection.ts'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'
import {
  ACK_SILENCE_MS_MAX,
  HANDSHAKE_MS_MAX,
  LOG_SLICE_BYTES,
  SENDER_QUEUE_BYTES_LIMIT,
} from '../../protocol/limits.ts'
import { ReplyReader } from '../../protocol/log-reply.ts'
import type { Segments } from '../../wal/segments.ts'
import { LogStream } from './log-stream.ts'

export interface ReplicaSenderOptions {
  readonly clock: Clock
  readonly channel: number
  /** Dialled; the sender opens the log channel on it. */
  readonly connection: Connection
  readonly peerSession: bigint
  readonly version: number
  readonly secret: Uint8Array
  /** Durable end of the replica. */
  readonly resume: number
  /** The channel's files, opened for reading; closed by the sender. */
  readonly files: Segments
  /** What lies below may be read from the files. */
  readonly durablePosition: () => number
  /** Is a flush planned that writers wait for? `pump` is called when it is through. */
  readonly isFlushPlanned?: (() => boolean) | undefined
  readonly onOpen: (position: number) => void
  /** @param flushMicros what the replica's write and fdatasync took */
  readonly onDurable: (position: number, flushMicros: number) => void
  /** Called once. */
  readonly onDown: (error: TravertineError | undefined) => void
}

export class ReplicaSender {
  readonly #options: ReplicaSenderOptions
  readonly #connection: Connection
  readonly #replies = new ReplyReader()
  /** From `log_open_ok` on. */
  #stream: LogStream | undefined
  #down = false
  #durablePosition: number
  /** Runs while bytes are on their way, and no longer than until it finds none. */
  #silence: Timer | undefined
  #hasReplied = false
  /** Received position as the replica says: status only. */
  receivedPosition: number

  constructor(options: ReplicaSenderOptions) {
    this.#options = options
    this.receivedPosition = options.resume
    this.#durablePosition = options.resume
    this.#connection = options.connection
    this.#handshake()
  }

  /** Bytes that are being flushed at `position`; sent at once if this sender is level and the connection has room. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    this.#stream?.offer(position, buffers, bytes)
    this.#watch()
  }

  /** Goes on reading from the files if this sender is behind. */
  pump(): void {
    this.#stream?.pump()
    this.#watch()
  }

  close(): void {
    this.#fail(undefined)
  }

  #handshake(): void {
    const { clock, channel, peerSession, version, secret } = this.#options
    const timer = clock.after(HANDSHAKE_MS_MAX, () =>
      this.#fail(new TravertineError('HANDSHAKE_TIMEOUT', `Cannot open log channel ${channel}: no answer in time`)),
    )
    const reader = new MessageReader({ channel })
    const closed = (cause: Error | undefined): void => {
      timer.cancel()
      this.#fail(lost(channel, cause))
    }
    this.#connection.handle({
      data: (chunk) => {
        if (this.#down) return
        try {
          const [answer] = reader.push(chunk, 1)
          if (answer === undefined) return
          timer.cancel()
          this.#opened(answer, closed)
          this.#receive(reader.takeRest())
          this.pump()
        } catch (thrown) {
          if (!(thrown instanceof TravertineError)) throw thrown
          this.#fail(thrown)
        }
      },
      closed,
    })
    const noProducer = { producer: 0n, sent: 0, answered: 0, since: 0n, level: 'stored' } as const
    this.#connection.write(
      encodeMessage({ type: 'log_open', version, session: peerSession, secret, channel, ...noProducer }),
    )
  }

  #opened(answer: Message, closed: (cause: Error | undefined) => void): void {
    const { resume, onOpen } = this.#options
    this.#checkAnswer(answer, resume)
    const stream = this.#openStream()
    this.#stream = stream
    this.#connection.handle({ data: (bytes) => this.#receive(bytes), drained: () => stream.pump(), closed })
    onOpen(resume)
  }

  #watch(): void {
    if (this.#silence !== undefined || this.#stream === undefined || this.#down) return
    if (Math.max(this.#stream.position, this.#options.durablePosition()) <= this.#durablePosition) return
    this.#hasReplied = false
    this.#silence = this.#options.clock.after(ACK_SILENCE_MS_MAX, () => {
      this.#silence = undefined
      const isWaiting = this.#stream !== undefined && this.#stream.position > this.#durablePosition
      if (isWaiting && !this.#hasReplied) this.#fail(silent(this.#options.channel))
      else this.#watch()
    })
  }

  #openStream(): LogStream {
    const { clock, files, resume: position, durablePosition, isFlushPlanned } = this.#options
    return new LogStream({
      clock,
      connection: this.#connection,
      files,
      position,
      sliceBytes: LOG_SLICE_BYTES,
      queueBytes: SENDER_QUEUE_BYTES_LIMIT,
      durablePosition,
      isFlushPlanned,
      onError: (error) => this.#fail(error),
    })
  }

  #checkAnswer(answer: Message, resume: number): void {
    if (answer.type === 'error') throw fromWireError(answer.error)
    if (answer.type !== 'log_open_ok')
      throw new TravertineError(
        'MESSAGE_UNEXPECTED',
        `Cannot open a log channel: found ${answer.type}, expected log_open_ok`,
      )
    if (answer.position !== resume) {
      throw new TravertineError(
        answer.position > resume ? 'REPLICA_AHEAD' : 'POSITION_MISMATCH',
        `Cannot open a log channel: found position ${answer.position}, expected ${resume}`,
      )
    }
  }

  #receive(bytes: Buffer): void {
    if (bytes.length === 0 || this.#down) return
    try {
      this.#replies.push(bytes, this.#handler)
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.#fail(thrown)
    }
  }

  readonly #handler = {
    durable: (receivedPosition: number, durablePosition: number, flushMicros: number): void => {
      if (this.#down) return // what ended the row came in the same packet
      const sent = this.#stream?.position ?? this.#options.resume
      if (durablePosition > sent) {
        this.#fail(
          new TravertineError(
            'REPLICA_AHEAD',
            `Cannot trust a replica: found durable position ${durablePosition}, expected at most ${sent}`,
          ),
        )
        return
      }
      this.#hasReplied = true
      this.#durablePosition = durablePosition
      this.receivedPosition = receivedPosition
      this.#options.onDurable(durablePosition, flushMicros)
    },
    error: (error: Parameters<typeof fromWireError>[0]): void => this.#fail(fromWireError(error)),
    stored: (): void => this.#fail(unexpectedReply('STORED')),
    propagated: (): void => this.#fail(unexpectedReply('PROPAGATED')),
    rejected: (): void => this.#fail(unexpectedReply('REJECTED')),
  }

  #fail(error: TravertineError | undefined): void {
    if (this.#down) return
    this.#down = true
    this.#silence?.cancel()
    this.#connection.destroy()
    this.#stream?.stop()
    this.#options.files.close()
    this.#options.onDown(error)
  }
}

const silent = (channel: number): TravertineError =>
  new TravertineError(
    'CONNECTION_LOST',
    `Cannot stream channel ${channel}: found no answer for ${ACK_SILENCE_MS_MAX / 1000} s, expected what is durable`,
    { hint: 'look at the network and at the disk of the replica; it is tried again' },
  )

function lost(channel: number, cause: Error | undefined): TravertineError {
  const how = cause?.message ?? 'the replica closed the connection'
  return new TravertineError('CONNECTION_LOST', `Cannot stream channel ${channel}: ${how}`, { cause })
}

function unexpectedReply(name: string): TravertineError {
  return new TravertineError('MESSAGE_UNEXPECTED', `Cannot stream to a replica: found reply ${name}, expected DURABLE`)
}
