/** What a node or a client knows of the world besides its disk: three doors, so that a simulator can stand behind them. */
import type { Clock } from './clock.ts'
import type { Network } from './connection.ts'

export interface World {
  readonly clock: Clock
  readonly network: Network
  /** Bytes that nobody can guess: secrets, ids and tags are made of them. */
  readonly randomBytes: (bytes: number) => Buffer
}
