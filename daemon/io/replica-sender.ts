/**
 * The master's end of one replica's log connection on one channel: opens it, streams the log (log-stream.ts), and hears
 * what the replica has made durable.
 */
import { connect, type Socket } from 'node:net'
import { encodeMessage, type Message, MessageReader, PROTOCOL_VERSION_MAX } from '../../protocol/control-message.ts'
import { asError, fromWireError, TravertineError } from '../../protocol/errors.ts'
import { HANDSHAKE_MS_MAX, SENDER_READ_BYTES } from '../../protocol/limits.ts'
import { ReplyReader } from '../../protocol/log-reply.ts'
import type { Segments } from '../../wal/segments.ts'
import { LogStream } from './log-stream.ts'

export interface ReplicaSenderOptions {
  readonly channel: number
  readonly host: string
  readonly port: number
  readonly peerSession: bigint
  readonly secret: Uint8Array
  /** Durable end of the replica. */
  readonly resume: number
  /** The channel's files, opened for reading; closed by the sender. */
  readonly files: Segments
  /** What lies below may be read from the files. */
  readonly durablePosition: () => number
  readonly onOpen: (position: number) => void
  readonly onDurable: (position: number) => void
  /** Called once. */
  readonly onDown: (error: TravertineError | undefined) => void
}

export class ReplicaSender {
  readonly #options: ReplicaSenderOptions
  readonly #socket: Socket
  readonly #replies = new ReplyReader()
  /** From `log_open_ok` on. */
  #stream: LogStream | undefined
  #down = false
  /** Received position as the replica says: status only. */
  receivedPosition: number

  constructor(options: ReplicaSenderOptions) {
    this.#options = options
    this.receivedPosition = options.resume
    this.#socket = connect({ host: options.host, port: options.port, noDelay: true })
    this.#handshake()
  }

  /** Bytes that are being flushed at `position`; sent at once if this sender is level and the socket has room. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    this.#stream?.offer(position, buffers, bytes)
  }

  /** Goes on reading from the files if this sender is behind. */
  pump(): void {
    this.#stream?.pump()
  }

  close(): void {
    this.#fail(undefined)
  }

  #handshake(): void {
    const { channel, peerSession, secret, resume } = this.#options
    const socket = this.#socket
    const timer = setTimeout(
      () =>
        this.#fail(new TravertineError('HANDSHAKE_TIMEOUT', `Cannot open log channel ${channel}: no answer in time`)),
      HANDSHAKE_MS_MAX,
    )
    const reader = new MessageReader({ channel })
    const onData = (chunk: Buffer): void => {
      try {
        const [answer] = reader.push(chunk, 1)
        if (answer === undefined) return
        clearTimeout(timer)
        socket.off('data', onData)
        this.#checkAnswer(answer, resume)
        this.#stream = this.#openStream()
        socket.on('data', (bytes: Buffer) => this.#receive(bytes))
        this.#options.onOpen(resume)
        this.#receive(reader.takeRest())
        this.pump()
      } catch (thrown) {
        if (!(thrown instanceof TravertineError)) throw thrown
        this.#fail(thrown)
      }
    }
    socket.on('connect', () => {
      socket.write(
        encodeMessage({
          type: 'log_open',
          version: PROTOCOL_VERSION_MAX,
          session: peerSession,
          secret,
          channel,
          producer: 0n,
          sent: 0,
          answered: 0,
          since: 0n,
        }),
      )
    })
    socket.on('data', onData)
    socket.on('error', (thrown) =>
      this.#fail(
        new TravertineError('CONNECTION_LOST', `Cannot stream channel ${channel}: ${asError(thrown).message}`, {
          cause: thrown,
        }),
      ),
    )
    socket.on('close', () => {
      clearTimeout(timer)
      this.#fail(
        new TravertineError('CONNECTION_LOST', `Cannot stream channel ${channel}: the replica closed the connection`),
      )
    })
  }

  #openStream(): LogStream {
    const { files, resume: position, durablePosition } = this.#options
    return new LogStream({
      socket: this.#socket,
      files,
      position,
      sliceBytes: SENDER_READ_BYTES,
      durablePosition,
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
        'POSITION_MISMATCH',
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
    durable: (receivedPosition: number, durablePosition: number): void => {
      const sent = this.#stream?.position ?? this.#options.resume
      if (durablePosition > sent) {
        this.#fail(
          new TravertineError(
            'POSITION_MISMATCH',
            `Cannot trust a replica: found durable position ${durablePosition}, expected at most ${sent}`,
          ),
        )
        return
      }
      this.receivedPosition = receivedPosition
      this.#options.onDurable(durablePosition)
    },
    error: (error: Parameters<typeof fromWireError>[0]): void => this.#fail(fromWireError(error)),
    stored: (): void => this.#fail(unexpectedReply('STORED')),
    propagated: (): void => this.#fail(unexpectedReply('PROPAGATED')),
    rejected: (): void => this.#fail(unexpectedReply('REJECTED')),
  }

  #fail(error: TravertineError | undefined): void {
    if (this.#down) return
    this.#down = true
    this.#socket.destroy()
    this.#stream?.stop()
    this.#options.files.close()
    this.#options.onDown(error)
  }
}

function unexpectedReply(name: string): TravertineError {
  return new TravertineError('MESSAGE_UNEXPECTED', `Cannot stream to a replica: found reply ${name}, expected DURABLE`)
}
