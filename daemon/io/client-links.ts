/**
 * The clients of one channel on the master: opens their log connections, one per producer, and keeps them.
 *
 * A producer comes back over a new connection while the node may still think that the old one lives (REP-65). Then the old
 * one is closed, and the answer waits until every session that came over it is stamped or rejected: only then does the
 * table say what stands in the log. Nothing is read from the new connection until then.
 */

import type { Clock, Timer } from '../../protocol/clock.ts'
import type { Connection } from '../../protocol/connection.ts'
import { encodeMessage, type Message, type WireTerm } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import type { Term } from '../../protocol/ids.ts'
import { STORED_HELD_MS } from '../../protocol/limits.ts'
import type { Board } from '../../wal/board.ts'
import type { ChannelLog } from '../../wal/channel-log.ts'
import type { Producer } from '../../wal/producer.ts'
import { judgeClaim } from '../../wal/producer-claim.ts'
import type { ProducerTable } from '../../wal/producer-table.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { ClientLink } from './client-link.ts'
import type { SessionRegistry } from './session-registry.ts'

export interface ClientLinksOptions {
  readonly clock: Clock
  readonly channel: number
  readonly registry: SessionRegistry
  readonly log: ChannelLog
  readonly board: Board
  readonly producers: ProducerTable<Producer>
  readonly term: Term
  readonly history: TermHistory
  readonly headerSeed: number
  /** A reason to refuse new sessions now, or undefined. */
  readonly refusal: () => TravertineError | undefined
  readonly onAccepted: () => void
  /** A connection or a session was refused: for whoever counts. */
  readonly onError: (error: TravertineError) => void
  /** A connection has ended. */
  readonly onClose: () => void
}

/** A connection whose log_open has no answer yet. */
interface Opening {
  readonly connection: Connection
  readonly open: Message<'log_open'>
  readonly rest: Buffer[]
  readonly release: () => void
}

export class ClientLinks {
  readonly #options: ClientLinksOptions
  readonly #links = new Set<ClientLink>()
  /** Producers with a connection, or with sessions that are queued: they may not be in the table yet. */
  readonly #live = new Map<bigint, Producer>()
  readonly #waiting = new Map<Producer, Opening>()
  /** Without a connection, but with sessions that are queued. */
  readonly #leaving = new Set<Producer>()
  #paused = false
  /** Runs while replies are held back. */
  #holding: Timer | undefined

  constructor(options: ClientLinksOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#links.size
  }

