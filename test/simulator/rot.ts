/**
 * Flushed bytes rot on one node at the end of a run: a flipped bit, a zeroed sector, or a sector that forgot its last
 * flush. The node must refuse to start and name the place, unless what rotted is nothing that it needs, or its very last batch,
 * which one disk alone cannot tell from a torn tail (docs/DURABILITY.md).
 */
import type { TravertineError } from '../../protocol/errors.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { Checkers } from './checkers.ts'
import type { Cluster } from './cluster.ts'
import type { ClientHistory } from './history.ts'

export interface RotOptions {
  readonly cluster: Cluster
  readonly history: ClientHistory
  readonly checkers: Checkers
  readonly random: SeededRandom
  readonly say: (text: string) => void
}

export function rotAndCheck(_options: RotOptions): TravertineError | undefined {
  return undefined
}
