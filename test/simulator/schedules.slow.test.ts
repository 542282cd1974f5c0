/** Crash and partition schedules of a short run: each act at each step, each operation on a disk, and many pairs. */
import t from 'tap'
import { expectSound, expectSoundOperations, pairsOf } from './expect-schedules.ts'
import { ACTS, findSteps } from './schedules.ts'

t.test('each act at each step of a short run', async (t) => {
  const steps = await findSteps()
  const all = steps.flatMap((event) => ACTS.map((act) => [{ event, act }]))
  t.ok((await expectSound(t, all)) > 700)
})

t.test('pairs of acts', async (t) => {
  t.ok((await expectSound(t, pairsOf(await findSteps(), 5))) > 500)
})

t.test('a node ends before each operation on its disk', async (t) => {
  t.ok((await expectSoundOperations(t, 1)) > 200)
})