  /** @throws SECRET_INVALID, CHANNEL_UNKNOWN, MESSAGE_MALFORMED, PRODUCER_SEQUENCE, PRODUCER_EXPIRED */
  open(connection: Connection, open: Message<'log_open'>, rest: Buffer): void {
    const { channel, registry, producers } = this.#options
    const where = { channel, peer: connection.peer }
    const release = registry.admit(open, { kind: 'client', channel }, () => this.#drop(connection))
    if (open.producer === 0n) {
      release()
      throw new TravertineError(
        'MESSAGE_MALFORMED',
        'Cannot open a log connection: found producer 0, expected another',
        {
          where,
        },
      )
    }
    const producer = this.#live.get(open.producer) ?? producers.get(open.producer) ?? producers.make(open.producer)
    producer.link?.close()
    producer.link = undefined
    this.#giveUp(producer)
    this.#live.set(open.producer, producer)
    const opening = { connection, open, rest: [rest], release }
    if (producer.queued === 0) return this.#answer(producer, opening)
    this.#waiting.set(producer, opening)
    connection.pause()
    connection.handle({
      data: (chunk) => void opening.rest.push(chunk),
      closed: () => {
        if (this.#waiting.get(producer) === opening) this.#giveUp(producer)
      },
    })
  }

  /** Sessions were stamped or rejected: who has waited for that is answered. */
  flushed(): void {
    for (const [producer, opening] of this.#waiting) {
      if (producer.queued > 0) continue
      this.#waiting.delete(producer)
      try {
        this.#answer(producer, opening)
      } catch (thrown) {
        if (!(thrown instanceof TravertineError)) throw thrown
        this.#options.onError(thrown)
        opening.connection.end(encodeMessage({ type: 'error', error: toWireError(thrown) }))
      }
    }
    // a queue may take several flushes: who is not through stays where it is
    for (const producer of this.#leaving) if (producer.queued === 0) this.#forgetIdle(producer)
  }

  pause(): void {
    this.#paused = true
    for (const link of this.#links) link.pause()
  }

  resume(): void {
    this.#paused = false
    for (const link of this.#links) link.resume()
  }

  /** In the next turn: before the next flush, and together with what the replicas say until then. */
  sendRepliesSoon(): void {
    let isAwaited = false
    for (const link of this.#links) {
      if (link.isHolding) this.#hold()
      else if (link.hasReplies) isAwaited = true
    }
    if (isAwaited) this.#options.clock.nextTurn(this.#sendReplies)
  }

  sendReplies(): void {
    for (const link of this.#links) {
      link.sendReplies(false)
      if (link.isHolding) this.#hold()
    }
  }

  fail(error: TravertineError): void {
    for (const link of this.#links) link.fail(error)
  }

  close(): void {
    this.#holding?.cancel()
    for (const producer of [...this.#waiting.keys()]) this.#giveUp(producer)
    for (const link of this.#links) link.close()
  }

  #answer(producer: Producer, { connection, open, rest, release }: Opening): void {
    const { channel, log, board, producers, term, headerSeed, refusal, onAccepted, onError } = this.#options
    const where = { channel, peer: connection.peer }
    const entry = producer.isListed ? producer : undefined
    const closedEpoch = board.shownEpoch(board.open() - 1n)
    let answer: ReturnType<typeof judgeClaim>
    try {
      answer = judgeClaim(open, { entry, evictedEpoch: producers.evictedEpoch, closedEpoch, where })
    } catch (error) {
      release()
      this.#forgetIdle(producer)
      throw error
    }
    const { sequence } = answer
    const link: ClientLink = new ClientLink({
      connection,
      log,
      channel,
      headerSeed,
      producer,
      level: open.level,
      sequence,
      sent: open.sent,
      refusal,
      onAccepted,
      onError,
      onClose: () => {
        release()
        this.#links.delete(link)
        if (producer.link === link) producer.link = undefined
        this.#forgetIdle(producer)
        this.#options.onClose()
      },
    })
    this.#links.add(link)
    connection.resume()
    if (this.#paused) link.pause()
    const last = sequence === 0 ? { lastEpoch: 0n, lastTerm: term } : this.#lastOf(producer)
    connection.write(encodeMessage({ type: 'log_open_ok', position: 0, term, ...answer, ...last }))
    producer.greet(link)
    log.awaitPropagated(producer)
    link.sendReplies(true)
    for (const bytes of rest) if (bytes.length > 0) link.receive(bytes)
  }

  #lastOf({ lastEpoch, lastTerm }: Producer): { lastEpoch: bigint; lastTerm: WireTerm } {
    const { history, term } = this.#options
    // a term older than the history is shown as the oldest one that it still names
    const found = history.findLast((m) => m.term.number <= lastTerm) ?? history[0]
    return { lastEpoch: BigInt(lastEpoch), lastTerm: BigInt(lastTerm) === term.number ? term : (found?.term ?? term) }
  }

  readonly #sendReplies = (): void => this.sendReplies()

  #hold(): void {
    this.#holding ??= this.#options.clock.after(STORED_HELD_MS, this.#sendHeld)
  }

  readonly #sendHeld = (): void => {
    this.#holding = undefined
    for (const link of this.#links) link.sendHeld()
    this.sendReplies()
  }

  /** Nobody looks for a producer here that is in the table at most. */
  #forgetIdle(producer: Producer): void {
    this.#leaving.delete(producer)
    if (producer.link !== undefined || this.#waiting.has(producer)) return
    if (producer.queued > 0) this.#leaving.add(producer)
    else if (this.#live.get(producer.id) === producer) this.#live.delete(producer.id) // else it has come back as another object
  }

  /** The session of a connection has ended. */
  #drop(connection: Connection): void {
    for (const [producer, opening] of this.#waiting) if (opening.connection === connection) this.#giveUp(producer)
    for (const link of this.#links) if (link.connection === connection) link.close()
  }

  /** Who waits for an answer gets none. */
  #giveUp(producer: Producer): void {
    const opening = this.#waiting.get(producer)
    if (opening === undefined) return
    this.#waiting.delete(producer)
    opening.release()
    opening.connection.end()
    this.#forgetIdle(producer)
  }
}
