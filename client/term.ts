/** Masterships as they come over the wire, and as people read them. */
import { nodeId, type Term, termNumber } from '../protocol/ids.ts'

/** The codec has checked the form of the id. */
export function asTerm(wire: { number: bigint; nodeId: string; tag: number }): Term {
  return { number: termNumber(wire.number), nodeId: nodeId(wire.nodeId), tag: wire.tag }
}

export function termText(term: Term): string {
  return `term ${term.number} of node ${term.nodeId} with tag ${term.tag}`
}
