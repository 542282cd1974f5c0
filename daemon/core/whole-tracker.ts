/**
 * Which epochs a running replica holds on all channels: lastWholeEpoch of wal/, fed with seals as they become durable.
 *
 * Seals of whole epochs are forgotten; what is kept is bounded by how far the channels' streams are apart. Where that is
 * further than SEALS_KEPT_LIMIT the newest are dropped, and the epoch shown stays behind until the next restart's scan:
 * it is for status and recovery points only, never for acknowledgements.
 */
import { type FoundSeal, lastWholeEpoch } from '../../wal/whole-epoch.ts'

const SEALS_KEPT_LIMIT = 200_000

export class WholeTracker {
  #whole: bigint
  #heldThrough: readonly bigint[]
  #seals: FoundSeal[]

  constructor(start: {
    readonly whole: bigint
    readonly heldThrough: readonly bigint[]
    readonly seals: readonly FoundSeal[]
  }) {
    this.#whole = start.whole
    this.#heldThrough = start.heldThrough
    this.#seals = start.seals.filter((seal) => seal.epoch > start.whole)
  }

  get whole(): bigint {
    return this.#whole
  }

  add(seals: readonly FoundSeal[]): bigint {
    for (const seal of seals) if (this.#seals.length < SEALS_KEPT_LIMIT) this.#seals.push(seal)
    const { lastWhole } = lastWholeEpoch({ anchor: this.#whole, heldThrough: this.#heldThrough, seals: this.#seals })
    if (lastWhole > this.#whole) {
      this.#whole = lastWhole
      this.#seals = this.#seals.filter((seal) => seal.epoch > lastWhole)
    }
    return this.#whole
  }

  /** A new history has cut the log behind `epoch`: what was found beyond is void. A channel may not have got there yet. */
  cutBehind(epoch: bigint): void {
    const kept = (before: bigint): bigint => (epoch < before ? epoch : before)
    this.#whole = kept(this.#whole)
    this.#heldThrough = this.#heldThrough.map(kept)
    this.#seals = this.#seals.filter((seal) => seal.epoch <= epoch)
  }
}
