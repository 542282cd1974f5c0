/** The bench of the catch-up as a user runs it: a short run with its report, and that nothing stays behind however it ends. */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import type { CatchUpReport } from '../../bench/catch-up-report.ts'
import { GIB, MIB } from '../../protocol/limits.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { processesIn, type Run, startBench, until, untilSaid } from './bench-run.ts'

const SHORT = ['--gib', '0.01', '--seconds', '0.4'] as const

const SCHED_OTHER = '0'
const SCHED_IDLE = '5'

const MAIN = new URL('../../bench/catch-up.js', import.meta.url)

const start = (t: Teardown, args: readonly string[]): Run => startBench(t, MAIN, args)

/** Linux's scheduling policies of all threads of the processes that work in a directory, each once. */
function policiesIn(directory: string): string[] {
  return [...new Set(processesIn(directory).flatMap(policiesOf))]
}

function policiesOf(pid: string): string[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((id) => readFileSync(`/proc/${pid}/task/${id}/stat`, 'latin1'))
    // proc(5): field 41; the second is a name in brackets, and what is behind it begins with the third
    return threads.map((stat) => stat.split(') ').at(-1)!.split(' ')[41 - 3]!)
  } catch {
    return [] // it has ended meanwhile, or one of its threads: asked again
  }
}

t.test('a short run', async (t) => {
  const [directory, replicaDirectory] = [temporaryDirectory(t), temporaryDirectory(t)]
  const beginMs = performance.now()
  const run = start(t, [...SHORT, '--json', '--replica-yields', '--dir', directory, '--replica-dir', replicaDirectory])
  const closed = once(run.child, 'close')
  await untilSaid(run, 'the replica is back')
  t.equal(processesIn(directory).length, 1, 'the master works in its place')
  await until(() => policiesIn(replicaDirectory).join() === SCHED_IDLE || run.child.exitCode !== null)
  t.equal(run.child.exitCode, null, 'and the replica in its own, all of its threads yielding')
  t.same(policiesIn(directory), [SCHED_OTHER], 'the master does not')
  const [code] = await closed
  const runSeconds = (performance.now() - beginMs) / 1000
  t.equal(code, 0, 'it works', { stderr: run.stderr })
  t.equal(run.stdout.trimEnd().split('\n').length, 1, 'with --json the text is on stderr')
  const { caughtUp, disks, away, during, level, ratio } = JSON.parse(run.stdout) as CatchUpReport // checked below

  const { bytes, seconds } = caughtUp
  // 32 sessions of 1,000 entries may begin before enough was sent; the writer goes on meanwhile
  const askedBytes = 0.01 * GIB
  t.ok(bytes >= askedBytes, `behind by what was asked for, and found ${bytes}`)
  t.ok(bytes < 2 * (askedBytes + 32 * 150_000), 'and by little more')
  t.equal(away.length, 2, 'writers without a replica, before and after')
  const others = [...away, level!]
  for (const { seconds: stretch, commits, p50Ms, p99Ms } of others) {
    t.ok(stretch >= 0.4, `watched for what was asked: ${stretch} s`)
    t.ok(commits > 0 && p50Ms > 0 && p99Ms >= p50Ms, `${commits} commits, p50 ${p50Ms} ms, p99 ${p99Ms} ms`)
  }
  const watchedSeconds = others.reduce((sum, { seconds: stretch }) => sum + stretch, 0)
  t.ok(seconds > 0 && seconds + watchedSeconds < runSeconds, 'times within that of the run')
  t.ok(during.seconds >= seconds, 'the writers are watched all the while')
  t.ok(
    [caughtUp.cpuSeconds.master, caughtUp.cpuSeconds.replica].every((used) => used !== null && used >= 0),
    'CPU of both nodes',
  )

  t.equal(disks.length, 2, 'before and after')
  const speed = bytes / seconds
  t.same(
    [...ratio.newFile, ...ratio.writtenAgain].map((share) => share.toFixed(6)),
    [
      speed / disks[0]!.newBytesPerSecond,
      speed / disks[1]!.newBytesPerSecond,
      speed / disks[0]!.overBytesPerSecond,
      speed / disks[1]!.overBytesPerSecond,
    ].map((share) => share.toFixed(6)),
  )
  for (const [other, { commits, p50 }] of [
    [away[0]!, ratio.toAway[0]!],
    [away[1]!, ratio.toAway[1]!],
    [level!, ratio.toLevel!],
  ] as const) {
    t.equal(commits.toFixed(6), ((during.commits / during.seconds) * (other.seconds / other.commits)).toFixed(6))
    t.equal(p50.toFixed(6), (during.p50Ms / other.p50Ms).toFixed(6))
  }
  const said = `catch-up +${(speed / 1e6).toFixed(0)} MB/s \\(${(bytes / MIB).toFixed(0)} MiB in ${seconds.toFixed(1)} s\\)`
  t.match(run.stderr, new RegExp(said), 'the text says the same')
  t.match(run.stderr, new RegExp(`during / level .*commits/s ${ratio.toLevel!.commits.toFixed(2)}\n`))
  const toAway = ratio.toAway.map(({ commits }) => commits.toFixed(2)).join(' to ')
  t.match(run.stderr, new RegExp(`during / away .*commits/s ${toAway}\n`))
  t.same([...readdirSync(directory), ...readdirSync(replicaDirectory)], [], 'the scratch directories are removed')
})

