/**
 * The job pool of a simulated node: the shipped jobs (daemon/threads/jobs.ts) as tasks of two simulated threads.
 *
 * Each job is one task; a crash may come between any two of its operations on the disk. A segment is made once, by the
 * pool or, where a channel thread blocks for it, at that moment: to the thread it is the same.
 */

import type { JobRunner } from '../../daemon/io/job-pool.ts'
import { type JobAnswer, type JobName, type Jobs, jobsOn, type RunJob } from '../../daemon/threads/jobs.ts'
import type { ChannelStart } from '../../daemon/threads/thread-messages.ts'
import { fromWireError } from '../../protocol/errors.ts'
import type { Disk } from '../../wal/disk.ts'
import type { Actor } from './scheduler.ts'

type SegmentArgs = Jobs['prepareSegment']['args']

/** Segments that were asked for, so that none is made twice. */
export class SegmentJobs {
  readonly #runJob: RunJob
  readonly #made = new Map<string, JobAnswer<'prepareSegment'>>()

  constructor(runJob: RunJob) {
    this.#runJob = runJob
  }

  /** For the channel thread that waits for it. */
  makeNow({ directory, channels, channel, segmentBytes: bytes, doorbell }: ChannelStart, base: number): void {
    const args = { directory, channels, channel, base, bytes, filling: 'hole', doorbell } as const
    this.#made.set(keyOf(args), this.#runJob('prepareSegment', args))
  }

  /** For the pool, once per request. */
  make(args: SegmentArgs): JobAnswer<'prepareSegment'> {
    const made = this.#made.get(keyOf(args))
    this.#made.delete(keyOf(args))
    return made ?? this.#runJob('prepareSegment', args)
  }
}

const keyOf = ({ channel, base }: SegmentArgs): string => `${channel} ${base}`

export class SimPool implements JobRunner {
  readonly segmentJobs: SegmentJobs
  readonly #runJob: RunJob
  readonly #threads: readonly Actor[]
  readonly #control: Actor
  #next = 0

  constructor(disk: Disk, threads: readonly Actor[], control: Actor) {
    this.#runJob = jobsOn(disk)
    this.segmentJobs = new SegmentJobs(this.#runJob)
    this.#threads = threads
    this.#control = control
  }

  run<N extends JobName>(name: N, args: Jobs[N]['args']): Promise<Jobs[N]['result']> {
    const thread = this.#threads[this.#next++ % this.#threads.length]!
    return new Promise((resolve, reject) => {
      thread.post(() => {
        const answer = this.#do(name, args)
        this.#control.post(() => {
          if ('error' in answer) reject(fromWireError(answer.error))
          else resolve(answer.result)
        })
      })
    })
  }

  #do<N extends JobName>(name: N, args: Jobs[N]['args']): JobAnswer<N> {
    if (name !== 'prepareSegment') return this.#runJob(name, args)
    return this.segmentJobs.make(args as SegmentArgs) as JobAnswer<N> // its name was compared on the line above
  }
}
