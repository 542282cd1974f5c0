/** What `npm run bench:catch-up` says: the figures of one run, and what is made of them, for people and for programs. */
import { GIB, MIB } from '../protocol/limits.ts'
import type { WriterFigures } from './catch-up-writer.ts'
import type { DiskSpeed } from './disk-speed.ts'

export interface CaughtUp {
  readonly bytes: number
  readonly seconds: number
  /** Of each process, meanwhile; null where there is no /proc. */
  readonly cpuSeconds: { readonly master: number | null; readonly replica: number | null }
}

export interface CatchUpFigures {
  /** Of the replica's place, before and after all else. */
  readonly disks: readonly DiskSpeed[]
  readonly caughtUp: CaughtUp
  /** While no replica is there, before and after all else: what a machine does alone drifts, too. */
  readonly away: readonly WriterFigures[]
  readonly during: WriterFigures
  /** When it has caught up: each flush is streamed, too. null: nothing is replicated live. */
  readonly level: WriterFigures | null
}

/** Figures of the writers while the replica catches up, to those at another time. */
export interface WriterRatio {
  readonly p50: number
  readonly commits: number
}

export interface CatchUpReport extends CatchUpFigures {
  readonly ratio: {
    /** Speed of the catch-up to that of the disk, for each time that it was measured. */
    readonly newFile: readonly number[]
    readonly writtenAgain: readonly number[]
    readonly toLevel: WriterRatio | null
    /** For each time that they were measured. */
    readonly toAway: readonly WriterRatio[]
  }
}

export function summarise(figures: CatchUpFigures): CatchUpReport {
  const { disks, caughtUp, away, during, level } = figures
  const speed = caughtUp.bytes / caughtUp.seconds
  const to = (other: WriterFigures): WriterRatio => ({
    p50: during.p50Ms / other.p50Ms,
    commits: rateOf(during) / rateOf(other),
  })
  const ratio = {
    newFile: disks.map(({ newBytesPerSecond }) => speed / newBytesPerSecond),
    writtenAgain: disks.map(({ overBytesPerSecond }) => speed / overBytesPerSecond),
    toLevel: level && to(level),
    toAway: away.map(to),
  }
  return { ...figures, ratio }
}

export function renderReport({ disks, caughtUp, away, during, level, ratio }: CatchUpReport): string {
  const row = (name: string, { p50Ms, p99Ms, ...rest }: WriterFigures): string =>
    `writers ${name.padEnd(10)} ${rateOf(rest).toFixed(0).padStart(7)} commits/s   STORED p50 ${p50Ms.toFixed(3)} ms   p99 ${p99Ms.toFixed(3)} ms`
  return [
    ...disks.map(
      ({ newBytesPerSecond, overBytesPerSecond }, index) =>
        `disk ${index === 0 ? 'before  ' : 'after   '} new file ${megabytes(newBytesPerSecond)}, written again ${megabytes(overBytesPerSecond)}`,
    ),
    `catch-up            ${megabytes(caughtUp.bytes / caughtUp.seconds)} (${(caughtUp.bytes / MIB).toFixed(0)} MiB in ${caughtUp.seconds.toFixed(1)} s): ${shares(ratio.newFile)} of a new file, ${shares(ratio.writtenAgain)} of one written again; wanted at least 0.5`,
    `CPU                 master ${perGib(caughtUp.cpuSeconds.master, caughtUp)}, replica ${perGib(caughtUp.cpuSeconds.replica, caughtUp)} per GiB, all that they do meanwhile included`,
    ...away.slice(0, 1).map((figures) => row('away', figures)),
    row('during', during),
    ...(level === null ? [] : [row('level', level)]),
    ...away.slice(1).map((figures) => row('away again', figures)),
    ...(ratio.toLevel === null ? [] : [ratioLine('level', [ratio.toLevel])]),
    ratioLine('away', ratio.toAway),
  ].join('\n')
}

function ratioLine(name: string, ratios: readonly WriterRatio[]): string {
  const of = (figure: keyof WriterRatio): string => shares(ratios.map((ratio) => ratio[figure]))
  return `during / ${name.padEnd(11)}p50 ${of('p50')}, commits/s ${of('commits')}`
}

function shares(of: readonly number[]): string {
  return of.map((share) => share.toFixed(2)).join(' to ')
}

function rateOf({ commits, seconds }: Pick<WriterFigures, 'commits' | 'seconds'>): number {
  return commits / seconds
}

function megabytes(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(0)} MB/s`
}

function perGib(seconds: number | null, { bytes }: CaughtUp): string {
  return seconds === null ? 'unknown' : `${((seconds * GIB) / bytes).toFixed(2)} s`
}
