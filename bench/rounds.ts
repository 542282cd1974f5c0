/**
 * Runs rounds: one round is one load generator against one running system. Floor and Travertine run side by side, one of
 * them idle, and are measured in turn (A B, B A, A B), because the machine's speed drifts: a ratio is only taken between
 * two neighbouring rounds. Each workload begins with pairs that do not count: a daemon is measured as it runs for the
 * rest of its life, compiled, and not as it was in its first second.
 */
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { FRAME_HEADER_BYTES } from '../protocol/frame.ts'
import { SEAL_BODY_BYTES } from '../protocol/seal.ts'
import { endChild, startChild } from './child-process.ts'
import type { LoadMessage, LoadOrder } from './load-generator.ts'
import type { LoadBounds, LoadResult } from './meter.ts'
import { cpuSeconds, peakMemoryBytes } from './process-usage.ts'
import { type RunningSystem, type SystemName, startSystem } from './systems.ts'
import { sessionBytes, WORKLOADS, type Workload } from './workloads.ts'

export type Role = 'client' | 'master' | 'replica'
export const ROLES: readonly Role[] = ['client', 'master', 'replica']
export type PerRole = Readonly<Record<Role, number | null>>

export interface RoundFigures {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly commitsPerSecond: number
  readonly entriesPerSecond: number
  /** Of frames, in millions of bytes: what the client sends, and what each disk has to take. */
  readonly megabytesPerSecond: number
  /** Of replicas: of all together. */
  readonly cpuMicrosecondsPerEntry: PerRole
  /** Of a node: up to the end of the round, over all workloads since it was started. Of replicas: the largest. */
  readonly peakMemoryBytes: PerRole
}

/** One round of each system, neighbours in time. */
export interface Pair {
  readonly floor: RoundFigures
  readonly candidate: RoundFigures
}

export interface RunOptions {
  /** What is compared with it; the same shows how much of a difference is noise. */
  readonly candidate: SystemName
  /** Mostly the floor. */
  readonly base: SystemName
  readonly workloads: readonly Workload[]
  readonly channelCounts: readonly number[]
  readonly replicas: number
  readonly rounds: number
  /** Pairs of each workload that come before those that count. */
  readonly warmUpPairs: number
  readonly warmUpMs: number
  readonly measureMs: number
  /** Bytes of sessions that all rounds together may send. */
  readonly bytesMax: number
  readonly segmentBytes: number
  /** Segments that Travertine has prepared; undefined: as many as all rounds can fill. */
  readonly segmentsAhead: number | undefined
  readonly scratch: string
  readonly profileDirectory: string | undefined
  readonly onProgress: (text: string) => void
}

/** What is known before there is a place to run in. */
export type RunSettings = Omit<RunOptions, 'scratch' | 'onProgress'>

export interface Block {
  readonly workload: Workload
  readonly channels: number
  readonly pairs: readonly Pair[]
}

const SEAL_BYTES = FRAME_HEADER_BYTES + SEAL_BODY_BYTES

/** Time beyond its bounds after which a round has failed: a call of the client has a deadline of 30 s itself. */
const ROUND_GRACE_MS = 45_000

const LOAD_GENERATOR = new URL('./load-generator.js', import.meta.url)

export async function runBlocks(options: RunOptions): Promise<Block[]> {
  const blocks: Block[] = []
  for (const channels of options.channelCounts) {
    const start = (name: SystemName, directory: string): Promise<RunningSystem> =>
      startSystem(name, {
        directory: join(options.scratch, directory),
        channels,
        replicas: options.replicas,
        segmentBytes: options.segmentBytes,
        segmentsAhead: segmentsAheadFor(options, channels),
        profileDirectory: options.profileDirectory,
      })
    const systems = {
      floor: await start(options.base, 'floor'),
      candidate: await start(options.candidate, 'candidate'),
    }
    for (const workload of options.workloads) blocks.push(await runBlock(options, systems, workload, channels))
    await systems.candidate.stop()
    await systems.floor.stop()
  }
  return blocks
}

export const roundsInAll = ({ rounds, warmUpPairs }: RunSettings): number => rounds + warmUpPairs

/** Bytes that the sessions of one round may have, so that all rounds together stay within the limit. */
export function roundBytesMax(options: RunSettings, workload: Workload): number {
  const weights = options.workloads.reduce((sum, { bytesWeight }) => sum + bytesWeight, 0)
  const shares = weights * options.channelCounts.length * roundsInAll(options) * 2
  return Math.floor((options.bytesMax * workload.bytesWeight) / shares)
}

