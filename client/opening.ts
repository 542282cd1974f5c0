/**
 * One opening of a producer's log connection, and what later ones tell about the sessions that were STORED during it.
 *
 * A session that was STORED may be gone later: a change of history has cut the log before it (DESIGN 4b). The client
 * hears of it when it opens the log connection again: the last sequence in the log is then below that of the session.
 * It sends nothing new before it has heard, so what is lost is always all that lies above that sequence. Each receipt
 * keeps the opening in which it was stored, openings are linked forwards, and whoever asks a receipt late is answered
 * by a walk to the newest one. An opening that no receipt remembers is garbage, so there is no list that could grow.
 */
import type { Term } from '../protocol/ids.ts'

/** What the node says of a producer when its log connection is opened. */
export interface KnownOfProducer {
  /** The mastership that answers. */
  readonly term: Term
  /** Replicas that PROPAGATED asks for. */
  readonly replicas: number
  /** Last session of this producer in the log. */
  readonly sequence: number
  /** [from, to]: sessions below `sequence` that are not in the log. */
  readonly missing: readonly (readonly [number, number])[]
  /** Who wrote session `sequence`. */
  readonly lastTerm: Term
}

export class Opening {
  /** Sessions up to here are in the log. */
  readonly sequence: number
  /** Of those above nobody can tell. */
  readonly #isForgotten: boolean
  #next: Opening | undefined

  constructor(sequence: number, isForgotten = false) {
    this.sequence = sequence
    this.#isForgotten = isForgotten
  }

  followedBy(next: Opening): Opening {
    this.#next = next
    return next
  }

  /** The table of producers has forgotten this one, which begins anew. What was PROPAGATED is in the log. */
  forgotten(propagated: number): Opening {
    return this.followedBy(new Opening(propagated, true))
  }

  /** What has become of a session that was STORED during this opening. */
  fateOf(sequence: number): 'in the log' | 'lost' | 'unknown' {
    for (let later = this.#next; later !== undefined; later = later.#next) {
      if (later.sequence < sequence) return later.#isForgotten ? 'unknown' : 'lost'
    }
    return 'in the log'
  }
}
