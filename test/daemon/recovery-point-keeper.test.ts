/** Recovery points of one channel are written one after the other, and of those that wait only the newest. */
import t from 'tap'
import { RecoveryPointKeeper } from '../../daemon/recovery-point-keeper.ts'
import type { Jobs } from '../../daemon/threads/jobs.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { NO_PRODUCERS } from '../../wal/producer-table.ts'
import type { RecoveryPoint } from '../../wal/recovery-point.ts'

const point = (channel: number, position: number): RecoveryPoint => ({
  channel,
  position,
  epoch: 1n,
  stored: 1n,
  term: 1n,
  termTag: 1,
  sealPosition: 0,
  producers: NO_PRODUCERS,
})

t.test('one at a time per channel, the newest last, and again after a failure', async (t) => {
  const jobs: { readonly at: string; end(error?: Error): Promise<void> }[] = []
  const keeper = new RecoveryPointKeeper(
    {
      run: (name, args) =>
        new Promise((resolve, reject) => {
          t.equal(name, 'writeRecoveryPoint')
          const { point } = args as Jobs['writeRecoveryPoint']['args'] // its name was compared above
          jobs.push({
            at: `${point.channel}:${point.position}`,
            end: (error) => {
              if (error === undefined)
                resolve(undefined as never) // what this job returns
              else reject(error)
              return new Promise((settled) => setImmediate(settled))
            },
          })
        }),
    },
    '/data',
  )
  const begun = (): string[] => jobs.map(({ at }) => at)
  const first = keeper.write(point(0, 10))
  await keeper.write(point(0, 20))
  await keeper.write(point(0, 30))
  const other = keeper.write(point(1, 15))
  t.same(begun(), ['0:10', '1:15'], 'another channel has another file')
  await jobs[0]!.end()
  t.same(begun(), ['0:10', '1:15', '0:30'], 'the one between is out of date')
  await jobs[2]!.end()
  await first
  await jobs[1]!.end()
  await other

  const failing = keeper.write(point(0, 40))
  await keeper.write(point(0, 50))
  void jobs[3]!.end(new TravertineError('DISK_FULL', 'Cannot write to a file'))
  await t.rejects(failing, { code: 'DISK_FULL' })
  const last = keeper.write(point(0, 60))
  t.same(begun().slice(3), ['0:40', '0:60'])
  await jobs[4]!.end()
  await last
})