t.test('a short run of bare programs', async (t) => {
  const [directory, replicaDirectory] = [temporaryDirectory(t), temporaryDirectory(t)]
  const run = start(t, [...SHORT, '--bare', '--json', '--dir', directory, '--replica-dir', replicaDirectory])
  const [code] = await once(run.child, 'close')
  t.equal(code, 0, 'it works', { stderr: run.stderr })
  const { caughtUp, away, during, level, ratio } = JSON.parse(run.stdout) as CatchUpReport // checked below
  t.equal(caughtUp.bytes, Math.ceil(0.01 * GIB), 'what was asked for')
  t.ok(caughtUp.seconds > 0)
  t.ok(
    during.seconds >= caughtUp.seconds,
    'the writers are watched all the while, which may be less than a commit takes',
  )
  t.equal(away.length, 2)
  for (const { commits, p50Ms } of away) t.ok(commits > 0 && p50Ms > 0)
  t.equal(level, null, 'nothing is replicated live')
  t.same(
    ratio.toAway.map(({ p50 }) => p50.toFixed(6)),
    away.map(({ p50Ms }) => (during.p50Ms / p50Ms).toFixed(6)),
  )
  t.same([...readdirSync(directory), ...readdirSync(replicaDirectory)], [], 'the scratch directories are removed')
})

t.test('Ctrl-C while the writers are measured', async (t) => {
  const directory = temporaryDirectory(t)
  const run = start(t, [...SHORT, '--seconds', '100', '--dir', directory])
  await untilSaid(run, 'writers, the replica away')
  t.equal(processesIn(directory).length, 1, 'the master runs')
  run.child.kill('SIGINT')
  const [code] = await once(run.child, 'close')
  t.equal(code, 130)
  t.equal(run.stdout, '', 'no report')
  t.same(readdirSync(directory), [], 'the scratch directory is removed')
  await until(() => processesIn(directory).length === 0)
  t.pass('no process is left')
})

t.test('what it refuses', async (t) => {
  const directory = temporaryDirectory(t)
  const refused: [string[], RegExp][] = [
    [['--gib', '0'], /expected a number above 0/],
    [['--seconds', 'long'], /expected a number above 0/],
    [['--writers', '1.5'], /expected a whole number/],
    [['--dir', '/nowhere/at/all'], /Cannot measure in \/nowhere\/at\/all/],
    [['--gib', '1e9', '--dir', directory], /GiB free.*with --dir, or lower --gib/],
    [['--bare', '--profile', directory], /'--profile <dir>' cannot be used with option '--bare'/],
    [['--dir', directory, '--replica-dir', '/nowhere/at/all'], /Cannot measure in \/nowhere\/at\/all/],
  ]
  for (const [args, text] of refused) {
    const run = start(t, [...SHORT, ...args])
    const [code] = await once(run.child, 'close')
    t.equal(code, 1, args.join(' '))
    t.match(run.stderr, text)
    t.equal(run.stdout, '')
  }
  t.same(readdirSync(directory), [], 'what had been made is removed')
})
