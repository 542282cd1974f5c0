/**
 * The sessions of one producer that wait for an answer, and what the answers mean.
 *
 * Answers are cumulative, so sessions stand in a ring by sequence and an answer walks over those it names first.
 * Watermarks: propagated <= stored <= sent <= last. A session leaves the ring when it and all before it are answered:
 * stored, rejected, or certain to be never sent (again). One that has failed here before (deadline, abort) keeps its
 * place and its bytes until then, because the node may still be working on it. After that it is kept only if somebody has
 * read `propagated`: sessions that nobody asks about cost nothing, however long a replica is away.
 *
 * Connections come and go: `opened` compares what the node knows of the producer with what was heard from it, and ends
 * what that decides. From `broken` to `opened` nothing can be sent: a session that was never sent and fails meanwhile is
 * `not-applied`, and is not sent any more.
 *
 * Pure bookkeeping: no connection, no timer. An answer that cannot be true is an error, never a guess.
 */

import { assert } from '../protocol/assert.ts'
import type { Clock } from '../protocol/clock.ts'
import { TravertineError } from '../protocol/errors.ts'
import { type Epoch, epoch, NO_EPOCH } from '../protocol/ids.ts'
import type { AbortWatch } from './abort-watch.ts'
import type { Failure } from './client-error.ts'
import { Departures } from './departures.ts'
import {
  abortedFailure,
  expiredFailure,
  FORGOTTEN_BEFORE,
  LOST,
  NO_REPLICA,
  PRODUCER_FORGOTTEN,
  REFUSED_UNHEARD,
} from './failures.ts'
import type { FrameFate } from './kept-frames.ts'
import { type KnownOfProducer, Opening } from './opening.ts'
import type { CallLimits } from './options.ts'
import { PropagationList } from './propagation-list.ts'
import { PendingReceipt, type ReceiptOwner } from './receipt.ts'
import { ReceiptRing } from './receipt-ring.ts'
import { WrittenTerms } from './written-terms.ts'

export interface InFlightOptions {
  readonly channel: number
  /** Sequence before that of the first session. */
  readonly sequence: number
  /** Connections that break are made anew. */
  readonly reconnect: boolean
  readonly clock: Clock
  readonly watchDeadline: (deadline: number) => void
  readonly signals: AbortWatch
}

/** Sessions that were STORED and are not in the log any more; those of them that were rejected never were. */
export interface LostRange {
  readonly from: number
  readonly to: number
}

export class InFlight implements ReceiptOwner {
  readonly channel: number
  #replicas = 0
  readonly #reconnect: boolean
  readonly #clock: Clock
  readonly #watchDeadline: (deadline: number) => void
  readonly #signals: AbortWatch
  readonly #ring: ReceiptRing
  /** The newest one; undefined before the first. */
  #opening: Opening | undefined
  #departures: Departures
  #written = new WrittenTerms()
  #stored: number
  #storedEpoch: Epoch = NO_EPOCH
  /** Newest session that was itself STORED: `stored` may name one that was rejected. */
  #newestStored: number
  #propagated: number
  readonly #awaiting = new PropagationList()
  #unanswered = 0
  #live = 0
  #end: Failure | undefined

  constructor(options: InFlightOptions) {
    const { channel, sequence } = options
    this.channel = channel
    this.#reconnect = options.reconnect
    this.#clock = options.clock
    this.#watchDeadline = options.watchDeadline
    this.#signals = options.signals
    this.#ring = new ReceiptRing(sequence)
    this.#departures = new Departures(sequence)
    this.#stored = sequence
    this.#newestStored = sequence
    this.#propagated = sequence
  }

  /** Replicas that PROPAGATED asks for. */
  get replicas(): number {
    return this.#replicas
  }

  /** Sequence of the newest session. */
  get last(): number {
    return this.#ring.last
  }

  /** Nothing more is to be heard of sessions up to this one. */
  get answered(): number {
    return this.#ring.head - 1
  }

  /** Bytes of frames that have to be kept. */
  get bytes(): number {
    return this.#ring.bytes
  }

  /** Sessions that the node has neither stored nor rejected. */
  get sessions(): number {
    return this.#unanswered
  }

  /** Sessions whose receipt may still change for somebody who waits. */
  get live(): number {
    return this.#live
  }

