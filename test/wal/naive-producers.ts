/**
 * The producer table as its rules say it (WAL-67, WAL-68), from the whole list of sessions each time: slow, and another
 * way of thinking than the one it judges.
 */
import type { ProducerTableState } from '../../wal/producer-table.ts'

export interface WrittenSession {
  readonly producer: bigint
  readonly sequence: number
  readonly epoch: number
  readonly term: number
}

export function naiveProducers(
  log: readonly WrittenSession[],
  limits: { readonly producers: number; readonly ranges: number },
): ProducerTableState {
  /** Per producer that is remembered its sessions since it came in, and whether somebody had been forgotten by then. */
  let known: { id: bigint; afterLoss: boolean; sessions: WrittenSession[] }[] = []
  let evicted = 0
  for (const session of log) {
    const entry = known.find((k) => k.id === session.producer) ?? {
      id: session.producer,
      afterLoss: evicted > 0,
      sessions: [],
    }
    if (session.sequence <= Math.max(0, ...entry.sessions.map((s) => s.sequence))) continue
    entry.sessions.push(session)
    known = [...known.filter((k) => k !== entry), entry]
    if (known.length > limits.producers) evicted = Math.max(evicted, known.shift()!.sessions.at(-1)!.epoch)
  }
  return {
    evictedEpoch: String(evicted),
    producers: known.map(({ id, afterLoss, sessions }) => {
      const last = sessions.at(-1)!
      const holes = holesOf(sessions, afterLoss ? sessions[0]!.sequence : 1)
      const kept = holes.slice(-limits.ranges)
      const forgotten = holes.at(-limits.ranges - 1)
      const judgedFrom = forgotten !== undefined ? forgotten[1] + 1 : afterLoss ? sessions[0]!.sequence : 1
      return [String(id), last.sequence, String(last.epoch), String(last.term), judgedFrom, kept.flat()]
    }),
  }
}

function holesOf(sessions: readonly WrittenSession[], from: number): [number, number][] {
  const holes: [number, number][] = []
  let next = from
  for (const { sequence } of sessions) {
    if (sequence > next) holes.push([next, sequence - 1])
    next = sequence + 1
  }
  return holes
}
