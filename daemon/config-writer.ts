/**
 * How a CONFIG of the master comes to rule, step by step: written on channel 0 and STORED; in the manifest; the policy of the
 * board; and a look of every channel at the board, so that nobody counts by the policy before any more. Only then is it
 * `ruling`, and may be relied upon: a crash before leaves the config before it, or this one, and no promise that rests on it.
 *
 * The first CONFIG of a mastership repeats what rules already, and is through when it is STORED.
 */
import type { ClusterConfig } from '../protocol/cluster-config.ts'
import type { Board } from '../wal/board.ts'
import { encodePolicy, policyOf } from '../wal/durability.ts'
import type { Channels } from './io/channel-threads.ts'
import { ThreadAnswers } from './io/thread-answers.ts'
import type { ManifestKeeper } from './manifest-keeper.ts'

export interface ConfigWriterOptions {
  readonly keeper: ManifestKeeper
  readonly threads: Channels
  /** Only a master has one, and only a master writes. */
  readonly board: Board | undefined
  /** Of this node: a CONFIG names its master. */
  readonly address: () => string
  readonly onRuling: (number: number) => void
  /** The manifest cannot be written: what is STORED does not rule, so the node cannot go on. */
  readonly onFailure: (thrown: unknown) => void
}

export class ConfigWriter {
  readonly #options: ConfigWriterOptions
  readonly #answers: ThreadAnswers<number>
  #writing: ClusterConfig | undefined

  constructor(options: ConfigWriterOptions) {
    this.#options = options
    this.#answers = new ThreadAnswers(options.keeper.current.channels)
  }

  write(config: ClusterConfig): void {
    const { keeper, threads, address } = this.#options
    this.#writing = config
    const record = { masterId: keeper.current.nodeId, masterAddress: address(), config }
    threads.send(0, { type: 'config', record })
  }

  stored(number: number): void {
    const { keeper, onFailure, onRuling } = this.#options
    const config = this.#writing
    if (config?.number !== number) return
    if (number === keeper.current.config.number) return onRuling(number)
    keeper.setConfig(config).then(() => this.#count(config), onFailure)
  }

  /** A channel counts by the policy of this config now. */
  counted(number: number): void {
    if (this.#answers.take(number)) this.#options.onRuling(number)
  }

  #count(config: ClusterConfig): void {
    const { board, threads } = this.#options
    board?.setPolicy(encodePolicy(policyOf(config)))
    this.#answers.ask(config.number)
    threads.sendAll({ type: 'recount', number: config.number })
  }
}
