/**
 * The log connection of one producer, made anew as often as it breaks.
 *
 *   no master -> dialling -> open -> (broken) waiting -> dialling -> open ...        closed is final
 *
 * A master is known while the client's control connection to it lives. A control connection that ends takes the log
 * connections of its session with it, but answers may still be on their way: the old connection is heard until it ends
 * by itself or another master is found. A connection is never used after its successor was dialled.
 *
 * What has to outlive a connection is the producer's; here is only whether there is one.
 */
import type { Timer } from '../protocol/clock.ts'
import { TravertineError } from '../protocol/errors.ts'
import type { ChannelId } from '../protocol/ids.ts'
import type { World } from '../protocol/world.ts'
import type { FoundMaster } from './find-master.ts'
import type { KeptFrames } from './kept-frames.ts'
import { LogConnection, type LogConnectionHandler } from './log-connection.ts'
import { type OpenedLog, openLog, type ProducerClaim } from './open-log.ts'
import type { KnownOfProducer } from './opening.ts'
import { Backoff, endsChannel } from './reconnect-policy.ts'
import { asTerm } from './term.ts'

export interface LogLinkHandler extends LogConnectionHandler {
  /** A connection is about to be opened. */
  claim(): ProducerClaim
  /** A connection is there. `since` is to be in the next claim. @throws MESSAGE_UNEXPECTED */
  opened(known: KnownOfProducer, since: bigint): void
  /** The connection is gone, or could not be opened; there may be another one. */
  broken(): void
  /** The node does not remember the producer: the next claim must be that of a new one. */
  forgotten(): void
  /** There will be no other connection. */
  finish(cause: TravertineError): void
}

export interface LogLinkOptions {
  readonly world: World
  readonly channel: ChannelId
  readonly frames: KeptFrames
  readonly handler: LogLinkHandler
  /** Otherwise the first break is the end. */
  readonly reconnect: boolean
}

export class LogLink {
  readonly #options: LogLinkOptions
  readonly #backoff: Backoff
  #master: FoundMaster | undefined
  #dialling: AbortController | undefined
  #waiting: Timer | undefined
  #connection: LogConnection | undefined
  #openedAt = 0
  #isClosed = false
  #closed: Promise<void> = Promise.resolve()
  #lastError: TravertineError | undefined

  constructor(options: LogLinkOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.world)
  }

  get isOpen(): boolean {
    return this.#connection !== undefined
  }

  /** Why there is no connection, as far as anybody knows. */
  get lastError(): TravertineError | undefined {
    return this.#lastError
  }

  /** Resolves when the last connection is closed; ask after `close`. */
  get closed(): Promise<void> {
    return this.#closed
  }

  masterFound(master: FoundMaster): void {
    if (this.#isClosed) return
    this.#drop()
    this.#master = master
    this.#dial(master)
  }

  /** @param isSilent nothing is to be expected of the connection either */
  masterLost(error: TravertineError, isSilent: boolean): void {
    this.#lastError = error
    this.#master = undefined
    if (isSilent || this.#connection === undefined) this.#drop()
  }

  flush(): void {
    this.#connection?.flush()
  }

  flushSoon(): void {
    this.#connection?.flushSoon()
  }

  /** @param isGraceful what was written is still delivered */
  close(isGraceful: boolean): void {
    this.#isClosed = true
    this.#master = undefined
    if (this.#connection !== undefined) this.#closed = this.#connection.closed
    this.#connection?.close(isGraceful)
    this.#connection = undefined
    this.#stopTrying()
  }

  #dial(master: FoundMaster): void {
    const { world, channel, handler } = this.#options
    const abort = new AbortController()
    this.#dialling = abort
    openLog(world, master, { channel, claim: handler.claim(), signal: abort.signal }).then(
      (opened) => {
        if (this.#dialling === abort) this.#open(master, opened)
        else opened.connection.destroy()
      },
      (error: unknown) => {
        if (!(error instanceof TravertineError)) throw error
        if (this.#dialling === abort) this.#failed(error)
      },
    )
  }

  #open(master: FoundMaster, opened: OpenedLog): void {
    const { world, frames, handler } = this.#options
    const { sequence, missing, term, lastTerm, since } = opened.reply
    const terms = { term: asTerm(term), lastTerm: asTerm(lastTerm) }
    this.#dialling = undefined
    try {
      const { replicas } = master.hello
      handler.opened({ ...terms, replicas, sequence, missing }, since)
    } catch (error) {
      opened.connection.destroy()
      if (!(error instanceof TravertineError)) throw error
      this.#failed(error)
      return
    }
    this.#openedAt = world.clock.now()
    const onLost = (error: TravertineError): void => this.#broken(error)
    this.#connection = new LogConnection({ clock: world.clock, opened, frames, handler, onLost })
    this.#connection.flushSoon()
  }

  #broken(error: TravertineError): void {
    this.#drop()
    this.#failed(error)
  }

  /** Nothing is under way now. */
  #failed(error: TravertineError): void {
    const { world, handler, reconnect } = this.#options
    this.#dialling = undefined
    this.#lastError = error
    handler.broken()
    if (error.code === 'PRODUCER_EXPIRED') handler.forgotten()
    else if (!reconnect || endsChannel(error)) return handler.finish(error)
    const master = this.#master
    // without one the client looks for it, and says when there is one
    if (master !== undefined) this.#waiting = world.clock.after(this.#backoff.next(), () => this.#dial(master))
  }

  #drop(): void {
    this.#stopTrying()
    this.#options.handler.broken()
    if (this.#connection === undefined) return
    this.#connection.close(false)
    this.#connection = undefined
    this.#backoff.lasted(this.#options.world.clock.now() - this.#openedAt)
  }

  #stopTrying(): void {
    this.#waiting?.cancel()
    this.#waiting = undefined
    const dialling = this.#dialling
    this.#dialling = undefined
    dialling?.abort()
  }
}
