/**
 * The term history of a node as its readers need it: which term every byte of a channel was written in. (The rule of
 * wal/term-history.ts; a client knows nothing of wal/.)
 */
import type { WireHistoryEntry } from '../protocol/control-message.ts'
import { TravertineError } from '../protocol/errors.ts'
import { nodeId, type Term, termNumber } from '../protocol/ids.ts'

/** A mastership, and up to where on a channel it holds. */
export interface Owner {
  readonly term: Term
  /** Position where the next mastership begins. */
  readonly end: number
}

export class LogHistory {
  readonly #entries: readonly WireHistoryEntry[]

  /** @throws HISTORY_DIVERGED: the history comes from a peer */
  constructor(entries: readonly WireHistoryEntry[], channels: number) {
    this.#entries = entries
    let number = 0n
    let starts: readonly number[] = new Array<number>(channels).fill(0)
    for (const entry of entries) {
      const isGood =
        entry.starts.length === channels &&
        entry.number > number &&
        entry.starts.every((start, channel) => start >= (starts[channel] ?? 0))
      if (!isGood) throw outOfOrder(entry.number)
      number = entry.number
      starts = entry.starts
    }
    if (entries.length === 0) throw outOfOrder(0n)
  }

  /** Whose frames stand at this position; undefined before the first mastership. */
  ownerAt(channel: number, position: number): Owner | undefined {
    const index = this.#entries.findLastIndex((entry) => startOf(entry, channel) <= position)
    const entry = this.#entries[index]
    if (entry === undefined) return undefined
    const next = this.#entries.slice(index + 1).find((later) => startOf(later, channel) > position)
    return {
      term: { number: termNumber(entry.number), nodeId: nodeId(entry.nodeId), tag: entry.tag },
      end: next === undefined ? Number.POSITIVE_INFINITY : startOf(next, channel),
    }
  }
}

const startOf = (entry: WireHistoryEntry, channel: number): number => entry.starts[channel] ?? 0 // one per channel

function outOfOrder(term: bigint): TravertineError {
  return new TravertineError(
    'HISTORY_DIVERGED',
    `Cannot read a log: found term ${term} out of order in its history, expected terms and starts that ascend`,
    { hint: 'the node is broken; read from another one' },
  )
}
