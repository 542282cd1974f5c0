/**
 * Fixed seeds of the simulator: a sample, the seeds that have found something once, and that a seed is a run.
 * Many more: `npm run sim -- --seeds 10000`.
 */
import t from 'tap'
import { drawConfiguration, FAULT_KINDS } from './configuration.ts'
import { REGRESSIONS, readRegressions } from './regressions.ts'
import { runSeed } from './seed-runner.ts'
import { Simulation } from './simulation.ts'

const SAMPLE = Array.from({ length: 40 }, (_, i) => i + 1)

t.test('a sample of seeds', async (t) => {
  const injected = new Set<string>()
  let answers = 0
  for (const seed of SAMPLE) {
    const result = await runSeed(seed)
    t.equal(result.failure, undefined, `seed ${seed}: npm run sim -- --seed ${seed}`)
    for (const [kind] of result.faults) injected.add(kind)
    answers += result.answers
  }
  t.ok(answers > 1_000, `${answers} answers were checked`)
  t.same(
    FAULT_KINDS.filter((kind) => !injected.has(kind)),
    [],
    'every kind of fault was among them',
  )
})

const KEPT = readRegressions(REGRESSIONS)
const NONE = KEPT.length === 0 && 'none since seeds were drawn anew'

t.test('seeds that have found something', { skip: NONE }, async (t) => {
  for (const { seed, ticks, commit, what } of KEPT)
    t.equal((await runSeed(seed, ticks)).failure, undefined, `seed ${seed}, found at commit ${commit}: ${what}`)
})

t.test('a seed is a run', async (t) => {
  const trace = async (): Promise<string[]> => {
    const lines: string[] = []
    const outcome = await new Simulation(drawConfiguration(12), (text) => lines.push(text)).run()
    return [...lines, `${outcome.events} events`]
  }
  const first = await trace()
  t.ok(first.length > 5, `${first.length} lines`)
  t.same(await trace(), first, 'to the last event')
})
