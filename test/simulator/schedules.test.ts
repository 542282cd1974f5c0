/**
 * Crash and partition schedules of a short run, enumerated: at each step of it one act, in turns, every fourth operation on
 * a disk, and some pairs. Each act at each step, each operation and more pairs: schedules.slow.test.ts.
 */
import t from 'tap'
import { expectSound, expectSoundOperations, pairsOf } from './expect-schedules.ts'
import { ACTS, findSteps, runSchedule } from './schedules.ts'

t.test('at each step of a short run a node ends, or a direction is cut', async (t) => {
  const steps = await findSteps()
  t.ok(steps.length > 120, `${steps.length} steps`)
  t.same(await findSteps(), steps, 'the same each time')
  const turns = steps.map((event, i) => [{ event, act: ACTS[(i + Math.floor(i / ACTS.length)) % ACTS.length]! }])
  t.ok((await expectSound(t, turns)) > 120)
  t.ok((await expectSound(t, pairsOf(steps, 31))) > 15)
})

t.test('a replica that cannot say which history is durable stops, and comes back as what its disk holds', async (t) => {
  const [name, steps] = ['127.0.1.2', await findSteps()]
  const after = async (event: number): Promise<string[]> => {
    const lines: string[] = []
    t.equal(await runSchedule([{ event, act: 'names of B' }], (line) => lines.push(line)), undefined)
    return lines.filter((line) => line.includes(`${name} is down`) || line.includes(`${name} has started, life`))
  }
  t.match(await after(1), [/is down: Cannot do syncDirectory/, /life 2/], 'in its start')
  const adopting = steps.find((event) => event > 20)!
  t.match(await after(adopting), [/life 1/, /is down: Cannot do syncDirectory/, /life 2/], 'as it adopts')
})

t.test('a node ends before an operation on its disk', async (t) => {
  t.ok((await expectSoundOperations(t, 4)) > 40)
})
