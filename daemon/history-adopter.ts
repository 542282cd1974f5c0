/**
 * How a replica comes to follow a history, step by step: quiet channel threads, with everything durable; the durable cut;
 * threads that follow. In this order, so nothing of the new history stands before the cut, and nothing is cut that moves.
 */
import { TravertineError } from '../protocol/errors.ts'
import type { TermHistory } from '../wal/term-history.ts'
import type { AdoptedHistory } from './core/events.ts'
import type { HeldEpochs } from './held-epochs.ts'
import type { Channels } from './io/channel-threads.ts'
import type { ManifestKeeper } from './manifest-keeper.ts'

export interface HistoryAdopterOptions {
  readonly keeper: ManifestKeeper
  readonly threads: Channels
  readonly held: HeldEpochs
  /** So many bytes were cut off, and kept. */
  readonly onCut: (bytes: number) => void
}

export class HistoryAdopter {
  readonly #options: HistoryAdopterOptions
  #quiet: ((position: number, channel: number) => void) | undefined

  constructor(options: HistoryAdopterOptions) {
    this.#options = options
  }

  /**
   * @returns what kept it from following, with everything as it was
   * @throws where nobody can say whether the new history is durable: the node has to stop, and a start reads what is there
   */
  async adopt(history: TermHistory): Promise<AdoptedHistory | TravertineError> {
    const { keeper, threads, held, onCut } = this.#options
    const ends = await this.#quiesce()
    const adopted = await keeper.adopt({ ends, history })
    if (adopted instanceof TravertineError) return adopted
    const cut = adopted.divergentBytes.reduce((a, b) => a + b, 0)
    if (cut > 0) {
      held.cutBehind(adopted.commonEpoch)
      onCut(cut)
    }
    adopted.resume.forEach((position, channel) => {
      const producers = adopted.producers[channel]
      threads.send(channel, { type: 'follow', history: adopted.manifest.history, position, producers })
    })
    return { resume: adopted.resume, terms: adopted.manifest }
  }

  /** A channel thread is quiet; its log ends at `position`. */
  quiet(position: number, channel: number): void {
    this.#quiet?.(position, channel)
  }

  #quiesce(): Promise<readonly number[]> {
    const { keeper, threads } = this.#options
    return new Promise((resolve) => {
      const ends = new Array<number>(keeper.current.channels).fill(-1)
      this.#quiet = (position, channel) => {
        ends[channel] = position
        if (!ends.includes(-1)) resolve(ends)
      }
      threads.sendAll({ type: 'quiesce' })
    })
  }
}
