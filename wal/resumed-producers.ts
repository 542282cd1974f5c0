/**
 * Producers that came back and have not heard PROPAGATED for what stood in the log by then (REP-66). What lies before this
 * mastership is PROPAGATED when the replicas hold all of it: its layers are put together in the last one before.
 *
 * Another channel may have published both watermarks when this one has not told STORED yet; PROPAGATED waits for that.
 */
import type { Board } from './board.ts'
import { policyAsksForAny } from './durability.ts'
import type { Producer } from './producer.ts'

interface Resumed {
  readonly layer: bigint
  readonly epoch: bigint
  readonly lastSequence: number
}

export class ResumedProducers {
  /** One record per producer, the newest. */
  readonly #waiting = new Map<Producer, Resumed>()

  get size(): number {
    return this.#waiting.size
  }

  add(producer: Producer, board: Board): void {
    const { last, lastEpoch, propagatedSequence } = producer
    if (last <= propagatedSequence || !policyAsksForAny(board.policy())) return
    const { firstEpoch } = board.handle.start
    const epoch = BigInt(lastEpoch)
    this.#waiting.set(producer, { layer: epoch < firstEpoch ? firstEpoch - 1n : epoch, epoch, lastSequence: last })
  }

  answer(propagated: bigint): void {
    if (this.#waiting.size === 0) return
    for (const [producer, { layer, epoch, lastSequence }] of this.#waiting) {
      const isTrue = layer <= propagated && lastSequence <= producer.storedSequence
      if (!isTrue && !producer.isGone) continue
      this.#waiting.delete(producer) // who is gone asks again when it comes back
      if (isTrue) producer.propagated(epoch, lastSequence)
    }
  }
}
