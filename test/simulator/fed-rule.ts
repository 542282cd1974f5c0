/**
 * The rule `fed`: what a replica has lost with its power was never on a replica that it feeds, since only what is durable
 * is passed on. It can be told from files only as long as one node with one disk has fed the leaves.
 */

import type { LogView, ViewFrame } from './log-view.ts'
import { Violation } from './violation.ts'

interface FedState {
  readonly node: { readonly name: string; readonly isMaster: boolean; readonly isLeaf: boolean }
  readonly view: LogView
}

export class FedRule {
  #isFedByOne = true

  /** Somebody else may feed the leaves from now on. */
  feederChanged(): void {
    this.#isFedByOne = false
  }

  /** A member has come back with what was durable. @throws Violation */
  recovered({ node, view }: FedState, states: readonly FedState[]): void {
    const feeder = states.find((state) => !state.node.isMaster)
    if (!this.#isFedByOne || feeder?.node !== node) return
    for (const leaf of states.filter((state) => state.node.isLeaf)) {
      leaf.view.advance()
      const more = heldBeyond(leaf.view, view)
      if (more === undefined) continue
      const place = `channel ${more.channel} position ${more.position}`
      throw new Violation('fed', `${place} is on ${leaf.node.name}, and ${node.name} that feeds it has lost it`)
    }
  }
}

/** A frame of `one` at a place that `other` gives to the same mastership, and does not hold. */
function heldBeyond(one: LogView, other: LogView): ViewFrame | undefined {
  return one.channels
    .flatMap(({ frames }) => frames)
    .find(({ channel, position, term }) => {
      const owner = other.history.findLast(({ starts }) => starts[channel]! <= position) // a start per channel
      return position >= (other.channels[channel]?.end ?? 0) && owner?.name === term
    })
}
