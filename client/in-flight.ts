/**
 * The sessions of one producer that wait for an answer, and what the answers mean.
 *
 * Answers are cumulative, so sessions stand in a ring by sequence and an answer walks over those it names first.
 * Watermarks: propagated <= stored <= last. `head` is the first session that has neither been stored nor rejected.
 * A session leaves the ring when it is stored or rejected; one that has failed here before (deadline, abort) keeps its
 * place and its bytes until the node answers, because the node may still be working on it. After that it is kept only if
 * somebody has read `propagated`: sessions that nobody asks about cost nothing, however long a replica is away.
 *
 * Pure bookkeeping: no socket, no timer. An answer that cannot be true is an error, never a guess.
 */
import type { Clock } from '../protocol/clock.ts'
import { TravertineError } from '../protocol/errors.ts'
import { type Epoch, epoch, NO_EPOCH, type Term } from '../protocol/ids.ts'
import type { AbortWatch } from './abort-watch.ts'
import type { Failure } from './client-error.ts'
import type { CallLimits } from './options.ts'
import { PropagationList } from './propagation-list.ts'
import { PendingReceipt, type ReceiptOwner } from './receipt.ts'

const RING_SLOTS_MIN = 64

export interface InFlightOptions {
  readonly channel: number
  readonly term: Term
  readonly replicas: number
  /** Last sequence that the node knows of this producer. */
  readonly sequence: number
  readonly clock: Clock
  readonly watchDeadline: (deadline: number) => void
  readonly signals: AbortWatch
}

export class InFlight implements ReceiptOwner {
  readonly channel: number
  readonly term: Term
  readonly replicas: number
  readonly #clock: Clock
  readonly #watchDeadline: (deadline: number) => void
  readonly #signals: AbortWatch
  #ring: (PendingReceipt | undefined)[] = new Array(RING_SLOTS_MIN)
  #head: number
  #last: number
  #stored: number
  #storedEpoch: Epoch = NO_EPOCH
  #propagated: number
  readonly #awaiting = new PropagationList()
  #bytes = 0
  #unanswered = 0
  #live = 0
  #end: Failure | undefined

  constructor(options: InFlightOptions) {
    this.channel = options.channel
    this.term = options.term
    this.replicas = options.replicas
    this.#clock = options.clock
    this.#watchDeadline = options.watchDeadline
    this.#signals = options.signals
    this.#head = options.sequence + 1
    this.#last = options.sequence
    this.#stored = options.sequence
    this.#propagated = options.sequence
  }

  /** Sequence of the newest session. */
  get last(): number {
    return this.#last
  }

