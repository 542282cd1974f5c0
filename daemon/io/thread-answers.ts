/** Counts what all channel threads have to say before something goes on: one answer per thread and question. */
export class ThreadAnswers<Question> {
  readonly #threads: number
  readonly #answers = new Map<Question, number>()

  constructor(threads: number) {
    this.#threads = threads
  }

  ask(question: Question): void {
    this.#answers.set(question, 0)
  }

  /** Nobody waits for it any more. */
  forget(question: Question): void {
    this.#answers.delete(question)
  }

  /** @returns true for the last answer; never to a question that nobody asks (any more) */
  take(question: Question): boolean {
    const before = this.#answers.get(question)
    if (before === undefined) return false
    this.#answers.set(question, before + 1)
    if (before + 1 < this.#threads) return false
    this.#answers.delete(question)
    return true
  }
}