  add(session: { bytes: number; limits: CallLimits; loud: boolean }): PendingReceipt {
    const { bytes, limits, loud } = session
    const receipt = new PendingReceipt(this, { sequence: this.#ring.last + 1, bytes, limits, loud })
    this.#ring.add(receipt)
    this.#unanswered += 1
    this.#enter(receipt)
    return receipt
  }

  /** The receipt of a session that is not sent at all. */
  refuse(failure: Failure, limits: CallLimits, loud: boolean): PendingReceipt {
    const receipt = new PendingReceipt(this, { sequence: 0, bytes: 0, limits, loud })
    receipt.fail(failure)
    return receipt
  }

  /** All that was added was handed to the connection. */
  handedOver(): void {
    this.#departures.handedOver(this.#ring.last)
  }

  /** A connection is about to be opened: what to tell the node. */
  claim(): { readonly sent: number; readonly answered: number } {
    return this.#departures.claim(this.#ring.last, this.answered)
  }

  /** The connection is gone, or could not be opened; another one may come. */
  broken(): void {
    this.#departures.broken()
  }

  /**
   * A connection was opened again. Says what of the sessions that were STORED is lost.
   *
   * @throws MESSAGE_UNEXPECTED
   */
  opened(known: KnownOfProducer): LostRange | undefined {
    if (known.sequence > this.#departures.ever) throw this.#impossible(`session ${known.sequence} in the log`)
    const sequence = this.#departures.opened(known.sequence)
    this.#written.opened(sequence, known.sequence < sequence || sequence === 0 ? undefined : known.lastTerm, known.term)
    const opening = new Opening(sequence)
    this.#opening?.followedBy(opening)
    this.#opening = opening
    this.#replicas = known.replicas
    const lost = this.#judgeStored(sequence)
    this.#judgeUnanswered(sequence, known.missing)
    if (known.replicas === 0) for (const receipt of this.#awaiting.values()) this.#fail(receipt, NO_REPLICA)
    this.#awaiting.dropFailed()
    return lost
  }

  /** What is to become of the frame of a session, on the connection that was just opened. */
  fateOf(sequence: number): FrameFate {
    if (sequence < this.#ring.head || this.#ring.at(sequence).isAnswered) return 'drop'
    return this.#opening !== undefined && sequence <= this.#opening.sequence ? 'keep' : 'send'
  }

  /** The node does not remember this producer any more: everything ends, and later sessions go under another id. */
  forgotten(): void {
    this.#endAll({ sent: PRODUCER_FORGOTTEN, neverSent: FORGOTTEN_BEFORE })
    this.#opening = this.#opening?.forgotten(this.#propagated)
    const { last } = this.#ring
    this.#departures = new Departures(last)
    this.#written = new WrittenTerms()
    this.#stored = last
    this.#newestStored = last
    this.#propagated = last
  }

  /** @throws MESSAGE_UNEXPECTED */
  stored(epochNumber: number, lastSequence: number): void {
    const isBackwards = lastSequence < this.#stored || BigInt(epochNumber) < this.#storedEpoch
    const opening = this.#opening
    if (opening === undefined || isBackwards || lastSequence > this.#departures.here || epochNumber < 1) {
      throw this.#impossible(`STORED(epoch ${epochNumber}, session ${lastSequence})`)
    }
    if (BigInt(epochNumber) > this.#storedEpoch) this.#storedEpoch = epoch(BigInt(epochNumber))
    this.#stored = lastSequence
    const term = this.#written.stored(lastSequence)
    assert(term !== undefined, 'STORED comes over a connection that was opened')
    const at = { term, epoch: this.#storedEpoch, opening }
    while (this.#ring.head <= lastSequence) {
      const receipt = this.#ring.shift()
      if (receipt.isAnswered) continue
      this.#unanswered -= 1
      if (receipt.refusal !== undefined) {
        this.#fail(receipt, receipt.refusal)
        continue
      }
      this.#newestStored = receipt.sequence
      receipt.reachStored(at)
      if (receipt.awaitsPropagated) this.#awaiting.add(receipt)
      else this.#leave(receipt)
    }
    this.#dropAnswered()
  }

  /** @throws MESSAGE_UNEXPECTED */
  propagated(epochNumber: number, lastSequence: number): void {
    if (lastSequence < this.#propagated || lastSequence > this.#stored) {
      throw this.#impossible(`PROPAGATED(epoch ${epochNumber}, session ${lastSequence})`)
    }
    this.#awaiting.take(this.#propagated, lastSequence, this.#reachPropagated)
    this.#propagated = lastSequence
  }

  /** @throws MESSAGE_UNEXPECTED */
  rejected(sequence: number, failure: Failure): void {
    const isKnown = sequence >= this.#ring.head && sequence <= this.#departures.here
    const receipt = isKnown ? this.#ring.at(sequence) : undefined
    if (receipt === undefined || receipt.isAnswered || receipt.refusal !== undefined)
      throw this.#impossible(`REJECTED(session ${sequence})`)
    // a node that is going refuses for itself only: the session is for the one that comes
    if (failure.code === 'SHUTTING_DOWN' && this.#reconnect) receipt.refusal = failure
    else this.#answer(receipt, failure)
    this.#dropAnswered()
  }

  joinPropagated(receipt: PendingReceipt, opening: Opening): void {
    const fate = opening.fateOf(receipt.sequence)
    if (fate === 'lost') receipt.fail(LOST)
    else if (fate === 'unknown') receipt.fail(PRODUCER_FORGOTTEN)
    else if (receipt.sequence <= this.#propagated) receipt.reachPropagated()
    else if (this.#end !== undefined) receipt.fail(this.#end)
    else if (receipt.limits.signal?.aborted) receipt.fail(abortedFailure(receipt.limits.signal, true))
    else if (receipt.limits.deadline <= this.#clock.now()) receipt.fail(expiredFailure(receipt.limits, true))
    else {
      this.#awaiting.addLate(receipt)
      this.#enter(receipt)
    }
  }

  /** Ends what has expired; returns the earliest deadline left. */
  sweep(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const receipt of this.#all()) {
      const { deadline } = receipt.limits
      if (receipt.isFailed) continue
      if (deadline <= now) this.#giveUp(receipt, (wasSent) => expiredFailure(receipt.limits, wasSent))
      else if (deadline < next) next = deadline
    }
    this.#awaiting.dropFailed()
    this.#dropAnswered()
    return next
  }

  abort(signal: AbortSignal): void {
    for (const receipt of this.#all()) {
      if (receipt.isFailed || receipt.limits.signal !== signal) continue
      this.#giveUp(receipt, (wasSent) => abortedFailure(signal, wasSent))
    }
    this.#awaiting.dropFailed()
    this.#dropAnswered()
  }

  /** The last answer has been heard. */
  end(failures: { sent: Failure; neverSent: Failure }): void {
    this.#end ??= failures.sent
    this.#endAll(failures)
  }

  #endAll({ sent, neverSent }: { sent: Failure; neverSent: Failure }): void {
    for (const receipt of this.#all()) {
      const failure = this.#departures.wasSent(receipt.sequence) ? sent : neverSent
      this.#fail(receipt, receipt.refusal ?? failure)
    }
    this.#awaiting.dropFailed()
    this.#ring.clear()
    this.#unanswered = 0
  }

  /** Compares the end of the log with the sessions that were STORED before. */
  #judgeStored(sequence: number): LostRange | undefined {
    this.#storedEpoch = NO_EPOCH
    this.#stored = Math.min(this.#stored, sequence)
    this.#propagated = Math.min(this.#propagated, sequence)
    if (this.#newestStored <= sequence) return undefined
    const lost = { from: sequence + 1, to: this.#newestStored }
    this.#newestStored = sequence
    for (const receipt of this.#awaiting.values()) if (receipt.sequence > sequence) this.#fail(receipt, LOST)
    return lost
  }

  /** What the log holds is answered later. Of the rest: what can come into it no more, and what nobody waits for. */
  #judgeUnanswered(sequence: number, missing: KnownOfProducer['missing']): void {
    for (const receipt of this.#ring.values()) {
      if (receipt.isAnswered) continue
      const of = receipt.sequence
      if (of > sequence) {
        receipt.refusal = undefined
        if (receipt.isFailed && this.#departures.canBeLeftOut(of)) this.#answer(receipt)
      } else if (missing.some(([from, to]) => from <= of && of <= to)) {
        this.#answer(receipt, receipt.refusal ?? REFUSED_UNHEARD)
      } else {
        receipt.refusal = undefined // a node that was going had refused it; this one's log has it from another one
      }
    }
    this.#dropAnswered()
  }

  *#all(): Generator<PendingReceipt> {
    yield* this.#awaiting.values()
    yield* this.#ring.values()
  }

  #enter(receipt: PendingReceipt): void {
    receipt.live = true
    this.#live += 1
    this.#watchDeadline(receipt.limits.deadline)
    if (receipt.limits.signal !== undefined) this.#signals.add(receipt.limits.signal)
  }

  #leave(receipt: PendingReceipt): void {
    if (!receipt.live) return
    receipt.live = false
    this.#live -= 1
    if (receipt.limits.signal !== undefined) this.#signals.release(receipt.limits.signal)
  }

  #fail(receipt: PendingReceipt, failure: Failure): void {
    receipt.fail(failure)
    this.#leave(receipt)
  }

  readonly #reachPropagated = (receipt: PendingReceipt): void => {
    receipt.reachPropagated()
    this.#leave(receipt)
  }

  /** Its caller does not want to wait any more. */
  #giveUp(receipt: PendingReceipt, failure: (wasSent: boolean) => Failure): void {
    const { sequence, refusal } = receipt
    if (refusal !== undefined) this.#answer(receipt, refusal)
    else if (this.#departures.canBeWithdrawn(sequence)) this.#answer(receipt, failure(false))
    else this.#fail(receipt, failure(true))
  }

  /** Nothing more is to be heard of it from the node. */
  #answer(receipt: PendingReceipt, failure?: Failure): void {
    receipt.isAnswered = true
    this.#unanswered -= 1
    if (failure !== undefined) this.#fail(receipt, failure)
  }

  #dropAnswered(): void {
    while (this.#ring.head <= this.#ring.last && this.#ring.at(this.#ring.head).isAnswered) this.#ring.shift()
  }

  #impossible(reply: string): TravertineError {
    return new TravertineError(
      'MESSAGE_UNEXPECTED',
      `Cannot use an answer: found ${reply}, expected stored ${this.#stored} to ${this.#departures.here} from epoch ${this.#storedEpoch}, propagated from ${this.#propagated}`,
      {
        where: { channel: this.channel },
        hint: 'the node breaks the protocol; every session without an answer is unknown',
      },
    )
  }
}
