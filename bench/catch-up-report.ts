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
  /** While no replica is there. */
  readonly away: WriterFigures
  readonly during: WriterFigures
  /** When it has caught up: each flush is streamed, too. */
  readonly level: WriterFigures
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
    readonly toLevel: WriterRatio
    readonly toAway: WriterRatio
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
    toLevel: to(level),
    toAway: to(away),
  }
  return { ...figures, ratio }
}

export function renderReport({ disks, caughtUp, away, during, level, ratio }: CatchUpReport): string {
  const shares = (of: readonly number[]): string => of.map((share) => share.toFixed(2)).join(' to ')
  const row = (name: string, { p50Ms, p99Ms, ...rest }: WriterFigures): string =>
    `writers ${name.padEnd(8)} ${rateOf(rest).toFixed(0).padStart(7)} commits/s   STORED p50 ${p50Ms.toFixed(3)} ms   p99 ${p99Ms.toFixed(3)} ms`
  return [
    ...disks.map(
      ({ newBytesPerSecond, overBytesPerSecond }, index) =>
        `disk ${index === 0 ? 'before  ' : 'after   '} new file ${megabytes(newBytesPerSecond)}, written again ${megabytes(overBytesPerSecond)}`,
    ),
    `catch-up            ${megabytes(caughtUp.bytes / caughtUp.seconds)} (${(caughtUp.bytes / MIB).toFixed(0)} MiB in ${caughtUp.seconds.toFixed(1)} s): ${shares(ratio.newFile)} of a new file, ${shares(ratio.writtenAgain)} of one written again; wanted at least 0.5`,
    `CPU                 master ${perGib(caughtUp.cpuSeconds.master, caughtUp)}, replica ${perGib(caughtUp.cpuSeconds.replica, caughtUp)} per GiB, all that they do meanwhile included`,
    row('away', away),
    row('during', during),
    row('level', level),
    ratioLine('level', ratio.toLevel),
    ratioLine('away', ratio.toAway),
  ].join('\n')
}

function ratioLine(name: string, { p50, commits }: WriterRatio): string {
  return `during / ${name.padEnd(11)}p50 ${p50.toFixed(2)}, commits/s ${commits.toFixed(2)}`
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
