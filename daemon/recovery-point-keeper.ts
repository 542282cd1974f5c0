/**
 * Writes recovery points, one job of the pool per channel at a time: two would write one side file, and the first to be
 * renamed could take away what the other has half written. Of those that come meanwhile only the newest counts.
 */
import type { RecoveryPoint } from '../wal/recovery-point.ts'
import type { JobRunner } from './io/job-pool.ts'

export class RecoveryPointKeeper {
  readonly #pool: JobRunner
  readonly #directory: string
  /** Channels with a job under way. */
  readonly #busy = new Set<number>()
  readonly #next = new Map<number, RecoveryPoint>()

  constructor(pool: JobRunner, directory: string) {
    this.#pool = pool
    this.#directory = directory
  }

  /** Resolves when it, or a newer one, is written or left to the job under way. @throws DISK_FULL, DISK_FAILED */
  async write(newest: RecoveryPoint): Promise<void> {
    const { channel } = newest
    this.#next.set(channel, newest)
    if (this.#busy.has(channel)) return
    this.#busy.add(channel)
    try {
      for (let point = this.#take(channel); point !== undefined; point = this.#take(channel))
        await this.#pool.run('writeRecoveryPoint', { directory: this.#directory, point })
    } finally {
      this.#busy.delete(channel)
    }
  }

  #take(channel: number): RecoveryPoint | undefined {
    const point = this.#next.get(channel)
    this.#next.delete(channel)
    return point
  }
}
