/**
 * Calls that wait for room in the window of a channel, first come first served.
 *
 * Nothing of a waiting call has been sent, so whatever ends it ends it as `not-applied`. A waiting `write` takes its
 * room at the moment it is woken; a waiting `ready` may take any amount later, so each is thought to take
 * CLIENT_READY_GRANT_BYTES, and the rest are looked at again in the next turn: one answer of the node does not wake
 * ten thousand writers into a window for a hundred.
 */
import type { Clock } from '../protocol/clock.ts'
import { CLIENT_READY_GRANT_BYTES, CLIENT_WAITING_CALLS_LIMIT } from '../protocol/limits.ts'
import type { AbortWatch } from './abort-watch.ts'
import { abortedBeforeSending, ClientError, expiredBeforeSending } from './client-error.ts'
import type { CallLimits } from './options.ts'

export interface WaitingCall {
  readonly limits: CallLimits
  /** `write` takes its room inside `wake`; `ready` only says that there is some. */
  readonly kind: 'write' | 'ready'
  readonly wake: () => void
  readonly fail: (error: ClientError) => void
}

/** Settled calls are dropped from the front of the list in blocks of this size, so that dropping is cheap. */
const COMPACT_COUNT = 1024

export class WindowQueue {
  readonly #roomBytes: () => number
  readonly #signals: AbortWatch
  /** `undefined` marks a call that has ended while it waited. */
  #calls: (WaitingCall | undefined)[] = []
  #head = 0
  #size = 0
  readonly #clock: Clock
  #wakesAgain = false

  constructor(clock: Clock, roomBytes: () => number, signals: AbortWatch) {
    this.#clock = clock
    this.#roomBytes = roomBytes
    this.#signals = signals
  }

  get size(): number {
    return this.#size
  }

  /** @throws WINDOW_FULL */
  add(call: WaitingCall): void {
    if (this.#size >= CLIENT_WAITING_CALLS_LIMIT) {
      throw new ClientError(
        'WINDOW_FULL',
        `Cannot wait for room: ${this.#size} calls are waiting already`,
        'not-applied',
        {
          hint: 'await the calls before starting more',
        },
      )
    }
    this.#calls.push(call)
    this.#size += 1
    if (call.limits.signal !== undefined) this.#signals.add(call.limits.signal)
  }

  /** Wakes as many calls as there is room for. */
  wake(): void {
    let granted = 0
    while (this.#size > 0 && this.#roomBytes() - granted > 0) {
      const call = this.#calls[this.#head]
      this.#calls[this.#head++] = undefined
      if (call === undefined) continue
      this.#left(call)
      if (call.kind === 'ready') granted += CLIENT_READY_GRANT_BYTES
      call.wake()
    }
    this.#compact()
    if (this.#size === 0 || granted === 0 || this.#wakesAgain) return
    this.#wakesAgain = true
    this.#clock.nextTurn(this.#wakeAgain)
  }

  /** Ends what has expired; returns the earliest deadline left. */
  sweep(now: number): number {
    let next = Number.POSITIVE_INFINITY
    this.#end((call) => {
      const { deadline, deadlineMs } = call.limits
      if (deadline <= now) return expiredBeforeSending(deadlineMs, 'get room in the window')
      if (deadline < next) next = deadline
      return undefined
    })
    return next
  }

  abort(signal: AbortSignal): void {
    this.#end((call) => (call.limits.signal === signal ? abortedBeforeSending(signal) : undefined))
  }

  endAll(error: () => ClientError): void {
    this.#end(error)
  }

  readonly #wakeAgain = (): void => {
    this.#wakesAgain = false
    this.wake()
  }

  /** Ends those calls for which `judge` has an error. */
  #end(judge: (call: WaitingCall) => ClientError | undefined): void {
    for (let i = this.#head; i < this.#calls.length; i++) {
      const call = this.#calls[i]
      const error = call === undefined ? undefined : judge(call)
      if (call === undefined || error === undefined) continue
      this.#calls[i] = undefined
      this.#left(call)
      call.fail(error)
    }
    this.#compact()
  }

  #left(call: WaitingCall): void {
    this.#size -= 1
    if (call.limits.signal !== undefined) this.#signals.release(call.limits.signal)
  }

  #compact(): void {
    if (this.#size === 0) this.#calls = []
    else if (this.#head >= COMPACT_COUNT) this.#calls = this.#calls.slice(this.#head)
    else return
    this.#head = 0
  }
}
