/** Entry point of a thread of the job pool (piscina): jobs.ts on the real disk. */
import { NodeDisk } from '../../wal/node-disk.ts'
import { type JobAnswer, type JobName, type Jobs, jobsOn } from './jobs.ts'

const run = jobsOn(new NodeDisk())

export function runJob<N extends JobName>({ name, args }: { name: N; args: Jobs[N]['args'] }): JobAnswer<N> {
  return run(name, args)
}
