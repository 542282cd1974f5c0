/**
 * `npm run sim`: one seed with everything that happens, or many with a summary. docs/TESTING.md explains how to read it.
 * Ends with 1 if a seed has failed.
 */
import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { Command, Option } from 'commander'
import { atLeastOne, wholeNumber } from '../whole-number.ts'
import { describeConfiguration, drawConfiguration } from './configuration.ts'
import { keepRegression, REGRESSIONS } from './regressions.ts'
import { runSeeds, type SeedResult } from './seed-runner.ts'
import { Simulation } from './simulation.ts'

interface CommandOptions {
  readonly seed?: number
  readonly seeds?: number
  readonly from: number
  readonly ticks?: number
  readonly jobs: number
  readonly stop: boolean
}

const command = new Command('npm run sim --')
  .description(
    'runs nodes and clients in one thread on a simulated disk, network and clock, with faults drawn from a seed',
  )
  .addOption(new Option('--seed <s>', 'one run, told in full').argParser(wholeNumber).conflicts('seeds'))
  .option('--seeds <n>', 'so many runs, with a summary', atLeastOne)
  .option('--from <seed>', 'the first of them', wholeNumber, 1)
  .option('--ticks <t>', 'simulated milliseconds with faults, instead of drawn ones', wholeNumber)
  .option('--jobs <j>', 'processes', atLeastOne, availableParallelism())
  .option('--stop', 'end at the first failure', false)
  .addHelpText('after', '\nExamples: npm run -s sim -- --seeds 1000\n          npm run -s sim -- --seed 8036')
  .parse()
const { seed, seeds, from, ticks, jobs, stop } = command.opts<CommandOptions>()

if (seed !== undefined) await showOne(seed)
else if (seeds !== undefined) await runMany(seeds)
else command.error('error: one of --seed and --seeds is needed', { exitCode: 2 })

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
    from,
    count,
    ticks,
    jobs,
    stopsAtFailure: stop,
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
