/**
 * What happens to the cluster in one round: drawn from the seed alone, before anything starts, so that a round that has
 * failed can be printed, and tried again. When exactly a fault hits is up to the machine.
 *
 * Times are milliseconds since the faults began. Faults overlap as they come: a node that is killed while it
 * starts, or is paused while its connections are cut, is what this is about.
 */
import { KIB, MIB } from '../../protocol/limits.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import type { PausePlace } from './pausable-threads.ts'

export const NODES = ['master', 'replica1', 'replica2'] as const
export type NodeName = (typeof NODES)[number]

/** A message of the control channel, or frames and answers of a log channel. */
export type Port = 'control' | number
export type Direction = 'to node' | 'from node'
/** `end`: in good order, after what was sent. `reset`: at once, and what was not read yet is gone. */
export type CutHow = 'end' | 'reset'

export type Fault =
  /** kill -9, all of them in the same moment; started again after a while. */
  | { readonly kind: 'kill'; readonly nodes: readonly NodeName[]; readonly downMs: number }
  /** SIGTERM; kill -9 where that has not ended it in time. */
  | { readonly kind: 'terminate'; readonly node: NodeName; readonly patienceMs: number; readonly downMs: number }
  /** SIGSTOP, then SIGCONT. */
  | { readonly kind: 'pause'; readonly nodes: readonly NodeName[]; readonly ms: number }
  /** Connections to a node are cut, all of them or those of one port. */
  | { readonly kind: 'cut'; readonly node: NodeName; readonly port: Port | 'all'; readonly how: CutHow }
  /** One connection is cut behind so many more bytes: mostly within a frame. */
  | {
      readonly kind: 'cut within'
      readonly node: NodeName
      readonly port: Port
      readonly direction: Direction
      readonly bytes: number
      readonly how: CutHow
    }
  /** Bytes stand still, then go on, or are lost with their connection. */
  | {
      readonly kind: 'hold'
      readonly node: NodeName
      readonly port: Port | 'all'
      readonly directions: readonly Direction[]
      readonly ms: number
      readonly then: 'go on' | 'reset'
    }
  /** Nobody new gets through to a node, and whoever was there is cut off. */
  | { readonly kind: 'refuse'; readonly node: NodeName; readonly ms: number }
  /** One channel thread stands still, the others of its node go on. */
  | {
      readonly kind: 'pause thread'
      readonly node: NodeName
      readonly channel: number
      readonly place: PausePlace
      readonly ms: number
    }
  /** The small disk of the one node that has one runs full, until a while after the node has noticed. */
  | { readonly kind: 'fill disk'; readonly freeBytes: number; readonly ms: number }

export interface PlannedFault {
  readonly atMs: number
  readonly fault: Fault
}

/** What happens to nodes whose logs are level before their files are read. */
export type Ending = 'run on' | 'kill' | 'terminate'

export interface Plan {
  /** Faults begin while the nodes still start; otherwise when all of them listen. */
  readonly cold: boolean
  readonly faults: readonly PlannedFault[]
  readonly writers: number
  /** Many large sessions: a kill hits a node within a write more often, and its log in the middle of an epoch. */
  readonly heavy: boolean
  /** Seed of what the writers do. */
  readonly loadSeed: number
  readonly ending: Ending
}

/** A log grows with each round, and is read from its begin each time. */
export const ROUNDS_PER_CLUSTER = 10
const FAULTS_MAX = 5
const LAST_FAULT_MS = 900
/** Nothing at all, a part of one segment, and more than the low-water mark of four channels. */
const FREE_BYTES = [0, 100 * KIB, MIB, 3 * MIB] as const
/** Beyond HEARTBEAT_TIMEOUT_MS: the peers give up. */
const LONG_MS = 3_300

/** The one node with a small disk: the master, which refuses sessions then, or a replica, for which PROPAGATED waits. */
export function smallDiskNode(seed: number, round: number): NodeName {
  const cluster = Math.floor((round - 1) / ROUNDS_PER_CLUSTER)
  return (seed + cluster) % 2 === 0 ? 'master' : 'replica1'
}

