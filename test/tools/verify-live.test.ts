/** verifyLog on a live pair under load: what is being written never looks damaged. */
import t from 'tap'
import { verifyLog } from '../../tools/verify-log.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runningPair } from './written-pair.ts'

const disk = new NodeDisk()
const verify = (directory: string) => verifyLog({ directory, disk })

t.test('a live pair under load never looks damaged', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t), 3)
  let goesOn = true
  let sessions = 0
  const writers = pair.channels.map(async (channel) => {
    while (goesOn) {
      const entry = { op: 'put' as const, storage: 1n, key: `${sessions}`, value: Buffer.alloc(700, 1) }
      const some = Array.from({ length: 8 }, () => channel.write([entry], { level: 'stored' }))
      await Promise.all(some)
      sessions += some.length
    }
  })
  let looks = 0
  for (; looks < 15 || sessions < 500; looks++) {
    for (const directory of [pair.masterDirectory, pair.replicaDirectory]) {
      const { findings } = await verify(directory)
      if (findings.length > 0)
        t.same(
          findings.map((finding) => finding.describe()),
          [],
        )
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  goesOn = false
  await Promise.all(writers)
  t.ok(looks >= 15)
})
