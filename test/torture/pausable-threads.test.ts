/** What makes one channel thread of a real node stand still: that one, at the place that was named, and no other. */
import { join } from 'node:path'
import t from 'tap'
import { connect, type Receipt } from '../../client/client.ts'
import { initNode } from '../../daemon/node.ts'
import { until } from '../daemon/raw-client.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { freePorts } from '../tools/travertine.ts'
import type { PausePlace } from './pausable-threads.ts'
import { TortureNode } from './torture-node.ts'

const HOST = '127.0.0.1'
const PAUSE_MS = 1_000
const CHANNELS = 3
const ANSWERS_ENOUGH = 20
const PAUSES_MAX = 10

t.test('one channel thread stands still, the others go on', async (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'node')
  initNode({ directory, role: 'master', channels: CHANNELS })
  const events: string[] = []
  const port = await freePorts(1 + CHANNELS)
  const logFile = join(root, 'log')
  const node = new TortureNode({ name: 'node', directory, host: HOST, port, logFile, onEvent: (e) => events.push(e) })
  t.teardown(() => node.kill())
  node.start()
  await until('it listens', () => node.isReady)
  const client = await connect({ address: `${HOST}:${port}` })
  t.teardown(() => client.close({ signal: AbortSignal.abort() }))
  const channels = await Promise.all(Array.from({ length: CHANNELS }, (_, channel) => client.openChannel({ channel })))
  const write = (channel: number): Receipt => {
    const session = channels[channel]!.beginSession({ deadlineMs: 30_000 })
    session.put(1n, Buffer.from('key'), Buffer.from('value'))
    const receipt = session.end()
    receipt.propagated.catch(() => undefined) // the node is killed
    return receipt
  }
  const pause = (channel: number, place: PausePlace, ms: number): void => node.pauseThread({ channel, place, ms })

  for (const place of ['between turns', 'before fdatasync', 'behind fdatasync'] as const) {
    const pauses = node.threadPauses
    pause(0, place, 10)
    await until(`it has stood still ${place}`, () => {
      write(0).stored.catch(() => undefined) // the node is killed
      return node.threadPauses > pauses
    })
    t.match(events.at(-1), `channel 0 has stood still for 10 ms, ${place}`)
  }
  await write(0).stored

  // a pause may also come while channel 1 has a part in an open epoch: then the others wait for it, and another one is needed
  let most = 0
  for (let attempt = 0; most <= ANSWERS_ENOUGH && attempt < PAUSES_MAX; attempt++) {
    const pauses = node.threadPauses
    let answersElsewhere = 0
    let isWaiting = false
    pause(1, 'between turns', PAUSE_MS)
    while (node.threadPauses === pauses) {
      if (!isWaiting) {
        isWaiting = true
        answersElsewhere = 0
        write(1).stored.then(
          () => {
            isWaiting = false
          },
          () => undefined, // the node is killed
        )
      }
      await write(0).stored
      await write(2).stored
      answersElsewhere += 2
      most = Math.max(most, answersElsewhere)
    }
  }
  t.ok(most > ANSWERS_ENOUGH, `while one session of channel 1 waited, ${most} of others were answered`)
})
