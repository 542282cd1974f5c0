/**
 * The writer side of one channel: window, frames under way, answers, deadlines.
 *
 * A producer numbers its sessions 1, 2, 3, ... and hands their frames to its log connection. Everything that has to
 * outlive a connection is here or below (the producer id, sequences, receipts), nothing in log-connection.ts, so that
 * a later connection can go on where this one ended.
 *
 * States: open -> closing (no new sessions, what was accepted is finished) -> ended. Ended is final: CONNECTION_LOST
 * or CLIENT_CLOSED, with every session that has no answer told what is known of it.
 */
import type { Clock } from '../protocol/clock.ts'
import { fromWireError, TravertineError, type WireError } from '../protocol/errors.ts'
import { headerSeed } from '../protocol/frame.ts'
import type { ChannelId, ClusterId, ProducerId, Term } from '../protocol/ids.ts'
import { CLIENT_EARLY_FLUSH_BYTES, CLIENT_UNANSWERED_BYTES_LIMIT, CLIENT_WINDOW_BYTES } from '../protocol/limits.ts'
import type { ReplyHandler } from '../protocol/log-reply.ts'
import { AbortWatch } from './abort-watch.ts'
import { ClientError, type Failure } from './client-error.ts'
import { DeadlineSweep } from './deadline-sweep.ts'
import { FrameBuffer, type FrameDraft } from './frame-buffer.ts'
import { FrameSealer } from './frame-sealer.ts'
import type { OpenedConnection } from './handshake.ts'
import { InFlight } from './in-flight.ts'
import { LogConnection } from './log-connection.ts'
import type { CallLimits } from './options.ts'
import type { PendingReceipt } from './receipt.ts'
import { WindowQueue } from './window-queue.ts'

export interface ProducerOptions {
  readonly clock: Clock
  readonly clusterId: ClusterId
  readonly channel: ChannelId
  readonly producer: ProducerId
  readonly term: Term
  readonly replicas: number
  /** Last sequence that the node knows of this producer. */
  readonly sequence: number
  readonly opened: OpenedConnection
  readonly onEnded: () => void
}

export type ProducerState = 'open' | 'closing' | 'ended'

export class Producer implements ReplyHandler {
  readonly clock: Clock
  readonly #inFlight: InFlight
  readonly #frames = new FrameBuffer()
  readonly #sealer: FrameSealer
  readonly #queue: WindowQueue
  readonly #sweep: DeadlineSweep
  readonly #connection: LogConnection
  readonly #onEnded: () => void
  #state: ProducerState = 'open'
  /** Why there are no new sessions; set in the states closing and ended. */
  #refusal: Failure | undefined
  /** Newest session that was handed to the connection. */
  #sentSequence: number
  #onDrained: (() => void) | undefined

