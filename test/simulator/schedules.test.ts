/**
 * Crash and partition schedules of a short run, enumerated: at each step of it one act, in turns, every fourth operation on
 * a disk, and some pairs. Each act at each step, each operation and more pairs: schedules.slow.test.ts.
 */
import t from 'tap'
import { expectSound, expectSoundOperations, pairsOf } from './expect-schedules.ts'
import { ACTS, findSteps } from './schedules.ts'

t.test('at each step of a short run a node ends, or a direction is cut', async (t) => {
  const steps = await findSteps()
  t.ok(steps.length > 120, `${steps.length} steps`)
  t.same(await findSteps(), steps, 'the same each time')
  const turns = steps.map((event, i) => [{ event, act: ACTS[(i + Math.floor(i / ACTS.length)) % ACTS.length]! }])
  t.ok((await expectSound(t, turns)) > 120)
  t.ok((await expectSound(t, pairsOf(steps, 31))) > 15)
})

t.test('a node ends before an operation on its disk', async (t) => {
  t.ok((await expectSoundOperations(t, 4)) > 40)
})
