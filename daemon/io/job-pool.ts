/** The job pool as the control thread sees it: a call with a typed result, or a `TravertineError`. */
import { Piscina } from 'piscina'
import { fromWireError } from '../../protocol/errors.ts'
import type { JobAnswer, JobName, Jobs } from '../threads/jobs.ts'

/** Jobs are few and mostly wait for the disk; two threads let a recovery point pass a long segment preparation. */
const POOL_THREADS_MAX = 2
/** A thread starts in tens of milliseconds of a core; one that waits costs memory only. Longer than a busy segment lasts. */
const IDLE_MS = 60_000

export interface JobRunner {
  /** @throws what the job has thrown of the world */
  run<N extends JobName>(name: N, args: Jobs[N]['args']): Promise<Jobs[N]['result']>
}

export class JobPool implements JobRunner {
  readonly #pool = new Piscina({
    filename: new URL('../threads/job.js', import.meta.url).href,
    name: 'runJob',
    minThreads: 0,
    maxThreads: POOL_THREADS_MAX,
    idleTimeout: IDLE_MS,
  })

  async run<N extends JobName>(name: N, args: Jobs[N]['args']): Promise<Jobs[N]['result']> {
    const answer = (await this.#pool.run({ name, args })) as JobAnswer<N> // runJob's own return type
    if ('error' in answer) throw fromWireError(answer.error)
    return answer.result
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
