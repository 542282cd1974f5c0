/**
 * What clients have seen, and nothing else: each session with the moments at which it was sent and answered. The checkers
 * hold the files against it.
 */

export interface Answer {
  /** Name of the mastership. */
  readonly term: string
  readonly epoch: number
}

export interface Session {
  readonly id: number
  readonly client: string
  readonly channel: number
  readonly sentAt: number
  /** Highest answered epoch per mastership when it was sent. */
  readonly mustFollow: ReadonlyMap<string, number>
  stored: Answer | undefined
  propagated: Answer | undefined
  /** How it ended for the client where a level was not reached. */
  outcome: string | undefined
  /** Name of the mastership that said so: it speaks for its own history. */
  toldIn: string | undefined
  /** A change of mastership was allowed to lose it. */
  isExcused: boolean
}

export class ClientHistory {
  readonly sessions = new Map<number, Session>()
  readonly #answered = new Map<string, number>()
  answers = 0

  sent(session: { id: number; client: string; channel: number; sentAt: number }): Session {
    const sent: Session = {
      ...session,
      mustFollow: new Map(this.#answered),
      stored: undefined,
      propagated: undefined,
      outcome: undefined,
      toldIn: undefined,
      isExcused: false,
    }
    this.sessions.set(session.id, sent)
    return sent
  }

  stored(session: Session, answer: Answer): void {
    session.stored ??= answer
    this.answers += 1
    this.#answered.set(answer.term, Math.max(answer.epoch, this.#answered.get(answer.term) ?? 0))
  }

  propagated(session: Session, answer: Answer): void {
    session.propagated ??= answer
    this.answers += 1
  }
}
