/**
 * One log channel, open for writing by this application.
 *
 * Sessions on one channel object are applied in the order in which they were ended. Any number may be under way at
 * once. `ready()` and `write()` wait while CLIENT_WINDOW_BYTES are unanswered; that is the back-pressure of the node.
 */
import { invalidValue } from './client-error.ts'
import type { Commit } from './commit.ts'
import type { Entry } from './entry-checks.ts'
import {
  type CallLimits,
  type CallOptions,
  callLimits,
  checkCallOptions,
  checkLevel,
  type WriteOptions,
} from './options.ts'
import type { Producer, ProducerState } from './producer.ts'
import { refuseWithoutReplica } from './receipt.ts'
import { Session } from './session.ts'
import type { ValueEncoder } from './values.ts'
import { checkClosing, closeWithin } from './within.ts'

export class Channel<Value = Uint8Array> {
  /** 0 to `client.info.channels - 1`. */
  readonly id: number
  readonly #producer: Producer
  readonly #encodeValue: ValueEncoder
  readonly #deadlineMsDefault: number
  #closing: Promise<void> | undefined

  /** Applications get one from `client.openChannel()`. */
  constructor(of: { id: number; producer: Producer; encodeValue: ValueEncoder; deadlineMsDefault: number }) {
    this.id = of.id
    this.#producer = of.producer
    this.#encodeValue = of.encodeValue
    this.#deadlineMsDefault = of.deadlineMsDefault
  }

  /**
   * `reconnecting`: it takes sessions and keeps them for the next connection. `closing`: it takes nothing new and waits
   * for answers. `ended`: for whatever reason.
   */
  get state(): Exclude<ProducerState, 'opening'> {
    const { state } = this.#producer
    return state === 'opening' ? 'reconnecting' : state
  }

  /** How often its connection was made anew. */
  get reconnects(): number {
    return this.#producer.reconnects
  }

  /** Sessions that were STORED and were lost with a change of history; see `onLost` of `connect`. */
  get lostSessions(): number {
    return this.#producer.lostSessions
  }

  /** What the node has not answered yet, and how many calls wait for room. */
  get unanswered(): { readonly sessions: number; readonly bytes: number; readonly waitingCalls: number } {
    return this.#producer.unanswered
  }

  /** @throws CONNECTION_LOST, CLIENT_CLOSED, VALUE_INVALID, ABORTED */
  beginSession(options: CallOptions = {}): Session<Value> {
    this.#producer.refuseUnlessOpen('begin a session')
    checkCallOptions(options, this.#deadlineMsDefault)
    return this.#newSession(options)
  }

  /**
   * Writes entries as one session and waits for `level`. Waits for room first; do not change the entries before it
   * is done.
   */
  write(entries: readonly Entry<Value>[], options: WriteOptions): Promise<Commit> {
    try {
      checkLevel(options.level)
      const limits = callLimits(options, this.#deadlineMsDefault, this.#producer.clock)
      this.#producer.refuseUnlessOpen('write')
      refuseWithoutReplica(options.level, this.#producer.replicas)
      if (this.#producer.hasRoom) return this.#writeNow(entries, options, limits)
      return new Promise((resolve, reject) => {
        const wake = (): void => {
          try {
            resolve(this.#writeNow(entries, options, limits))
          } catch (error) {
            reject(error)
          }
        }
        this.#producer.whenRoom('write', limits, { wake, fail: reject })
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Resolves when there is room in the window. It keeps no room: whoever is woken should write before it waits again. */
  ready(options: CallOptions = {}): Promise<void> {
    try {
      const limits = callLimits(options, this.#deadlineMsDefault, this.#producer.clock)
      this.#producer.refuseUnlessOpen('wait for room')
      if (this.#producer.hasRoom) return Promise.resolve()
      return new Promise((resolve, reject) => {
        this.#producer.whenRoom('ready', limits, { wake: resolve, fail: reject })
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Takes no new sessions, waits for the answers that somebody waits for, then closes the connection. What is not
   * answered by the deadline (DRAIN_MS_MAX unless given) or at an abort ends with CLIENT_CLOSED. Never rejects for that.
   */
  async close(options: CallOptions = {}): Promise<void> {
    checkClosing(options)
    this.#closing ??= closeWithin(options, this.#producer.clock, () => this.#producer.drain()).then(() => {
      this.#producer.finish(undefined)
      return this.#producer.link.closed
    })
    return this.#closing
  }

  #writeNow(entries: readonly Entry<Value>[], options: WriteOptions, limits: CallLimits): Promise<Commit> {
    if (!Array.isArray(entries)) throw invalidValue(`entries: found ${typeof entries}, expected an array`)
    const session = this.#newSession(options)
    try {
      for (const entry of entries) session.add(entry)
    } catch (error) {
      session.abandon()
      throw error
    }
    return session.submit(limits).promise(options.level)
  }

  #newSession(options: CallOptions): Session<Value> {
    return new Session<Value>({
      producer: this.#producer,
      encodeValue: this.#encodeValue,
      options,
      deadlineMsDefault: this.#deadlineMsDefault,
    })
  }
}
