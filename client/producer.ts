/**
 * The writer side of one channel: window, frames under way, answers, deadlines. It outlives connections.
 *
 *   opening -> open -> reconnecting -> open ...     sessions are taken, and kept until they are answered
 *   closing                                         no new ones; what was accepted is finished, on one connection or several
 *   ended                                           final: CONNECTION_LOST or CLIENT_CLOSED
 *
 * A producer numbers its sessions 1, 2, 3, ... and hands their frames to its log link. When a connection breaks nothing
 * ends: the frames stay, new sessions join them, deadlines go on. When another one is opened the node says which sessions
 * are in the log (in-flight.ts compares), and those that are not are sent again, under their own numbers and in their
 * order: never one that nobody waits for any more, never one whose outcome was told. `ended` tells each session without
 * an answer what is known of it.
 */
import type { Clock } from '../protocol/clock.ts'
import { fromWireError, TravertineError, type WireError } from '../protocol/errors.ts'
import { headerSeed } from '../protocol/frame.ts'
import { type ChannelId, type ClusterId, type ProducerId, producerId } from '../protocol/ids.ts'
import { CLIENT_EARLY_FLUSH_BYTES, CLIENT_UNANSWERED_BYTES_LIMIT, CLIENT_WINDOW_BYTES } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import { AbortWatch } from './abort-watch.ts'
import { asClientError, ClientError, type Failure } from './client-error.ts'
import type { Level } from './commit.ts'
import { DeadlineSweep } from './deadline-sweep.ts'
import { CLOSED, connectionLost, sentBefore } from './failures.ts'
import { FrameBuffer, type FrameDraft } from './frame-buffer.ts'
import { FrameSealer } from './frame-sealer.ts'
import { InFlight, type LostRange } from './in-flight.ts'
import { LogLink, type LogLinkHandler } from './log-link.ts'
import type { ProducerClaim } from './open-log.ts'
import type { KnownOfProducer } from './opening.ts'
import type { CallLimits, LostSessions } from './options.ts'
import type { PendingReceipt } from './receipt.ts'
import { WindowQueue } from './window-queue.ts'

export interface ProducerOptions {
  readonly world: World
  readonly clusterId: ClusterId
  readonly channel: ChannelId
  readonly level: Level
  readonly reconnect: boolean
  readonly onLost: (lost: LostSessions) => void
  readonly onEnded: (producer: Producer) => void
}

export type ProducerState = 'opening' | 'open' | 'reconnecting' | 'closing' | 'ended'

export class Producer implements LogLinkHandler {
  readonly clock: Clock
  readonly link: LogLink
  readonly #options: ProducerOptions
  readonly #seed: number
  readonly #inFlight: InFlight
  readonly #frames = new FrameBuffer()
  readonly #queue: WindowQueue
  readonly #sweep: DeadlineSweep
  #id: ProducerId
  #sealer: FrameSealer
  /** Of the last answer to a claim; 0 where this id had none. */
  #since = 0n
  #state: 'open' | 'closing' | 'ended' = 'open'
  /** Why there are no new sessions; set in the states closing and ended. */
  #refusal: Failure | undefined
  /** Connections opened so far. */
  #openings = 0
  #lostSessions = 0
  #onDrained: (() => void) | undefined
  #whenOpen!: { readonly resolve: () => void; readonly reject: (cause: Error) => void }
  /** The first connection is there. Rejects if there will be none. */
  readonly opening = new Promise<void>((resolve, reject) => {
    this.#whenOpen = { resolve, reject }
  })

