/**
 * One client's log connection on the master: frames in, replies out.
 *
 * Errors of the stream (CRC, body, sequence) end this connection with an ERROR reply and touch nobody else; what was
 * accepted before stays accepted. Replies wait until the channel says `sendReplies`, and then leave in one write. Where the
 * writers wait for PROPAGATED (REP-37) a STORED alone is no reason for a write: it leaves with the next reply that is one.
 */

import type { Connection } from '../../protocol/connection.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { HeaderOffset, readU64Number } from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { UNREAD_BYTES_LIMIT } from '../../protocol/limits.ts'
import { encodeErrorReply, encodeReply, ReplyType } from '../../protocol/log-reply.ts'
import { readU32 } from '../../protocol/unsigned.ts'
import type { ChannelLog } from '../../wal/channel-log.ts'
import type { Producer, ProducerLink } from '../../wal/producer.ts'

export interface ClientLinkOptions {
  readonly connection: Connection
  readonly log: ChannelLog
  readonly channel: number
  readonly headerSeed: number
  readonly producer: Producer
  /** What the writers mostly wait for. */
  readonly level: 'stored' | 'propagated'
  /** Last session of the producer that stands in the log. */
  readonly sequence: number
  /** Numbers up to this one may be left out (REP-22). */
  readonly sent: number
  /** A reason to refuse new sessions now, or undefined. */
  readonly refusal: () => TravertineError | undefined
  /** Called after frames were accepted. */
  readonly onAccepted: () => void
  /** A session was rejected, or the connection ended by this: for whoever counts. */
  readonly onError: (error: TravertineError) => void
  readonly onClose: () => void
}

export class ClientLink implements ProducerLink {
  readonly #options: ClientLinkOptions
  readonly #reader: FrameReader
  readonly #peer: string
  #lastSequence: number
  /** Numbers up to this one may be left out: the next one may come first. */
  #leapMax: number
  #replies: Buffer[] = []
  /** Somebody waits for one of them. */
  #isAwaited = false
  /** They were held back already when `sendHeld` was called last. */
  #isLate = false
  #ended = false

  constructor(options: ClientLinkOptions) {
    this.#options = options
    this.#peer = options.connection.peer
    this.#lastSequence = options.sequence
    this.#leapMax = options.sent === 0 ? Number.MAX_SAFE_INTEGER - 1 : options.sent
    this.#reader = new FrameReader(options.headerSeed, { channel: options.channel, peer: this.#peer })
    options.connection.handle({
      data: (chunk) => this.receive(chunk),
      closed: () => {
        this.#ended = true
        options.onClose()
      },
    })
  }

  get connection(): Connection {
    return this.#options.connection
  }

  receive(chunk: Buffer): void {
    if (this.#ended) return
    try {
      this.#reader.push(chunk, this.#accept)
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.fail(thrown)
    }
    this.#options.onAccepted()
  }

  pause(): void {
    this.#options.connection.pause()
  }

  resume(): void {
    if (!this.#ended) this.#options.connection.resume()
  }

  stored(epoch: number, lastSequence: number): void {
    this.#reply(encodeReply(ReplyType.STORED, epoch, lastSequence), this.#options.level === 'stored')
  }

  propagated(epoch: number, lastSequence: number): void {
    this.#reply(encodeReply(ReplyType.PROPAGATED, epoch, lastSequence), true)
  }

  rejected(sequence: number, error: TravertineError): void {
    this.#options.onError(error)
    this.#reply(encodeErrorReply(ReplyType.REJECTED, sequence, toWireError(error)), true)
  }

  get hasReplies(): boolean {
    return this.#replies.length > 0
  }

  /** Has it replies that are all held back? */
  get isHolding(): boolean {
    return this.#replies.length > 0 && !this.#isAwaited
  }

  /** Called every STORED_HELD_MS: sends what was held back at the call before, too. */
  sendHeld(): void {
    if (this.#isLate) this.sendReplies(true)
    else this.#isLate = this.isHolding
  }

  /**
   * Writes the replies that have come up since the last call.
   * @param held also those that are held back
   */
  sendReplies(held: boolean): void {
    if (this.#replies.length === 0 || !(this.#isAwaited || held)) return
    const replies = this.#replies
    this.#replies = []
    this.#isAwaited = false
    this.#isLate = false
    if (this.#ended) return
    const { connection } = this.#options
    connection.write(replies.length === 1 ? replies[0]! : Buffer.concat(replies))
    if (connection.unsentBytes > UNREAD_BYTES_LIMIT) connection.destroy() // whoever does not read cannot be told why either
  }

  /** Ends the connection with an error; sessions accepted before are still written. */
  fail(error: TravertineError): void {
    if (this.#ended) return
    this.sendReplies(true)
    this.#ended = true
    this.#options.onError(error)
    this.#options.connection.end(encodeErrorReply(ReplyType.ERROR, 0, toWireError(error)))
  }

  close(): void {
    this.sendReplies(true)
    if (this.#ended) return
    this.#ended = true
    this.#options.connection.end()
  }

  #reply(bytes: Buffer, isAwaited: boolean): void {
    if (this.#ended) return // the client has gone: its sessions stay, its answers have nobody to go to
    this.#replies.push(bytes)
    if (isAwaited) this.#isAwaited = true
  }

  readonly #accept = (buffer: Buffer, at: number, bytes: number): void => {
    const { producer, log, channel, sent } = this.#options
    const sequence = readU64Number(buffer, at + HeaderOffset.producerSequence)
    if (
      sequence <= this.#lastSequence ||
      (sequence !== this.#lastSequence + 1 && sequence > this.#leapMax + 1) ||
      readU32(buffer, at + HeaderOffset.producerId) !== producer.idLow ||
      readU32(buffer, at + HeaderOffset.producerId + 4) !== producer.idHigh
    ) {
      throw new TravertineError(
        'PRODUCER_SEQUENCE',
        `Cannot accept a session: found sequence ${sequence}, expected ${this.#expected()} of the connection's producer`,
        {
          where: { channel: this.#options.channel, peer: this.#peer },
        },
      )
    }
    this.#lastSequence = sequence
    if (sequence > sent) this.#leapMax = 0 // beyond, sessions count one by one
    const refusal = this.#options.refusal()
    if (refusal !== undefined) return this.rejected(sequence, refusal)
    log.accept(buffer, at, bytes, producer, { channel, peer: this.#peer })
    producer.queued++
  }

  #expected(): string {
    const next = this.#lastSequence + 1
    return this.#leapMax >= next ? `${next} to ${this.#leapMax + 1}` : `${next}`
  }
}
