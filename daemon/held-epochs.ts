/**
 * What a replica holds whole, as its channel threads tell of it in bits: epochs, and the configs that came in them.
 *
 * A config counts once its epoch is whole here: before that a new history may still cut it off (WAL-39).
 */
import type { ConfigRecord } from '../protocol/cluster-config.ts'
import type { ReceivedConfig } from '../wal/replica-log.ts'
import type { FoundSeal } from '../wal/whole-epoch.ts'
import { WholeTracker } from './core/whole-tracker.ts'
import type { OpenLog } from './open-log.ts'

export class HeldEpochs {
  /** The last whole epoch, one u64, for the channel threads. */
  readonly memory = new SharedArrayBuffer(8)
  readonly #tracker: WholeTracker
  /** By ascending epochs; not yet whole. */
  #configs: ReceivedConfig[] = []

  constructor(start: OpenLog['whole']) {
    this.#tracker = new WholeTracker(start)
    this.#publish()
  }

  get whole(): bigint {
    return this.#tracker.whole
  }

  addConfigs(configs: readonly ReceivedConfig[]): void {
    this.#configs.push(...configs)
  }

  addSeals(seals: readonly FoundSeal[]): void {
    this.#tracker.add(seals)
    this.#publish()
  }

  /** The newest config that has become whole since the last call. */
  takeConfig(): ConfigRecord | undefined {
    const newest = this.#configs.findLast((config) => config.epoch <= this.whole)
    if (newest !== undefined) this.#configs = this.#configs.filter((config) => config.epoch > this.whole)
    return newest?.record
  }

  /** A new history has cut the log behind this epoch. */
  cutBehind(epoch: bigint): void {
    this.#tracker.cutBehind(epoch)
    this.#configs = this.#configs.filter((config) => config.epoch <= epoch)
    this.#publish()
  }

  #publish(): void {
    Atomics.store(new BigInt64Array(this.memory), 0, this.whole)
  }
}