  constructor(options: ProducerOptions) {
    const { clock, channel, term, replicas, sequence } = options
    this.clock = clock
    const signals = new AbortWatch((signal) => {
      this.#inFlight.abort(signal)
      this.#queue.abort(signal)
      this.#checkDrained()
    })
    this.#sweep = new DeadlineSweep(clock, (now) => {
      const next = Math.min(this.#inFlight.sweep(now), this.#queue.sweep(now))
      this.#checkDrained()
      return next
    })
    const watchDeadline = (deadline: number): void => this.#sweep.watch(deadline)
    this.#inFlight = new InFlight({ channel, term, replicas, sequence, clock, watchDeadline, signals })
    this.#queue = new WindowQueue(clock, () => CLIENT_WINDOW_BYTES - this.#inFlight.bytes, signals)
    this.#sealer = new FrameSealer(headerSeed(options.clusterId, channel), options.producer)
    this.#sentSequence = sequence
    this.#onEnded = options.onEnded
    this.#connection = new LogConnection(clock, options.opened, this.#frames, this)
  }

  get state(): ProducerState {
    return this.#state
  }

  get replicas(): number {
    return this.#inFlight.replicas
  }

  get unanswered(): { sessions: number; bytes: number; waitingCalls: number } {
    return { sessions: this.#inFlight.sessions, bytes: this.#inFlight.bytes, waitingCalls: this.#queue.size }
  }

  get frames(): FrameBuffer {
    return this.#frames
  }

  /** A session may be sent now without overtaking anybody. */
  get hasRoom(): boolean {
    return this.#queue.size === 0 && this.#inFlight.bytes < CLIENT_WINDOW_BYTES
  }

  /** @throws why no new session can be begun: CONNECTION_LOST, CLIENT_CLOSED */
  refuseUnlessOpen(what: string): void {
    if (this.#refusal !== undefined) throw this.#refusalError(this.#refusal, what)
  }

  /** Seals and queues a session that an application ends by itself. @throws WINDOW_FULL, and the session stays open */
  end(draft: FrameDraft, session: { explicitVersions: boolean; limits: CallLimits }): PendingReceipt {
    if (this.#refusal !== undefined) {
      this.#frames.discard(draft)
      return this.#inFlight.refuse(this.#refusal, session.limits, false)
    }
    if (this.#inFlight.bytes + draft.bodyBytes > CLIENT_UNANSWERED_BYTES_LIMIT) {
      throw new ClientError(
        'WINDOW_FULL',
        `Cannot end a session: ${this.#inFlight.bytes} bytes wait for an answer, expected at most ${CLIENT_UNANSWERED_BYTES_LIMIT}`,
        'not-applied',
        { where: { channel: this.#inFlight.channel }, hint: 'await channel.ready(), then end the session again' },
      )
    }
    return this.submit(draft, { explicitVersions: session.explicitVersions, limits: session.limits, loud: false })
  }

  submit(draft: FrameDraft, session: { explicitVersions: boolean; limits: CallLimits; loud: boolean }): PendingReceipt {
    const sequence = this.#inFlight.last + 1
    this.#sealer.seal(draft, { sequence, explicitVersions: session.explicitVersions })
    const receipt = this.#inFlight.add({ bytes: draft.at - draft.start, limits: session.limits, loud: session.loud })
    this.#frames.finish(draft)
    if (this.#frames.queuedBytes >= CLIENT_EARLY_FLUSH_BYTES) this.#connection.flush()
    else this.#connection.flushSoon()
    return receipt
  }

  /** Runs `act` as soon as there is room. @throws WINDOW_FULL */
  whenRoom(
    kind: 'write' | 'ready',
    limits: CallLimits,
    call: { wake: () => void; fail: (e: ClientError) => void },
  ): void {
    this.#queue.add({ kind, limits, ...call })
    this.#sweep.watch(limits.deadline)
  }

  /** No new sessions; resolves when everything accepted so far has ended, or this producer has. */
  drain(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'closing'
      this.#refusal = CLOSED
    }
    return new Promise((resolve) => {
      const before = this.#onDrained
      this.#onDrained = () => {
        before?.()
        resolve()
      }
      this.#checkDrained()
    })
  }

  /**
   * The node is going or gone, as its control connection says. Answers that are on their way still count: they travel on
   * another connection, and may be read later than the good-bye that was sent after them.
   */
  leave(cause: TravertineError, graceMs: number): void {
    if (this.#state === 'ended') return
    this.#state = 'closing'
    const refusal = lost(cause)
    this.#refusal = refusal
    this.#queue.endAll(() => this.#refusalError(refusal, 'get room in the window'))
    const timer = this.clock.after(graceMs, () => this.finish(cause))
    void this.drain().then(() => {
      timer.cancel()
      this.finish(cause)
    })
  }

  /** Ends everything that has no answer. `cause` is undefined where the application has closed the channel. */
  finish(cause: TravertineError | undefined): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    const refusal = cause === undefined ? CLOSED : lost(cause)
    this.#refusal = refusal
    const sent: Failure = { ...refusal, outcome: 'unknown', hint: 'it was sent and may be in the log' }
    this.#inFlight.end({ sent, neverSent: refusal, sentSequence: this.#sentSequence })
    this.#queue.endAll(() => this.#refusalError(refusal, 'get room in the window'))
    this.#sweep.stop()
    this.#connection.close(cause === undefined)
    this.#checkDrained()
    this.#onEnded()
  }

  /** Resolves when the connection is closed. */
  get closed(): Promise<void> {
    return this.#connection.closed
  }

  // what the log connection tells

  framesTaken(): void {
    this.#sentSequence = this.#inFlight.last
  }

  stored(epoch: number, lastSequence: number): void {
    this.#inFlight.stored(epoch, lastSequence)
  }

  propagated(epoch: number, lastSequence: number): void {
    this.#inFlight.propagated(epoch, lastSequence)
  }

  rejected(sequence: number, error: WireError): void {
    const { code, message, hint, cause } = fromWireError(error)
    this.#inFlight.rejected(sequence, { code, outcome: 'not-applied', reason: message, hint, cause })
  }

  durable(): void {
    throw new TravertineError('MESSAGE_UNEXPECTED', 'Cannot use a log reply: found DURABLE, which is for masters only')
  }

  error(error: WireError): void {
    this.finish(fromWireError(error))
  }

  repliesRead(): void {
    if (this.#queue.size > 0) this.#queue.wake()
    this.#checkDrained()
  }

  connectionLost(error: TravertineError): void {
    this.finish(error)
  }

  #refusalError(refusal: Failure, what: string): ClientError {
    return new ClientError(refusal.code, `Cannot ${what}: ${refusal.reason}`, 'not-applied', {
      where: { channel: this.#inFlight.channel },
      hint: refusal.hint,
      cause: refusal.cause,
    })
  }

  #checkDrained(): void {
    if (this.#onDrained === undefined) return
    if (this.#state !== 'ended' && (this.#inFlight.live > 0 || this.#queue.size > 0)) return
    const drained = this.#onDrained
    this.#onDrained = undefined
    drained()
  }
}

const CLOSED: Failure = {
  code: 'CLIENT_CLOSED',
  outcome: 'not-applied',
  reason: 'the channel was closed by the application',
  hint: 'open another channel, or connect again',
}

function lost(cause: TravertineError): Failure {
  return {
    code: 'CONNECTION_LOST',
    outcome: 'not-applied',
    reason: `the connection to the node has ended (${cause.code}: ${cause.message})`,
    hint: cause.hint || 'open another channel, or connect again',
    cause,
  }
}
