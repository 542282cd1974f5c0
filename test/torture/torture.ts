/**
 * Rounds of torture, one after the other, on clusters that each live through a number of them.
 *
 * A run that finds something stops there: the data directories, the nodes' logs and a log of events are kept, and the
 * seed, the round and its plan are told. The same seed draws the same plans; moments differ from run to run, as they do
 * in life.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { outcomeOf, type SessionRecord } from './client-history.ts'
import { describePlan, type Plan, planRound, ROUNDS_PER_CLUSTER, smallDiskNode } from './plan.ts'
import { runRound } from './round.ts'
import { TortureCluster } from './torture-cluster.ts'

export interface TortureOptions {
  readonly rounds: number
  readonly seed: number
  /** The first round to run: to begin with one that has failed. */
  readonly from?: number
  readonly onRound?: (line: string) => void
}

export interface TortureReport {
  /** Rounds that were run. */
  readonly rounds: number
  readonly seconds: number
  /** Faults by kind. */
  readonly faults: Readonly<Record<string, number>>
  /** Sessions by outcome. */
  readonly sessions: Readonly<Record<string, number>>
  /** Frames that nodes have cut off their logs and kept: what kills had left of epochs that were not whole. */
  readonly cutFrames: number
  /** What came of faults whose moment the machine decides. */
  readonly seen: Seen
  /** Why no disk ran full; undefined where that could be. */
  readonly noSmallDisk: string | undefined
  /** What is wrong, and where to look; undefined where nothing is. */
  readonly failure: string | undefined
}

export interface Seen {
  /** Channel threads that stood still. */
  readonly threadPauses: number
  /** Sessions refused with DISK_LOW. */
  readonly refusedForRoom: number
  /** Disks that ran full, and whose node has said so. */
  readonly fullDisks: number
  /** Nodes that have ended on one. */
  readonly fullDiskEnds: number
}

const CHANNELS = 4
/** More of the same says nothing new. */
const FINDINGS_SHOWN = 20
const LINES_SHOWN = 8

export async function torture(options: TortureOptions): Promise<TortureReport> {
  const { rounds, seed, from = 1, onRound } = options
  const root = mkdtempSync(join(tmpdir(), 'travertine-torture-'))
  const startedAt = performance.now()
  const tally = new Tally()
  let failure: string | undefined
  let noSmallDisk: string | undefined
  let done = 0
  while (done < rounds && failure === undefined) {
    const directory = join(root, `from-round-${from + done}`)
    mkdirSync(directory)
    const cluster = await TortureCluster.create(directory, CHANNELS, smallDiskNode(seed, from + done))
    const { disk } = cluster.smallDisk
    noSmallDisk = typeof disk === 'string' ? disk : undefined
    if (noSmallDisk !== undefined) onRound?.(`no disk runs full: ${noSmallDisk}`)
    const series = new Series(cluster, seed, tally)
    try {
      const end = Math.min(rounds, done + ROUNDS_PER_CLUSTER)
      while (done < end && failure === undefined) {
        const roundStartedAt = performance.now()
        failure = await series.run(from + done)
        done += 1
        const seconds = ((performance.now() - roundStartedAt) / 1000).toFixed(1)
        onRound?.(
          `round ${from + done - 1}  ${seconds} s  ${failure === undefined ? 'good' : 'FAILED'}  ${tally.line()}`,
        )
      }
    } finally {
      await series.close(failure !== undefined)
    }
    if (failure === undefined) rmSync(directory, { recursive: true })
  }
  if (failure === undefined) rmSync(root, { recursive: true })
  const seconds = (performance.now() - startedAt) / 1000
  const { faults, sessions, cutFrames, seen } = tally
  return { rounds: done, seconds, faults, sessions, cutFrames, seen, noSmallDisk, failure }
}

/** One cluster, and what its writers were told in all rounds so far. */
class Series {
  readonly #cluster: TortureCluster
  readonly #seed: number
  readonly #tally: Tally
  #writers = 0

  constructor(cluster: TortureCluster, seed: number, tally: Tally) {
    this.#cluster = cluster
    this.#seed = seed
    this.#tally = tally
  }

  /** @returns what is wrong */
  async run(round: number): Promise<string | undefined> {
    const plan = planRound(this.#seed, round, this.#cluster.channels)
    this.#cluster.event(`round ${round} of seed ${this.#seed}\n${describePlan(plan)}`)
    const before = this.#cluster.history.sessions.length
    const firstWriter = this.#writers
    this.#writers += plan.writers + 1
    const cutBefore = this.#cluster.cutFrames
    const findings = await runRound({ cluster: this.#cluster, plan, firstWriter })
    this.#tally.cutFrames += this.#cluster.cutFrames - cutBefore
    this.#tally.add(plan, this.#cluster.history.sessions.slice(before))
    this.#tally.takeFrom(this.#cluster)
    return findings.length === 0 ? undefined : this.#describe(round, plan, findings)
  }

  close(keepFiles: boolean): Promise<void> {
    return this.#cluster.close(keepFiles)
  }

  #describe(round: number, plan: Plan, findings: readonly string[]): string {
    const more = findings.length - FINDINGS_SHOWN
    return [
      `seed ${this.#seed}, round ${round}:`,
      describePlan(plan),
      ...findings.slice(0, FINDINGS_SHOWN),
      ...(more > 0 ? [`... and ${more} more`] : []),
      ...this.#cluster.nodes.map((node) => `${node.name} said last:\n${node.lastLines(LINES_SHOWN)}`),
      `everything is kept in ${this.#cluster.root}`,
    ].join('\n')
  }
}

class Tally {
  readonly faults: Record<string, number> = {}
  readonly sessions: Record<string, number> = {}
  readonly seen = { threadPauses: 0, refusedForRoom: 0, fullDisks: 0, fullDiskEnds: 0 }
  cutFrames = 0

  add(plan: Plan, sessions: readonly SessionRecord[]): void {
    for (const { fault } of plan.faults) count(this.faults, fault.kind)
    for (const record of sessions) {
      count(this.sessions, outcomeOf(record))
      if (record.failed?.code === 'DISK_LOW') this.seen.refusedForRoom += 1
    }
  }

  /** What was counted in one round. */
  takeFrom(cluster: TortureCluster): void {
    for (const node of cluster.nodes) {
      this.seen.threadPauses += node.threadPauses
      this.seen.fullDiskEnds += node.fullDiskEnds
      node.threadPauses = 0
      node.fullDiskEnds = 0
    }
    this.seen.fullDisks += cluster.fullDisks
    cluster.fullDisks = 0
  }

  line(): string {
    const sessions = Object.entries(this.sessions).map(([outcome, n]) => `${outcome} ${n}`)
    return [...sessions, `cut ${this.cutFrames}`].join(', ')
  }
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}
