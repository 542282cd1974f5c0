/**
 * What a seed draws before anything runs: the cluster, its pace, its applications, and which faults may happen how often.
 * Printed first: no fault is hidden.
 */
import { EPOCH_BOUND, EPOCH_RING } from '../../protocol/limits.ts'
import type { EpochSlots } from '../../wal/board.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { drawFocus, type Focus, focused } from './focus.ts'
import { ROT_KINDS, type RotKind } from './rot.ts'
import type { Habit } from './sim-client.ts'

/** Drawn among, for any run. */
const COMMON_KINDS = [
  'kill',
  'power',
  'kill then power',
  'several at once',
  'end in the middle',
  'pause node',
  'pause thread',
  'pause channel',
  'cut one way',
  'cut both ways',
  'reset connection',
  'half-open connection',
  'flush fails',
  'disk full',
  'slow disk',
  'slow network',
  'restart',
  'replace replica',
  'return to a paused channel',
  'change master',
] as const

/** Only where a replica feeds another one: what it has received and not flushed is gone. */
const FEEDER_KIND = 'power of a feeder in its flush'

export const FAULT_KINDS = [...COMMON_KINDS, FEEDER_KIND] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export interface Configuration {
  readonly seed: number
  readonly focus: Focus
  readonly channels: number
  readonly replicas: number
  /** One more, which the first of the replicas feeds. */
  readonly isCascaded: boolean
  /** Of the board. Small ones are met by a disk that hangs for a moment. */
  readonly epochSlots: EpochSlots
  readonly sectorBytes: number
  readonly segmentBytes: number
  /** Simulated milliseconds with faults. */
  readonly ticks: number
  /** How long all must have been well, without faults, before the last sessions are written. */
  readonly settleMs: number
  readonly latencyMicrosMin: number
  readonly latencyMicrosMax: number
  readonly windowBytes: number
  readonly readsPerCut: number
  readonly stepMicros: number
  readonly stepsPerPause: number
  readonly pauseMicros: number
  readonly syncMicrosMin: number
  readonly syncMicrosMax: number
  /** Per node, microseconds of its clock in 1000 of the world's. */
  readonly drifts: readonly number[]
  readonly clients: readonly (Habit & { readonly sessions: number })[]
  readonly faults: readonly FaultKind[]
  readonly faultCount: number
  /** How often a feeder loses its power as it flushes, besides. */
  readonly feederFaults: number
  /** How bytes of the master's log rot at the end; undefined: they do not. */
  readonly rot: RotKind | undefined
  /** A restarted process ends again in the middle of its recovery in one of so many cases; 0: never. */
  readonly recoveriesPerEnd: number
}

/** Streams of random numbers: one per component, so that a new draw in one place reshuffles no other. */
export type Stream = 'configuration' | 'pace' | 'network' | 'disk' | 'faults' | 'clients'

const STREAMS: readonly Stream[] = ['configuration', 'pace', 'network', 'disk', 'faults', 'clients']

export const streamOf = (seed: number, stream: Stream, index = 0): SeededRandom => {
  const random = new SeededRandom(seed * 64 + STREAMS.indexOf(stream) * 8 + (index % 8))
  for (let i = 0; i < 4 + index; i++) random.below(2) // neighbouring seeds begin alike
  return random
}

