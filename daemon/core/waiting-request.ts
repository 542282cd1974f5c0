/**
 * A session_begin that came while a replica adopts a history, and waits for the end of that. One waits at most; a further one
 * takes its place only if it would as well if that one were followed already (REP-81). Whose connection has gone is
 * forgotten.
 */
import type { Message } from '../../protocol/control-message.ts'
import { checkMasterTerm, type KnownTerms } from '../../wal/term-history.ts'
import type { ConnectionId } from './events.ts'
import { checkFeeder, type Feeder } from './feeder.ts'
import { fromWireHistory } from './wire-history.ts'

export interface SessionRequest {
  readonly connection: ConnectionId
  readonly message: Message<'session_begin'>
  readonly sender: Feeder
}

export class WaitingRequest {
  readonly #ownId: string
  readonly #isThere: (connection: ConnectionId) => boolean
  #request: SessionRequest | undefined

  constructor(ownId: string, isThere: (connection: ConnectionId) => boolean) {
    this.#ownId = ownId
    this.#isThere = isThere
  }

  /** @throws TERM_STALE, TERM_CONFLICT, CASCADE_LOOP, FED_ALREADY: whoever waits has the better right */
  check(sender: Feeder): void {
    const waiting = this.#current
    if (waiting === undefined) return
    const terms: KnownTerms = { history: fromWireHistory(waiting.message.history), fence: undefined }
    checkMasterTerm(terms, sender.term)
    checkFeeder(this.#ownId, sender, waiting.sender)
  }

  /** @returns the connection of the one that has waited until now, if it is another one */
  replace(request: SessionRequest): ConnectionId | undefined {
    const before = this.#current?.connection
    this.#request = request
    return before === request.connection ? undefined : before
  }

  take(): SessionRequest | undefined {
    const waiting = this.#current
    this.#request = undefined
    return waiting
  }

  get #current(): SessionRequest | undefined {
    return this.#request !== undefined && this.#isThere(this.#request.connection) ? this.#request : undefined
  }
}
