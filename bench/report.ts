/**
 * From rounds to a report: medians of each figure, ratios taken pair by pair (their median, not the ratio of medians), a
 * table for people, a verdict per target, and the JSON object.
 */
import { MIB } from '../protocol/limits.ts'
import { coloursOf } from '../tools/output.ts'
import type { Block, Pair, PerRole, Role, RoundFigures } from './rounds.ts'
import { ROLES } from './rounds.ts'
import type { RatioName } from './workloads.ts'

const colours = coloursOf(process.stdout)

export type Ratio = Readonly<Record<RatioName, number>>

export interface WorkloadReport {
  readonly name: string
  readonly channels: number
  readonly floor: RoundFigures
  readonly travertine: RoundFigures
  readonly ratio: Ratio
}

export interface Report {
  readonly workloads: readonly WorkloadReport[]
}

export function summarise(blocks: readonly Block[]): Report {
  return {
    workloads: blocks.map(({ workload, channels, pairs }) => ({
      name: workload.name,
      channels,
      floor: medianFigures(pairs.map((pair) => pair.floor)),
      travertine: medianFigures(pairs.map((pair) => pair.candidate)),
      ratio: {
        p50: rounded(median(pairs.map((pair) => ratioOf(pair, 'p50'))), 3),
        commits: rounded(median(pairs.map((pair) => ratioOf(pair, 'commits'))), 3),
        entries: rounded(median(pairs.map((pair) => ratioOf(pair, 'entries'))), 3),
      },
    })),
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

function ratioOf({ floor, candidate }: Pair, name: RatioName): number {
  if (name === 'p50') return candidate.p50Ms / floor.p50Ms
  if (name === 'commits') return candidate.commitsPerSecond / floor.commitsPerSecond
  return candidate.entriesPerSecond / floor.entriesPerSecond
}

function medianFigures(rounds: readonly RoundFigures[]): RoundFigures {
  const of = (figure: (round: RoundFigures) => number, digits: number): number =>
    rounded(median(rounds.map(figure)), digits)
  return {
    p50Ms: of((round) => round.p50Ms, 4),
    p99Ms: of((round) => round.p99Ms, 4),
    commitsPerSecond: of((round) => round.commitsPerSecond, 0),
    entriesPerSecond: of((round) => round.entriesPerSecond, 0),
    megabytesPerSecond: of((round) => round.megabytesPerSecond, 4),
    cpuMicrosecondsPerEntry: perRole((role) => {
      const known = present(rounds.map((round) => round.cpuMicrosecondsPerEntry[role]))
      return known.length === 0 ? null : rounded(median(known), 3)
    }),
    // a peak is a peak: the largest of all rounds
    peakMemoryBytes: perRole((role) => {
      const known = present(rounds.map((round) => round.peakMemoryBytes[role]))
      return known.length === 0 ? null : Math.max(...known)
    }),
  }
}

const COLUMNS = [
  'workload',
  'ch',
  'system',
  'p50 ms',
  'p99 ms',
  'commits/s',
  'entries/s',
  'MB/s',
  'CPU us/entry c+m+r',
  'peak MiB c/m/r',
]

/** @param names what the rows of the two systems are called */
export function renderTable(report: Report, names: { readonly base: string; readonly candidate: string }): string {
  const rows = [COLUMNS]
  for (const { name, channels, floor, travertine, ratio } of report.workloads) {
    rows.push([name, String(channels), names.base, ...cells(floor)], ['', '', names.candidate, ...cells(travertine)])
    rows.push([
      '',
      '',
      'ratio',
      ratio.p50.toFixed(2),
      '',
      ratio.commits.toFixed(2),
      ratio.entries.toFixed(2),
      '',
      '',
      '',
    ])
  }
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 || column === 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return rows.map((row, index) => (index === 0 ? colours.bold(line(row)) : line(row))).join('\n')
}

function cells(figures: RoundFigures): string[] {
  return [
    figures.p50Ms.toFixed(3),
    figures.p99Ms.toFixed(3),
    thousands(figures.commitsPerSecond),
    thousands(figures.entriesPerSecond),
    figures.megabytesPerSecond.toFixed(1),
    rolesText(figures.cpuMicrosecondsPerEntry, '+', (value) => value.toFixed(value < 10 ? 2 : 0)),
    rolesText(figures.peakMemoryBytes, '/', (value) => (value / MIB).toFixed(0)),
  ]
}

/** One line per target of DESIGN 11; they are set for one channel. */
export function renderVerdicts(blocks: readonly Block[], report: Report): string[] {
  return blocks.flatMap(({ workload: { name, target }, channels, pairs }, index) => {
    const reached = report.workloads[index]?.ratio[target.ratio]
    if (channels !== 1 || reached === undefined) return []
    const good = reached <= (target.atMost ?? Number.POSITIVE_INFINITY) && reached >= (target.atLeast ?? 0)
    const wanted = target.atMost === undefined ? `at least ${target.atLeast}` : `at most ${target.atMost}`
    const single = pairs.map((pair) => ratioOf(pair, target.ratio).toFixed(2)).join(' ')
    const verdict = good ? colours.green('reached') : colours.red('MISSED ')
    return `${verdict}  ${name}: ${target.ratio} ${reached.toFixed(2)} x floor, wanted ${wanted} (pairs: ${single})`
  })
}

function perRole(figure: (role: Role) => number | null): PerRole {
  return { client: figure('client'), master: figure('master'), replica: figure('replica') }
}

function rolesText(figures: PerRole, separator: string, text: (value: number) => string): string {
  return ROLES.map((role) => (figures[role] === null ? '?' : text(figures[role]))).join(separator)
}

const present = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null)
const rounded = (value: number, digits: number): number => Number(value.toFixed(digits))
const thousands = (value: number): string => Math.round(value).toLocaleString('en-US')
