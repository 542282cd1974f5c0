/** Medians, ratios pair by pair, order of the JSON, verdicts. */
import t from 'tap'
import { median, renderTable, renderVerdicts, summarise } from '../../bench/report.ts'
import type { Block, Pair, RoundFigures } from '../../bench/rounds.ts'
import { WORKLOADS, type Workload, type WorkloadName } from '../../bench/workloads.ts'

const figures = (speed: number): RoundFigures => ({
  p50Ms: 1 / speed,
  p99Ms: 2 / speed,
  commitsPerSecond: 1000 * speed,
  entriesPerSecond: 5000 * speed,
  megabytesPerSecond: speed,
  cpuMicrosecondsPerEntry: { client: 1, master: speed, replica: null },
  peakMemoryBytes: { client: 100 * speed, master: 200, replica: 300 },
})

const pair = (floor: number, candidate: number): Pair => ({ floor: figures(floor), candidate: figures(candidate) })

function block(name: WorkloadName, channels: number, pairs: readonly Pair[]): Block {
  const workload = WORKLOADS.find((candidate) => candidate.name === name) as Workload // the type knows its names
  return { workload, channels, pairs }
}

t.test('median', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(median([7]), 7)
})

t.test('ratios are taken pair by pair', async (t) => {
  // the machine gets ten times slower after the first pair: the ratio of medians would say 0.55
  const { workloads } = summarise([block('many', 1, [pair(10, 5), pair(1, 0.8), pair(1, 0.9)])])
  t.match(workloads[0], {
    name: 'many',
    channels: 1,
    floor: { commitsPerSecond: 1000, cpuMicrosecondsPerEntry: { replica: null }, peakMemoryBytes: { client: 1000 } },
    travertine: { commitsPerSecond: 900 },
    ratio: { p50: 1.25, commits: 0.8, entries: 0.8 },
  })
})

t.test('the JSON has the workloads in the order of the blocks', async (t) => {
  const blocks = [1, 2].flatMap((channels) => WORKLOADS.map(({ name }) => block(name, channels, [pair(1, 1)])))
  const report = JSON.parse(JSON.stringify(summarise(blocks)))
  t.same(
    report.workloads.map(({ name, channels }: { name: string; channels: number }) => `${name} ${channels}`),
    ['one 1', 'many 1', 'bulk 1', 'one 2', 'many 2', 'bulk 2'],
  )
})

t.test('verdicts', async (t) => {
  const verdict = (name: WorkloadName, candidateSpeed: number): string => {
    const blocks = [block(name, 1, [pair(1, candidateSpeed)])]
    return renderVerdicts(blocks, summarise(blocks)).join()
  }
  t.match(verdict('one', 1 / 1.2), /reached .*one: p50 1\.20 x floor, wanted at most 1\.2 /)
  t.match(verdict('one', 1 / 1.21), /MISSED .*one: p50 1\.21/)
  t.match(verdict('many', 0.75), /reached .*many: commits 0\.75 x floor, wanted at least 0\.75/)
  t.match(verdict('many', 0.74), /MISSED /)
  t.match(verdict('bulk', 0.7), /reached .*bulk: entries 0\.70 x floor, wanted at least 0\.7/)
  t.match(verdict('bulk', 0.69), /MISSED /)
  const two = [block('one', 2, [pair(1, 1)])]
  t.same(renderVerdicts(two, summarise(two)), [], 'targets are set for one channel')
})

t.test('the table names what it measured, and leaves out what is unknown', async (t) => {
  const table = renderTable(summarise([block('bulk', 4, [pair(1, 0.5)])]), { base: 'floor', candidate: 'travertine' })
  t.match(table, /bulk +4 +floor +1\.000/)
  t.match(table, /travertine +2\.000 .* 1\.00\+0\.50\+\?/)
  t.match(table, /ratio +2\.00 +0\.50 +0\.50/)
})
