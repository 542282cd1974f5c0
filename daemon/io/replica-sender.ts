/**
 * Streams one channel to one replica: catch-up and live are one sender.
 *
 * At the live tail it is handed the buffers that are on their way to the disk. When the socket is full or the replica is
 * behind, it reads what is durable from the channel's files, one slice at a time, until it is level again; then the
 * next flush finds it at the live tail. It never queues more than the socket's limit, and never leaves a gap: `#sent` is
 * the position of the next byte on the wire, whatever its source.
 */
import { connect, type Socket } from 'node:net'
import { encodeMessage, type Message, MessageReader, PROTOCOL_VERSION_MAX } from '../../protocol/control-message.ts'
import { asError, fromWireError, TravertineError } from '../../protocol/errors.ts'
import { HANDSHAKE_MS_MAX, SENDER_QUEUE_BYTES_LIMIT, SENDER_READ_BYTES } from '../../protocol/limits.ts'
import { ReplyReader } from '../../protocol/log-reply.ts'
import type { Segments } from '../../wal/segments.ts'

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
  #open = false
  #down = false
  #sent: number
  #pumping = false
  /** Received position as the replica says: status only. */
  receivedPosition: number

  constructor(options: ReplicaSenderOptions) {
    this.#options = options
    this.#sent = options.resume
    this.receivedPosition = options.resume
    this.#socket = connect({ host: options.host, port: options.port, noDelay: true })
    this.#handshake()
  }

  get sentPosition(): number {
    return this.#sent
  }

  /** Bytes that are being flushed at `position`; sent at once if this sender is level and the socket has room. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    if (!this.#open || this.#sent !== position || this.#socket.writableLength + bytes > SENDER_QUEUE_BYTES_LIMIT) return
    if (buffers.length === 1) this.#socket.write(buffers[0]!)
    else {
      this.#socket.cork()
      for (const buffer of buffers) this.#socket.write(buffer)
      this.#socket.uncork()
    }
    this.#sent += bytes
  }

  /** Goes on reading from the files if this sender is behind. Called after each flush, and when the socket has room. */
  pump(): void {
    if (!this.#open || this.#down || this.#pumping || this.#sent >= this.#options.durablePosition()) return
    if (this.#socket.writableLength >= SENDER_READ_BYTES) return // the drain event goes on
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      if (!this.#down) this.#sendSlice()
    })
  }

  close(): void {
    this.#fail(undefined)
  }

  #sendSlice(): void {
    const behind = this.#options.durablePosition() - this.#sent
    if (behind <= 0) return
    const slice = Buffer.allocUnsafeSlow(Math.min(behind, SENDER_READ_BYTES))
    const got = this.#options.files.read(this.#sent, slice)
    this.#socket.write(slice.subarray(0, got))
    this.#sent += got
    this.pump()
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
        this.#open = true
        socket.on('data', (bytes: Buffer) => this.#receive(bytes))
        this.#options.onOpen(this.#sent)
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
        }),
      )
    })
    socket.on('data', onData)
    socket.on('drain', () => this.pump())
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
      if (durablePosition > this.#sent) {
        this.#fail(
          new TravertineError(
            'POSITION_MISMATCH',
            `Cannot trust a replica: found durable position ${durablePosition}, expected at most ${this.#sent}`,
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
    this.#open = false
    this.#socket.destroy()
    this.#options.files.close()
    this.#options.onDown(error)
  }
}

function unexpectedReply(name: string): TravertineError {
  return new TravertineError('MESSAGE_UNEXPECTED', `Cannot stream to a replica: found reply ${name}, expected DURABLE`)
}
