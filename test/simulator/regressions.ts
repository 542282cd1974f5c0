/**
 * Seeds that have failed once, kept in regressions.txt: one line each, added by `npm run sim` and run by `npm test`.
 *
 * Only what a run itself has found is kept; a process that died for want of memory or by a signal says nothing about its seed.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

/** In the sources, not in dist/: somebody has to commit it. */
export const REGRESSIONS = new URL('../../../test/simulator/regressions.txt', import.meta.url)

export interface Regression {
  readonly seed: number
  /** Undefined: as the seed draws them. */
  readonly ticks: number | undefined
  readonly commit: string
  readonly what: string
}

const LINE = /^(\d+) {2}(\d+|-) {2}(\S+) {2}(.+)$/

export function readRegressions(file: URL): Regression[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.flatMap((line) => {
    if (line === '' || line.startsWith('#')) return []
    const match = LINE.exec(line)
    if (match === null) throw new Error(`Cannot read ${file.pathname}: found the line "${line}"`)
    const [, seed, ticks, commit, what] = match as unknown as [string, string, string, string, string] // as many groups
    return [{ seed: Number(seed), ticks: ticks === '-' ? undefined : Number(ticks), commit, what }]
  })
}

/** @returns was it added? Not twice, and not by a copy of the program that has no sources. */
export function keepRegression(file: URL, found: Regression): boolean {
  if (!existsSync(file)) return false
  if (readRegressions(file).some(({ seed, ticks }) => seed === found.seed && ticks === found.ticks)) return false
  const what = found.what.split('\n')[0]?.trim() || 'no words'
  appendFileSync(file, `${found.seed}  ${found.ticks ?? '-'}  ${found.commit}  ${what}\n`)
  return true
}
