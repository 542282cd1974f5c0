/**
 * Runs many seeds in a few processes. Each process takes the next seed when it is through with one; results are told in
 * the order in which they come. A process that dies (a signal, no memory) fails the seed that it was at, by name, and
 * another one goes on.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { drawConfiguration } from './configuration.ts'
import { Simulation } from './simulation.ts'

export interface SeedResult {
  readonly seed: number
  readonly failure: string | undefined
  /** It is the process that has failed: what the seed would have found nobody knows. */
  readonly hasDied?: boolean
  readonly ticks: number
  readonly sessions: number
  readonly answers: number
  readonly lives: number
  readonly faults: readonly (readonly [string, number])[]
}

export interface SeedsOptions {
  readonly from: number
  readonly count: number
  readonly ticks: number | undefined
  readonly jobs: number
  readonly stopsAtFailure: boolean
  /** What runs in each process; this file. */
  readonly worker?: URL
  readonly onResult: (result: SeedResult) => void
}

interface Order {
  readonly seed: number
  readonly ticks: number | undefined
}

export async function runSeed(seed: number, ticks?: number): Promise<SeedResult> {
  const outcome = await new Simulation(drawConfiguration(seed, ticks), () => undefined).run()
  const { failure, faults, ...rest } = outcome
  return { ...rest, seed, failure: failure?.message, faults: [...faults] }
}

export async function runSeeds(options: SeedsOptions): Promise<void> {
  const end = options.from + options.count
  let next = options.from
  let isStopped = false
  const isOver = (): boolean => isStopped || next >= end
  const take = (result: SeedResult): void => {
    options.onResult(result)
    if (result.failure !== undefined && options.stopsAtFailure) isStopped = true
  }
  const workInProcess = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const path = fileURLToPath(options.worker ?? import.meta.url)
      const child = fork(path, ['--as-worker'], { execArgv: ['--enable-source-maps'] })
      let seed: number | undefined
      const give = (): void => {
        seed = isOver() ? undefined : next++
        if (seed === undefined) child.disconnect()
        else child.send({ seed, ticks: options.ticks } satisfies Order)
      }
      child.on('message', (result) => {
        take(result as SeedResult) // from the code below
        give()
      })
      child.on('error', reject)
      child.on('exit', (code, signal) => {
        if (seed !== undefined) take(died(seed, `its process ended with ${signal ?? `exit code ${code}`}`))
        resolve()
      })
      give()
    })
  const work = async (): Promise<void> => {
    while (!isOver()) await workInProcess()
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(options.jobs, options.count)) }, work))
}

const died = (seed: number, failure: string): SeedResult => ({
  seed,
  failure,
  hasDied: true,
  ticks: 0,
  sessions: 0,
  answers: 0,
  lives: 0,
  faults: [],
})

if (process.argv[2] === '--as-worker' && process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('message', (order) => {
    const { seed, ticks } = order as Order // from the code above
    void runSeed(seed, ticks).then((result) => process.send?.(result))
  })
}