  /** Bytes of frames that the node has neither stored nor rejected. */
  get bytes(): number {
    return this.#bytes
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
    const sequence = this.#last + 1
    if (sequence - this.#head >= this.#ring.length) this.#grow()
    const { bytes, limits, loud } = session
    const receipt = new PendingReceipt(this, { sequence, bytes, limits, loud })
    this.#last = sequence
    this.#ring[sequence & (this.#ring.length - 1)] = receipt
    this.#bytes += bytes
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

  /** @throws MESSAGE_UNEXPECTED */
  stored(epochNumber: number, lastSequence: number): void {
    const isNewer = BigInt(epochNumber) > this.#storedEpoch
    if (
      lastSequence < this.#stored ||
      lastSequence > this.#last ||
      BigInt(epochNumber) < this.#storedEpoch ||
      epochNumber < 1
    ) {
      throw this.#impossible(`STORED(epoch ${epochNumber}, session ${lastSequence})`)
    }
    if (isNewer) this.#storedEpoch = epoch(BigInt(epochNumber))
    this.#stored = lastSequence
    for (; this.#head <= lastSequence; this.#head++) {
      const receipt = this.#takeSlot(this.#head)
      if (receipt === undefined) continue
      receipt.reachStored(this.#storedEpoch)
      if (receipt.awaitsPropagated) this.#awaiting.add(receipt)
      else this.#leave(receipt)
    }
    this.#skipEmptySlots()
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
    const isKnown = sequence >= this.#head && sequence <= this.#last
    const receipt = isKnown ? this.#takeSlot(sequence) : undefined
    if (receipt === undefined) throw this.#impossible(`REJECTED(session ${sequence})`)
    this.#fail(receipt, failure)
    this.#skipEmptySlots()
  }

  joinPropagated(receipt: PendingReceipt): void {
    if (receipt.sequence <= this.#propagated) receipt.reachPropagated()
    else if (this.#end !== undefined) receipt.fail(this.#end)
    else if (receipt.limits.signal?.aborted) receipt.fail(abortedFailure(receipt.limits.signal))
    else if (receipt.limits.deadline <= this.#clock.now()) receipt.fail(expiredFailure(receipt.limits))
    else {
      this.#awaiting.addLate(receipt)
      this.#enter(receipt)
    }
  }

  /** Ends what has expired; returns the earliest deadline left. */
  sweep(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const receipt of this.#all()) {
      if (receipt.isFailed) continue
      if (receipt.limits.deadline <= now) this.#fail(receipt, expiredFailure(receipt.limits))
      else if (receipt.limits.deadline < next) next = receipt.limits.deadline
    }
    this.#awaiting.dropFailed()
    return next
  }

  abort(signal: AbortSignal): void {
    const failure = abortedFailure(signal)
    for (const receipt of this.#all()) if (receipt.limits.signal === signal) this.#fail(receipt, failure)
    this.#awaiting.dropFailed()
  }

  /** The last answer has been heard. @param sentSequence sessions above it never left this process */
  end(failures: { sent: Failure; neverSent: Failure; sentSequence: number }): void {
    this.#end ??= failures.sent
    for (const receipt of this.#all()) {
      this.#fail(receipt, receipt.sequence > failures.sentSequence ? failures.neverSent : failures.sent)
    }
    this.#awaiting.dropFailed()
    this.#ring = new Array(RING_SLOTS_MIN)
    this.#head = this.#last + 1
    this.#bytes = 0
    this.#unanswered = 0
  }

  *#all(): Generator<PendingReceipt> {
    yield* this.#awaiting.values()
    for (let sequence = this.#head; sequence <= this.#last; sequence++) {
      const receipt = this.#ring[sequence & (this.#ring.length - 1)]
      if (receipt !== undefined) yield receipt
    }
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

  /** Empties the slot and gives its bytes back to the window. */
  #takeSlot(sequence: number): PendingReceipt | undefined {
    const slot = sequence & (this.#ring.length - 1)
    const receipt = this.#ring[slot]
    if (receipt === undefined) return undefined
    this.#ring[slot] = undefined
    this.#bytes -= receipt.bytes
    this.#unanswered -= 1
    return receipt
  }

  /** Without this a node that rejects everything would make the ring grow for ever. */
  #skipEmptySlots(): void {
    const mask = this.#ring.length - 1
    while (this.#head <= this.#last && this.#ring[this.#head & mask] === undefined) this.#head += 1
  }

  #grow(): void {
    const ring = new Array<PendingReceipt | undefined>(this.#ring.length * 2)
    for (let sequence = this.#head; sequence <= this.#last; sequence++) {
      ring[sequence & (ring.length - 1)] = this.#ring[sequence & (this.#ring.length - 1)]
    }
    this.#ring = ring
  }

  #impossible(reply: string): TravertineError {
    return new TravertineError(
      'MESSAGE_UNEXPECTED',
      `Cannot use a log reply: found ${reply}, expected stored ${this.#stored} to ${this.#last} from epoch ${this.#storedEpoch}, propagated from ${this.#propagated}`,
      {
        where: { channel: this.channel },
        hint: 'the node breaks the protocol; every session without an answer is unknown',
      },
    )
  }
}

function expiredFailure(limits: CallLimits): Failure {
  return {
    code: 'DEADLINE_EXCEEDED',
    outcome: 'unknown',
    reason: `its deadline of ${limits.deadlineMs} ms passed`,
    hint: 'it was sent and may be in the log; read before you write it again',
  }
}

function abortedFailure(signal: AbortSignal): Failure {
  return {
    code: 'ABORTED',
    outcome: 'unknown',
    reason: 'its signal was aborted after it was sent',
    hint: 'it may be in the log; read before you write it again',
    cause: signal.reason,
  }
}
