/** Short names in transcripts for the long ids, terms and histories behind them. */
import { byteOffset, epoch, nodeId, type Term, termNumber } from '../../protocol/ids.ts'
import type { TermHistory } from '../../wal/term-history.ts'

export const CLUSTERS: Readonly<Record<string, string>> = {
  ours: '00000000-0000-4000-8000-000000000001',
  other: '00000000-0000-4000-8000-000000000002',
}
export const nodeNamed = (name: string): string => `0000000${name.toLowerCase()}-0000-4000-8000-000000000000`
export const nameOfNode = (id: string): string => (id[7] ?? '?').toUpperCase()

/** `3A7` is term 3 of node A with tag 7. */
export function parseTerm(text: string): Term {
  const match = /^(\d+)([A-D])(\d+)$/.exec(text)
  if (match === null) throw new Error(`${text} is not a term such as 3A7`)
  const [, number = '', node = '', tag = ''] = match
  return { number: termNumber(BigInt(number)), nodeId: nodeId(nodeNamed(node)), tag: Number(tag) }
}

/** `1A7@0,0;2A8@500,300/12`: masterships with their starts per channel, and the base epoch if not 0; empty for none. */
export function parseHistory(text: string): TermHistory {
  if (text === '') return []
  return text.split(';').map((part) => {
    const [term = '', place = ''] = part.split('@')
    const [starts = '', base = '0'] = place.split('/')
    return {
      term: parseTerm(term),
      firstEpoch: epoch(BigInt(base) + 1n),
      baseEpoch: epoch(BigInt(base)),
      starts: starts.split(',').map((start) => byteOffset(Number(start))),
    }
  })
}
