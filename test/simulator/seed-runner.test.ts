/** Seeds that fail are told and kept; a process that dies is told with its seed, and the others go on. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { keepRegression, readRegressions } from './regressions.ts'
import { runSeeds, type SeedResult } from './seed-runner.ts'

/** Seeds that are multiples of 5 find something, and seed 3 and 9 take their process with them. */
const WORKER = `
process.on('message', ({ seed }) => {
  if (seed === 3) process.kill(process.pid, 'SIGKILL')
  else if (seed === 9) process.exit(134)
  else process.send({ seed, failure: seed % 5 === 0 ? 'stored: session 7 is gone' : undefined })
})`

async function run(t: Test, stopsAtFailure: boolean): Promise<SeedResult[]> {
  const worker = pathToFileURL(join(temporaryDirectory(t), 'worker.mjs'))
  writeFileSync(worker, WORKER)
  const results: SeedResult[] = []
  const onResult = (result: SeedResult): unknown => results.push(result)
  await runSeeds({ from: 1, count: 12, ticks: undefined, jobs: 2, stopsAtFailure, worker, onResult })
  return results.sort((a, b) => a.seed - b.seed)
}

type Test = Pick<typeof t, 'teardown'>

t.test('a process that dies costs its own seed only, and is told with it', async (t) => {
  const results = await run(t, false)
  t.same(
    results.map(({ seed }) => seed),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  )
  t.same(
    results.flatMap(({ seed, failure }) => (failure === undefined ? [] : [`${seed} ${failure}`])),
    [
      '3 its process ended with SIGKILL',
      '5 stored: session 7 is gone',
      '9 its process ended with exit code 134',
      '10 stored: session 7 is gone',
    ],
  )
  t.same(
    results.flatMap(({ seed, hasDied }) => (hasDied === true ? [seed] : [])),
    [3, 9],
  )
})

t.test('the first failure ends it, where that is wanted', async (t) => {
  const results = await run(t, true)
  t.ok(results.length < 6, `${results.length} results`)
})

t.test('a seed that fails is kept, once, and read back', (t) => {
  const file = pathToFileURL(join(temporaryDirectory(t), 'regressions.txt'))
  const found = { seed: 12, ticks: undefined, commit: '0a1b2c3', what: 'stored: session 7 is gone' }
  t.notOk(keepRegression(file, found), 'a copy without sources keeps nothing')
  writeFileSync(file, '# what this is\n')
  t.ok(keepRegression(file, { ...found, what: `${found.what}\n    at some place` }))
  t.notOk(keepRegression(file, { ...found, what: 'something else' }), 'it is there')
  t.ok(keepRegression(file, { ...found, ticks: 500 }), 'another length is another run')
  t.same(readRegressions(file), [found, { ...found, ticks: 500 }])
  t.equal(readFileSync(file, 'utf8').split('\n')[0], '# what this is')
  writeFileSync(file, 'seed 12\n')
  t.throws(() => readRegressions(file), /found the line "seed 12"/)
  t.end()
})
