/**
 * Which mastership has written a session of a producer, as far as the client may still be told that it is STORED.
 *
 * What a log does not hold when a connection is opened, and holds when the next one is, was written by the mastership of
 * the first: a client sends over a connection that was answered, and over no other. An epoch alone does not tell: STORED
 * may come connections and masterships later, for sessions of several of them.
 *
 * Holds a span per mastership, not per connection; those of sessions that were STORED are dropped.
 */
import { sameTerm, type Term } from '../protocol/ids.ts'

interface Span {
  /** Sessions above, up to the next span, are of this term. */
  readonly above: number
  readonly term: Term
}

export class WrittenTerms {
  #spans: readonly Span[] = []

  /**
   * A log connection was opened.
   *
   * @param last newest session in the log. @param lastTerm who wrote it; undefined if there is none
   */
  opened(last: number, lastTerm: Term | undefined, term: Term): void {
    this.#spans = this.#spans.filter((span) => span.above < last) // what lay above is not in the log
    if (lastTerm !== undefined) this.#add(last - 1, lastTerm)
    this.#add(last, term)
  }

  /** Sessions up to this one were STORED. @returns who wrote it; undefined before the first connection */
  stored(sequence: number): Term | undefined {
    if (this.#spans.length > 1) {
      const own = this.#spans.findLastIndex((span) => span.above < sequence)
      if (own > 0) this.#spans = this.#spans.slice(own)
    }
    return this.#spans[0]?.term
  }

  #add(above: number, term: Term): void {
    const newest = this.#spans.at(-1)?.term
    if (newest === undefined || !sameTerm(newest, term)) this.#spans = [...this.#spans, { above, term }]
  }
}