export function planRound(seed: number, round: number, channels: number): Plan {
  const random = new SeededRandom(seed * 100_003 + round)
  const count = 1 + random.below(FAULTS_MAX)
  const faults = Array.from({ length: count }, () => ({
    atMs: 20 + random.below(LAST_FAULT_MS),
    fault: drawFault(random, channels),
  }))
  return {
    cold: random.chance(1, 5),
    faults: faults.sort((a, b) => a.atMs - b.atMs),
    writers: 3 + random.below(6),
    // few bytes would not notice that there is no room for more
    heavy: random.chance(2, 3) || faults.some(({ fault }) => fault.kind === 'fill disk'),
    loadSeed: random.below(1_000_000_000),
    ending: pick(random, ['run on', 'run on', 'run on', 'run on', 'run on', 'run on', 'kill', 'terminate'] as const),
  }
}

function drawFault(random: SeededRandom, channels: number): Fault {
  const node = (): NodeName => pick(random, NODES)
  const port = (): Port => (random.chance(1, 4) ? 'control' : random.below(channels))
  const how = (): CutHow => pick(random, ['end', 'reset'])
  const directions: readonly Direction[] = ['to node', 'from node']
  switch (random.below(18)) {
    case 0:
    case 1:
    case 2:
      return { kind: 'kill', nodes: [node()], downMs: shortMs(random) }
    case 3:
      return { kind: 'kill', nodes: ['master'], downMs: 0 }
    case 4:
      return { kind: 'kill', nodes: NODES.filter(() => random.chance(2, 3)), downMs: shortMs(random) }
    case 5:
      return { kind: 'kill', nodes: NODES, downMs: shortMs(random) }
    case 6:
      return { kind: 'terminate', node: node(), patienceMs: random.below(1_500), downMs: shortMs(random) }
    case 7:
      return { kind: 'pause', nodes: [node()], ms: holdMs(random) }
    case 8:
      return { kind: 'pause', nodes: NODES.filter(() => random.chance(2, 3)), ms: holdMs(random) }
    case 9:
      return { kind: 'cut', node: node(), port: random.chance(1, 2) ? 'all' : port(), how: how() }
    case 10:
    case 11: {
      const bytes = random.below(4_000)
      return { kind: 'cut within', node: node(), port: port(), direction: pick(random, directions), bytes, how: how() }
    }
    case 12: {
      const held = pick(random, [directions, ['to node'], ['from node']] as const)
      const then = pick(random, ['go on', 'reset'] as const)
      return {
        kind: 'hold',
        node: node(),
        port: random.chance(1, 2) ? 'all' : port(),
        directions: held,
        ms: holdMs(random),
        then,
      }
    }
    case 13:
      return { kind: 'refuse', node: node(), ms: shortMs(random) }
    case 14:
      return { kind: 'fill disk', freeBytes: pick(random, FREE_BYTES), ms: 100 + random.below(900) }
    default: {
      const place = pick(random, ['between turns', 'before fdatasync', 'behind fdatasync'] as const)
      return { kind: 'pause thread', node: node(), channel: random.below(channels), place, ms: 10 + random.below(990) }
    }
  }
}

const shortMs = (random: SeededRandom): number => (random.chance(1, 3) ? 0 : random.below(600))
const holdMs = (random: SeededRandom): number => (random.chance(1, 10) ? LONG_MS : 20 + random.below(500))

function pick<T>(random: SeededRandom, from: readonly T[]): T {
  return from[random.below(from.length)]! // a limit is above 0, so from has one
}

export function describePlan({ cold, faults, writers, heavy, loadSeed, ending }: Plan): string {
  const lines = faults.map(({ atMs, fault }) => `  ${String(atMs).padStart(4)} ms  ${describeFault(fault)}`)
  return [
    `  ${writers} ${heavy ? 'heavy ' : ''}writers, load seed ${loadSeed}, ${cold ? 'cold, ' : ''}ending: ${ending}`,
    ...lines,
  ].join('\n')
}

export function describeFault(fault: Fault): string {
  const { kind, ...rest } = fault
  const words = Object.entries(rest).map(([name, value]) => `${name} ${Array.isArray(value) ? value.join('+') : value}`)
  return `${kind}: ${words.join(', ')}`
}
