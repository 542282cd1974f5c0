/** Term histories between their own type and the plain maps of the control channel. */
import type { WireHistoryEntry } from '../../protocol/control-message.ts'
import { byteOffset, epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import { TERM_HISTORY_LIMIT } from '../../protocol/limits.ts'
import type { TermHistory } from '../../wal/term-history.ts'

/** The youngest ones: a node that lagged may know more than it may send. */
export function toWireHistory(history: TermHistory): WireHistoryEntry[] {
  return history
    .slice(-TERM_HISTORY_LIMIT)
    .map((m) => ({ ...m.term, firstEpoch: m.firstEpoch, baseEpoch: m.baseEpoch, starts: [...m.starts] }))
}

/** The codec has checked every field; `checkHistory` of wal/ checks how they hang together. */
export function fromWireHistory(history: readonly WireHistoryEntry[]): TermHistory {
  return history.map((m) => ({
    term: { number: termNumber(m.number), nodeId: nodeId(m.nodeId), tag: m.tag },
    firstEpoch: epoch(m.firstEpoch),
    baseEpoch: epoch(m.baseEpoch),
    starts: m.starts.map(byteOffset),
  }))
}
