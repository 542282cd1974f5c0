/**
 * Abort signals of many calls: one listener per signal, however many calls share it.
 *
 * A listener per call would cost a closure each, and a signal shared by a thousand sessions would warn of a leak.
 */

export class AbortWatch {
  readonly #onAbort: (signal: AbortSignal) => void
  readonly #watched = new Map<AbortSignal, { calls: number; listener: () => void }>()

  /** @param onAbort ends every call that has this signal, and so releases it */
  constructor(onAbort: (signal: AbortSignal) => void) {
    this.#onAbort = onAbort
  }

  add(signal: AbortSignal): void {
    const entry = this.#watched.get(signal)
    if (entry !== undefined) {
      entry.calls += 1
      return
    }
    const listener = (): void => this.#onAbort(signal)
    signal.addEventListener('abort', listener, { once: true })
    this.#watched.set(signal, { calls: 1, listener })
  }

  release(signal: AbortSignal): void {
    const entry = this.#watched.get(signal)
    if (entry === undefined) return
    entry.calls -= 1
    if (entry.calls > 0) return
    signal.removeEventListener('abort', entry.listener)
    this.#watched.delete(signal)
  }
}
