/** The bench as a user runs it: a quick run with its report, and that nothing stays behind however it ends. */
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import t from 'tap'
import type { Report } from '../../bench/report.ts'
import { makeScratch } from '../../bench/scratch.ts'
import { smallFileSystem, type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { processesIn, type Run, startBench, until, untilSaid } from './bench-run.ts'

const MAIN = new URL('../../bench/main.js', import.meta.url)

const start = (t: Teardown, args: readonly string[]): Run => startBench(t, MAIN, args)

t.test('a quick run', async (t) => {
  const directory = temporaryDirectory(t)
  const run = start(t, ['--quick', '--json', '--dir', directory])
  const [code] = await once(run.child, 'close')
  t.equal(code, 0, 'it works', { stderr: run.stderr })
  const report = JSON.parse(run.stdout.trimEnd().split('\n').at(-1) ?? '') as Report // checked on the next lines
  t.same(
    report.workloads.map(({ name, channels }) => [name, channels]),
    [
      ['one', 1],
      ['many', 1],
      ['bulk', 1],
    ],
  )
  for (const { name, floor, travertine, ratio } of report.workloads) {
    for (const figures of [floor, travertine]) {
      t.ok(figures.p50Ms > 0 && figures.p99Ms >= figures.p50Ms, `${name}: latencies`)
      t.ok(figures.commitsPerSecond > 0 && figures.megabytesPerSecond > 0, `${name}: rates`)
      t.ok(
        Object.values(figures.peakMemoryBytes).every((bytes) => (bytes ?? 0) > 10_000_000),
        `${name}: memory of each process`,
      )
    }
    t.ok([ratio.p50, ratio.commits, ratio.entries].every(Number.isFinite), `${name}: ratios`)
  }
  t.match(run.stderr, /bulk: entries .* wanted at least 0\.7/, 'with --json the table is on stderr')
  t.same(readdirSync(directory), [], 'the scratch directory is removed')
})

t.test('Ctrl-C in the middle of a round', async (t) => {
  const directory = temporaryDirectory(t)
  const run = start(t, ['--quick', '--dir', directory])
  await untilSaid(run, 'round 1 of 1: travertine')
  t.ok(processesIn(directory).length >= 4, 'two systems run')
  run.child.kill('SIGINT')
  const [code] = await once(run.child, 'close')
  t.equal(code, 130)
  t.same(readdirSync(directory), [], 'the scratch directory is removed')
  await until(() => processesIn(directory).length === 0)
  t.pass('no process is left')
})

t.test('the processes end with a bench that was killed', async (t) => {
  const directory = temporaryDirectory(t)
  const run = start(t, ['--quick', '--dir', directory])
  await untilSaid(run, 'round 1 of 1: floor')
  run.child.kill('SIGKILL')
  await until(() => processesIn(directory).length === 0)
  t.pass('no process is left')
})

t.test('what it refuses', async (t) => {
  const refused: [string[], RegExp][] = [
    [['--channels', '0'], /expected numbers from 1 to 64/],
    [['--only', 'one,two'], /"two" is none of one, many, bulk/],
    [['--rounds', '1.5'], /expected a whole number/],
    [['--seconds', '-1'], /expected a number above 0/],
    [['--dir', '/nowhere/at/all'], /Cannot measure in \/nowhere\/at\/all/],
  ]
  for (const [args, text] of refused) {
    const run = start(t, args)
    const [code] = await once(run.child, 'close')
    t.equal(code, 1, args.join(' '))
    t.match(run.stderr, text)
    t.equal(run.stdout, '')
  }
})

t.test('a place that is too small, or no disk', async (t) => {
  const { directory, reason } = smallFileSystem(t, 4 << 20)
  if (reason !== '') {
    t.pass('no small file system', { skip: reason })
    return
  }
  t.throws(() => makeScratch(directory, 1 << 30), /found 0\.0 GiB free, expected 1\.0; name another place with --dir/)
  const scratch = makeScratch(directory, 1 << 20)
  t.match(scratch.warnings, [/file system in memory/])
  scratch.remove()
  t.same(readdirSync(directory), [])
})
