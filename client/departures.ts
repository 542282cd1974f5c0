/**
 * Which sessions of a producer have left this process, and which may stay in it.
 *
 * A session that was ever handed to a connection may be in a log, whatever came of the connection. One that was not is
 * certainly in none, and may be withdrawn, but only while nobody counts on it: on a connection sessions count one by
 * one, and only those up to the `sent` of its claim may be left out (REP-22).
 *
 *   connected -> broken -> claimed -> connected ...      claimed -> broken: the connection could not be opened
 */
export class Departures {
  /** Sessions up to here belong to an id that the node has forgotten. */
  #before: number
  /** Newest session that was ever handed to a connection; and to the present one, or found in the log by it. */
  #ever: number
  #here: number
  /** A node has answered a claim of the present id. */
  #isKnown = false
  #isConnected = false
  /** Sessions up to here may be left out on the next connection. */
  #claimed: number

  /** @param before the session before the first one */
  constructor(before: number) {
    this.#before = before
    this.#ever = before
    this.#here = before
    this.#claimed = before
  }

  /** Answers may name sessions up to here. */
  get here(): number {
    return this.#here
  }

  /** The log of whatever node holds nothing above. */
  get ever(): number {
    return this.#ever
  }

  /** All sessions up to `last` are in the hands of the connection. */
  handedOver(last: number): void {
    this.#ever = last
    this.#here = last
  }

  /** What to tell the node that is asked next. @param last newest session. @param answered all up to it are answered */
  claim(last: number, answered: number): { readonly sent: number; readonly answered: number } {
    if (!this.#isKnown) return { sent: 0, answered: 0 }
    this.#claimed = last
    return { sent: last, answered }
  }

  broken(): void {
    this.#isConnected = false
    // a claim is still to come; the first one of an id can leave out nothing
    this.#claimed = this.#isKnown ? Number.POSITIVE_INFINITY : this.#before
  }

  /** @param sequence last session in the log. Returns it, but never one before the first of the present id */
  opened(sequence: number): number {
    this.#isConnected = true
    this.#isKnown = true
    this.#here = Math.max(sequence, this.#before)
    return this.#here
  }

  wasSent(sequence: number): boolean {
    return sequence <= this.#ever
  }

  /** It was never sent, and need not be. */
  canBeWithdrawn(sequence: number): boolean {
    return !this.#isConnected && !this.wasSent(sequence) && this.canBeLeftOut(sequence)
  }

  /** Asked on the connection that was just opened, of a session that is not in the log. */
  canBeLeftOut(sequence: number): boolean {
    return sequence <= this.#claimed
  }
}
