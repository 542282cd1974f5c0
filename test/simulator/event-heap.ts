/** The events of a simulation by time; of those at the same time the one that was planned first comes first. */

export interface PlannedEvent {
  readonly time: number
  readonly order: number
  readonly act: () => void
}

export class EventHeap {
  readonly #events: PlannedEvent[] = []
  #planned = 0

  push(time: number, act: () => void): void {
    const events = this.#events
    const event = { time, order: this.#planned++, act }
    let at = events.length
    events.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, events[parent]!)) break
      events[at] = events[parent]!
      at = parent
    }
    events[at] = event
  }

  pop(): PlannedEvent | undefined {
    const events = this.#events
    const first = events[0]
    const last = events.pop()
    if (first === undefined || last === undefined || events.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= events.length) break
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1
      if (!isBefore(events[child]!, last)) break
      events[at] = events[child]!
      at = child
    }
    events[at] = last
    return first
  }
}

const isBefore = (a: PlannedEvent, b: PlannedEvent): boolean =>
  a.time < b.time || (a.time === b.time && a.order < b.order)