  constructor(options: ProducerOptions) {
    const { world, clusterId, channel, reconnect } = options
    const { clock } = world
    this.#options = options
    this.clock = clock
    const signals = new AbortWatch((signal) => {
      this.#inFlight.abort(signal)
      this.#queue.abort(signal)
      this.#settle()
    })
    this.#sweep = new DeadlineSweep(clock, (now) => {
      const next = Math.min(this.#inFlight.sweep(now), this.#queue.sweep(now))
      this.#settle()
      return next
    })
    const watchDeadline = (deadline: number): void => this.#sweep.watch(deadline)
    this.#inFlight = new InFlight({ channel, sequence: 0, reconnect, clock, watchDeadline, signals })
    this.#queue = new WindowQueue(clock, () => CLIENT_WINDOW_BYTES - this.#inFlight.bytes, signals)
    this.#seed = headerSeed(clusterId, channel)
    this.#id = newProducerId(world)
    this.#sealer = new FrameSealer(this.#seed, this.#id)
    this.link = new LogLink({ world, channel, frames: this.#frames.kept, handler: this, reconnect })
    this.opening.catch(() => {}) // whoever wants to know has asked
  }

  get state(): ProducerState {
    if (this.#state !== 'open' || this.link.isOpen) return this.#state
    return this.#openings === 0 ? 'opening' : 'reconnecting'
  }

  get replicas(): number {
    return this.#inFlight.replicas
  }

  get unanswered(): { sessions: number; bytes: number; waitingCalls: number } {
    return { sessions: this.#inFlight.sessions, bytes: this.#inFlight.bytes, waitingCalls: this.#queue.size }
  }

  /** Connections that were made anew. */
  get reconnects(): number {
    return Math.max(0, this.#openings - 1)
  }

  /** Sessions that were STORED and are in the log no more. */
  get lostSessions(): number {
    return this.#lostSessions
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
    this.#frames.finish(draft, sequence)
    if (this.#frames.kept.unsentBytes >= CLIENT_EARLY_FLUSH_BYTES) this.link.flush()
    else this.link.flushSoon()
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
    const refusal = connectionLost(cause)
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
    const refusal = cause === undefined ? CLOSED : connectionLost(cause)
    this.#refusal = refusal
    this.#inFlight.end({ sent: sentBefore(refusal), neverSent: refusal })
    this.#queue.endAll(() => this.#refusalError(refusal, 'get room in the window'))
    this.#sweep.stop()
    this.link.close(cause === undefined)
    this.#whenOpen.reject(
      cause === undefined ? this.#refusalError(refusal, 'open a channel') : asClientError(cause, 'not-applied'),
    )
    this.#checkDrained()
    this.#options.onEnded(this)
  }

  // what the log link tells

  claim(): ProducerClaim {
    return { producer: this.#id, ...this.#inFlight.claim(), since: this.#since, level: this.#options.level }
  }

  opened(known: KnownOfProducer, since: bigint): void {
    const lost = this.#inFlight.opened(known)
    this.#since = since
    this.#openings += 1
    this.#frames.kept.rewind((sequence) => this.#inFlight.fateOf(sequence))
    if (lost !== undefined) this.#tellLost(lost)
    this.#settle()
    this.#whenOpen.resolve()
  }

  /** In a turn of its own: what the application does there, throwing included, is not in the middle of ours. */
  #tellLost(lost: LostRange): void {
    this.#lostSessions += lost.to - lost.from + 1
    this.clock.nextTurn(() => this.#options.onLost({ channel: this.#inFlight.channel, ...lost }))
  }

  broken(): void {
    this.#inFlight.broken()
  }

  forgotten(): void {
    const { world } = this.#options
    this.#inFlight.forgotten()
    this.#id = newProducerId(world)
    this.#since = 0n
    this.#sealer = new FrameSealer(this.#seed, this.#id)
    this.#settle()
  }

  framesTaken(): void {
    this.#inFlight.handedOver()
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
    throw fromWireError(error)
  }

  repliesRead(): void {
    this.#settle()
  }

  /** Something was answered or has ended: its memory is free, its room is for those who wait, and so is its end. */
  #settle(): void {
    this.#frames.kept.release(this.#inFlight.answered)
    if (this.#queue.size > 0) this.#queue.wake()
    this.#checkDrained()
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

/** Never 0, which means "no producer". */
function newProducerId(world: World): ProducerId {
  return producerId(world.randomBytes(8).readBigUInt64LE() || 1n)
}
