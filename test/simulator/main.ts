/**
 * `npm run sim`: one seed with everything that happens, or many with a summary. docs/TESTING.md explains how to read it.
 *
 *   --seed S        one run, told in full            --ticks T   simulated milliseconds with faults, instead of drawn ones
 *   --seeds N       N runs, from --from F (1) on     --jobs J    processes; as many as there are processors
 *   --stop          end at the first failure
 */
import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { describeConfiguration, drawConfiguration } from './configuration.ts'
import { keepRegression, REGRESSIONS } from './regressions.ts'
import { runSeeds, type SeedResult } from './seed-runner.ts'
import { Simulation } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    ticks: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    stop: { type: 'boolean', default: false },
  },
})

const wholeNumber = (name: string, text: string): number => {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number >= 0) return number
  console.error(`Cannot simulate: found --${name} ${text}, expected a whole number`)
  process.exit(2)
}

const ticks = values.ticks === undefined ? undefined : wholeNumber('ticks', values.ticks)

if (values.seed !== undefined) await showOne(wholeNumber('seed', values.seed))
else if (values.seeds !== undefined) await runMany(wholeNumber('seeds', values.seeds))
else {
  console.error('Usage: npm run sim -- --seed S | --seeds N [--from F] [--ticks T] [--jobs J] [--stop]')
  process.exit(2)
}

async function showOne(seed: number): Promise<void> {
  const configuration = drawConfiguration(seed, ticks)
  console.log(describeConfiguration(configuration))
  const outcome = await new Simulation(configuration, (text) => console.log(text)).run()
  if (outcome.failure === undefined) {
    console.log(`passed: ${outcome.sessions} sessions, ${outcome.answers} answers, ${outcome.lives} lives of nodes`)
    return
  }
  console.log(`FAILED: ${outcome.failure.stack ?? outcome.failure.message}`)
  process.exitCode = 1
}

async function runMany(count: number): Promise<void> {
  const begin = performance.now()
  const faults = new Map<string, number>()
  let sum = { seeds: 0, ticks: 0, sessions: 0, answers: 0, lives: 0, failures: 0 }
  await runSeeds({
    from: wholeNumber('from', values.from),
    count,
    ticks,
    jobs: wholeNumber('jobs', values.jobs),
    stopsAtFailure: values.stop,
    onResult: (result) => {
      for (const [kind, times] of result.faults) faults.set(kind, (faults.get(kind) ?? 0) + times)
      sum = {
        seeds: sum.seeds + 1,
        ticks: sum.ticks + result.ticks,
        sessions: sum.sessions + result.sessions,
        answers: sum.answers + result.answers,
        lives: sum.lives + result.lives,
        failures: sum.failures + (result.failure === undefined ? 0 : 1),
      }
      if (result.failure !== undefined) tellFailure(result, result.failure)
    },
  })
  const seconds = (performance.now() - begin) / 1000
  console.log(
    `${sum.seeds} seeds, ${sum.failures} failed; ${sum.sessions} sessions, ${sum.answers} answers, ${sum.lives} lives of nodes`,
  )
  console.log(
    `${(sum.seeds / seconds).toFixed(1)} seeds/s, ${Math.round(sum.ticks / seconds)} ticks/s (simulated ms), ${seconds.toFixed(1)} s`,
  )
  const kinds = [...faults].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, times]) => `${kind} ${times}`)
  console.log(`faults: ${kinds.length === 0 ? 'none' : kinds.join(', ')}`)
  process.exitCode = sum.failures > 0 ? 1 : 0
}

function tellFailure({ seed, hasDied }: SeedResult, failure: string): void {
  const length = ticks === undefined ? '' : ` --ticks ${ticks}`
  console.log(`FAILED: seed ${seed} at commit ${commit()}: ${failure.split('\n')[0]}`)
  console.log(`  repeat it: npm run sim -- --seed ${seed}${length}`)
  if (hasDied !== true && keepRegression(REGRESSIONS, { seed, ticks, commit: commit(), what: failure }))
    console.log('  kept in test/simulator/regressions.txt: npm test runs it from now on')
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return 'unknown'
  }
}