/**
 * Segments for all sessions of the rounds with so many channels, each with a seal of its own at worst; and two more, so
 * that making the next one never becomes urgent.
 */
export function segmentsAheadFor(options: RunSettings, channels: number): number {
  if (options.segmentsAhead !== undefined) return options.segmentsAhead
  const bytes = options.workloads.reduce(
    (sum, workload) => sum + roundBytesMax(options, workload) * (1 + SEAL_BYTES / sessionBytes(workload)),
    0,
  )
  return Math.ceil((bytes * roundsInAll(options)) / channels / options.segmentBytes) + 2
}

async function runBlock(
  options: RunOptions,
  { floor, candidate }: { readonly floor: RunningSystem; readonly candidate: RunningSystem },
  workload: Workload,
  channels: number,
): Promise<Block> {
  const { rounds, warmUpPairs } = options
  const bytesMax = roundBytesMax(options, workload)
  const pairs: Pair[] = []
  for (let round = 1 - warmUpPairs; round <= rounds; round++) {
    const measure = async (system: RunningSystem, name: string): Promise<RoundFigures> => {
      const place = `${workload.name}, ${channels} channel${channels === 1 ? '' : 's'}`
      options.onProgress(`${place}, ${round < 1 ? 'to warm up' : `round ${round} of ${rounds}`}: ${name}`)
      return runRound(system, options, { workload: workload.name, channels, bytesMax })
    }
    // who comes first changes with each round, so that neither always inherits what the other leaves to the disk
    const before = round % 2 === 0 ? await measure(candidate, options.candidate) : undefined
    const atFloor = await measure(floor, options.base)
    const pair = { floor: atFloor, candidate: before ?? (await measure(candidate, options.candidate)) }
    if (round > 0) pairs.push(pair)
  }
  return { workload, channels, pairs }
}

async function runRound(
  system: RunningSystem,
  { warmUpMs, measureMs, profileDirectory }: RunOptions,
  rest: Omit<LoadOrder, 'address' | keyof LoadBounds> & Pick<LoadBounds, 'bytesMax'>,
): Promise<RoundFigures> {
  const order: LoadOrder = { address: system.address, warmUpMs, measureMs, ...rest }
  const client = startChild(LOAD_GENERATOR, [JSON.stringify(order)], profileDirectory)
  const pids = { ...system.pids, client: [client.pid ?? 0] }
  const usage = { begin: perRole(() => null), end: perRole(() => null), peak: perRole(() => null) }
  const onPhase = (phase: LoadMessage['phase']) => {
    if (phase === 'result') usage.peak = perRole((role) => peakMemoryBytes(pids[role]))
    else usage[phase] = perRole((role) => cpuSeconds(pids[role]))
  }
  const result = await resultOf(client, warmUpMs + measureMs + ROUND_GRACE_MS, onPhase)
  await endChild(client)
  return {
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    commitsPerSecond: result.commits / result.seconds,
    entriesPerSecond: result.entries / result.seconds,
    megabytesPerSecond: result.bytes / result.seconds / 1e6,
    cpuMicrosecondsPerEntry: perRole((role) => perEntry(usage.begin[role], usage.end[role], result.entries)),
    peakMemoryBytes: usage.peak,
  }
}

function resultOf(
  client: ChildProcess,
  msMax: number,
  onPhase: (phase: LoadMessage['phase']) => void,
): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`Cannot go on: a round took more than ${Math.round(msMax / 1000)} s`)),
      msMax,
    )
    client.on('message', (raw) => {
      const message = raw as LoadMessage // the load generator sends nothing else
      onPhase(message.phase)
      if (message.phase !== 'result') return
      clearTimeout(timer)
      resolve(message.result)
    })
    client.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`Cannot go on: the load generator ended with ${signal ?? `exit code ${code}`}`))
    })
  })
}

function perRole(figure: (role: Role) => number | null): PerRole {
  return { client: figure('client'), master: figure('master'), replica: figure('replica') }
}

function perEntry(begin: number | null, end: number | null, entries: number): number | null {
  return begin === null || end === null ? null : ((end - begin) * 1e6) / entries
}

export const workloadNamed = (name: string): Workload | undefined =>
  WORKLOADS.find((workload) => workload.name === name)