export function drawConfiguration(seed: number, ticks?: number): Configuration {
  const random = streamOf(seed, 'configuration')
  const among = <T>(...choices: readonly T[]): T => choices[random.below(choices.length)]!
  const replicas = among(0, 1, 1, 1, 2)
  const channels = among(1, 2, 2, 3)
  const syncMicrosMin = among(20, 100, 200)
  const latencyMicrosMin = among(5, 30, 200)
  const isCalm = random.chance(1, 8)
  const kinds = COMMON_KINDS.filter((kind) => random.chance(1, 2) && (replicas > 0 || !NEEDS_REPLICA.has(kind)))
  const drawn: Configuration = {
    seed,
    focus: drawFocus(random),
    channels,
    replicas,
    isCascaded: false,
    epochSlots: among({ bound: EPOCH_BOUND, ring: EPOCH_RING }, { bound: 2, ring: 2 }, { bound: 3, ring: 4 }),
    sectorBytes: among(512, 512, 512, 64),
    segmentBytes: 64 * 1024,
    ticks: among(500, 2_000, 5_000),
    settleMs: SETTLE_MS,
    latencyMicrosMin,
    latencyMicrosMax: latencyMicrosMin * among(2, 10),
    windowBytes: among(2_000, 64 * 1024, 1024 * 1024),
    readsPerCut: among(0, 2, 20),
    stepMicros: among(1, 3, 30),
    stepsPerPause: among(0, 100, 1_000, 5_000),
    pauseMicros: among(200, 5_000, 20_000),
    syncMicrosMin,
    syncMicrosMax: syncMicrosMin * among(2, 5, 20),
    drifts: Array.from({ length: 1 + REPLICAS_MAX }, () => among(1000, 999, 1001, 950, 1050)),
    clients: drawClients(random, channels),
    faults: isCalm ? [] : kinds,
    feederFaults: 0,
    faultCount: isCalm || kinds.length === 0 ? 0 : 1 + random.below(10),
    recoveriesPerEnd: among(0, 2, 4),
    rot: among(undefined, undefined, ...ROT_KINDS),
  }
  const found = focused(drawn, random)
  // drawn for itself, so that the runs of seeds without it are those that they were before
  const cascade = streamOf(seed, 'configuration', 1)
  const isCascaded = cascade.chance(1, 3) && found.replicas > 0
  const feederFaults = isCascaded && !isCalm ? cascade.below(4) : 0
  return { ...found, isCascaded, feederFaults, ...(ticks === undefined ? {} : { ticks }) }
}

const REPLICAS_MAX = 2
/** Longer than it takes to notice that a peer has gone, and to reconnect. */
const SETTLE_MS = 9_000

const NEEDS_REPLICA: ReadonlySet<FaultKind> = new Set([
  'cut one way',
  'cut both ways',
  'replace replica',
  'change master',
  'return to a paused channel',
])

function drawClients(random: SeededRandom, channels: number): Configuration['clients'] {
  const among = <T>(...choices: readonly T[]): T => choices[random.below(choices.length)]!
  // of equal size: what a crash leaves of older frames then fits exactly under newer ones
  const equal = random.chance(1, 3) ? among(10, 300, 430) : undefined
  return Array.from({ length: among(1, 2, 3, 4) }, () => {
    const valueBytesMin = equal ?? among(1, 100, 5_000)
    return {
      valueBytesMin,
      valueBytesMax: equal ?? valueBytesMin * among(1, 2, 4),
      burst: among(1, 1, 3, 10),
      pauseMsMax: among(0, 3, 30, 100),
      waits: random.chance(2, 3),
      reconnects: random.chance(3, 4),
      channels: 1 + random.below(channels),
      sessions: among(20, 50, 100),
    }
  })
}

export function describeConfiguration(configuration: Configuration): string {
  const { seed, clients, faults, drifts, epochSlots, ...rest } = configuration
  const words = Object.entries(rest).map(([name, value]) => `${name} ${String(value)}`)
  const habits = clients.map(
    (c) =>
      `  client: ${c.sessions} sessions of ${c.valueBytesMin} to ${c.valueBytesMax} bytes, up to ${c.burst} at once on ${c.channels} channels, pauses up to ${c.pauseMsMax} ms${c.waits ? ', waits for answers' : ''}${c.reconnects ? ', reconnects' : ''}`,
  )
  const kinds = `  faults: ${faults.length === 0 ? 'none' : faults.join(', ')}`
  return [
    `seed ${seed}: ${words.join(', ')}, ring ${epochSlots.ring}, bound ${epochSlots.bound}, clocks ${drifts.join(' ')}`,
    ...habits,
    kinds,
  ].join('\n')
}
