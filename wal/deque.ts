/** First-in first-out queue on one array: amortised O(1), no allocation per element. */
export class Deque<T> {
  #items: T[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  first(): T | undefined {
    return this.#items[this.#head]
  }

  last(): T | undefined {
    return this.length === 0 ? undefined : this.#items.at(-1)
  }

  /** Drops the first element. The space is given back when half of the array is behind us. */
  shift(): void {
    this.#head++
    if (this.#head >= 64 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
  }

  /** Keeps only what `accept` accepts; it is asked from the last element to the first. */
  keepFromLast(accept: (item: T) => boolean): void {
    const kept: T[] = []
    for (let i = this.#items.length - 1; i >= this.#head; i--) {
      const item = this.#items[i]! // inside the array
      if (accept(item)) kept.push(item)
    }
    this.#items = kept.reverse()
    this.#head = 0
  }

  /** The first of those at the end that `accept` accepts, one and all: looks from the end, where it mostly is. */
  firstOfTail(accept: (item: T) => boolean): T | undefined {
    let first: T | undefined
    for (let i = this.#items.length - 1; i >= this.#head; i--) {
      const item = this.#items[i]! // inside the array
      if (!accept(item)) break
      first = item
    }
    return first
  }

  findLast(accept: (item: T) => boolean): T | undefined {
    for (let i = this.#items.length - 1; i >= this.#head; i--) {
      const item = this.#items[i]! // inside the array
      if (accept(item)) return item
    }
    return undefined
  }
}
