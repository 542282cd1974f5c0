/**
 * A small seeded generator (xorshift32) for tests: the same seed gives the same run on every machine.
 *
 * Integers only, no floating point. One generator per component: with a shared one, a new draw in one place would
 * reshuffle every other.
 */
import { assert } from '../../protocol/assert.ts'

export class SeededRandom {
  #state: number

  constructor(seed: number) {
    assert(Number.isSafeInteger(seed) && seed >= 0, 'a seed is a whole number', { seed })
    // Zero is the one state that xorshift cannot leave; the multiplier separates neighbouring seeds.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 0 || 1
  }

  /** A whole number in 0 .. limit - 1. */
  below(limit: number): number {
    assert(Number.isSafeInteger(limit) && limit >= 1 && limit <= 0xffff_ffff, 'a limit is a small whole number', {
      limit,
    })
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return (x >>> 0) % limit
  }

  /** True in `part` of `whole` cases. */
  chance(part: number, whole: number): boolean {
    return this.below(whole) < part
  }
}
