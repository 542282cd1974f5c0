/**
 * Runs many seeds in a few processes. Each process takes the next seed when it is through with one; results are told in
 * the order in which they come.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { drawConfiguration } from './configuration.ts'
import { Simulation } from './simulation.ts'

export interface SeedResult {
  readonly seed: number
  readonly failure: string | undefined
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
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(fileURLToPath(import.meta.url), ['--as-worker'], { execArgv: ['--enable-source-maps'] })
      const give = (): void => {
        if (isStopped || next >= end) child.disconnect()
        else child.send({ seed: next++, ticks: options.ticks } satisfies Order)
      }
      child.on('message', (result) => {
        const { failure } = result as SeedResult // from the code below
        options.onResult(result as SeedResult) // the same
        if (failure !== undefined && options.stopsAtFailure) isStopped = true
        give()
      })
      child.on('error', reject)
      child.on('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`a process that simulates ended with ${code}`)),
      )
      give()
    })
  await Promise.all(Array.from({ length: Math.max(1, Math.min(options.jobs, options.count)) }, work))
}

if (process.argv[2] === '--as-worker') {
  process.on('message', (order) => {
    const { seed, ticks } = order as Order // from the code above
    void runSeed(seed, ticks).then((result) => process.send?.(result))
  })
}
