/**
 * Short runs in which what goes wrong is enumerated, not drawn: one master, one replica, two channels, three sessions, and
 * at each single event of the run a node that ends or a direction that is cut. Everything else is the simulator: the
 * shipped code, the checkers, and at the end a cluster that must be whole, level and able to PROPAGATE.
 *
 * A run is the same up to its first fault, so "at event k" is the same moment whatever comes then. A node that ended is
 * started again soon; a cut is healed when it has lasted longer than heartbeats allow. Power takes all that was not flushed:
 * what else it may leave is enumerated in test/wal/crash-*.test.ts, on one node.
 */
import { EPOCH_BOUND, EPOCH_RING } from '../../protocol/limits.ts'
import type { Configuration } from './configuration.ts'
import { DIRECTORY } from './sim-node.ts'
import { Simulation, type SimWorld } from './simulation.ts'

/** To A and B: master and replica. Power: what was not flushed is gone; kill: it stays. Names: the next flush of the manifest's fails. */
export const ACTS = [
  'kill A',
  'kill B',
  'power of A',
  'power of B',
  'cut A to B',
  'cut B to A',
  'names of A',
  'names of B',
] as const
export type Act = (typeof ACTS)[number]

export interface Planned {
  readonly event: number
  readonly act: Act
}

/** Longer than the restart of a node takes, and than HEARTBEAT_TIMEOUT_MS. */
const END_MS = 400
const CUT_MS = 3_500

const SHORT_RUN: Configuration = {
  seed: 1,
  focus: 'anything',
  channels: 2,
  replicas: 1,
  isCascaded: false,
  epochSlots: { bound: EPOCH_BOUND, ring: EPOCH_RING },
  sectorBytes: 4096,
  segmentBytes: 64 * 1024,
  ticks: END_MS,
  settleMs: 200,
  latencyMicrosMin: 30,
  latencyMicrosMax: 60,
  windowBytes: 64 * 1024,
  readsPerCut: 0,
  stepMicros: 3,
  stepsPerPause: 0,
  pauseMicros: 0,
  syncMicrosMin: 100,
  syncMicrosMax: 200,
  drifts: [1000, 1000],
  clients: [1, 2].map((sessions) => ({
    valueBytesMin: 100,
    valueBytesMax: 100,
    burst: 1,
    pauseMsMax: 0,
    waits: true,
    reconnects: true,
    channels: 2,
    sessions,
  })),
  faults: [],
  faultCount: 0,
  feederFaults: 0,
  rot: undefined,
  recoveriesPerEnd: 0,
}

/** @returns what was found; undefined: nothing */
export async function runSchedule(
  schedule: readonly Planned[],
  say: (text: string) => void = () => undefined,
): Promise<string | undefined> {
  const hasCut = schedule.some(({ act }) => act.startsWith('cut'))
  const configuration = { ...SHORT_RUN, ticks: hasCut ? CUT_MS : END_MS }
  const { failure } = await new Simulation(configuration, say, (event, world) => {
    if (world.isCalm) return // a run that is another one since its first fault may come there sooner
    for (const planned of schedule) if (planned.event === event) play(planned.act, world)
  }).run()
  return failure?.message
}

/**
 * The steps of the run without faults, until everything that was to be written is answered: events behind which something
 * has been sent, or has changed on a disk. Between two of them there is nothing to lose but memory.
 */
export async function findSteps(): Promise<number[]> {
  const steps: number[] = []
  let seen = ''
  const { failure } = await new Simulation(
    SHORT_RUN,
    () => undefined,
    (event, { cluster, network, isLoadWritten }) => {
      const now = [...cluster.nodes.map(({ disk }) => disk.changes), network.packets].join()
      if (now !== seen && !isLoadWritten) steps.push(event)
      seen = now
    },
  ).run()
  if (failure !== undefined) throw failure
  return steps
}

/**
 * Node A or B ends right before its n-th operation on the disk: within an event, where schedules cannot look.
 *
 * @returns 'beyond' where the whole run has fewer
 */
export async function runToOperation(
  node: 'A' | 'B',
  operation: number,
  by: 'none' | 'kill',
): Promise<string | 'beyond' | undefined> {
  let lives = 0
  const { failure } = await new Simulation(
    { ...SHORT_RUN, ticks: END_MS },
    () => undefined,
    (event, { cluster }) => {
      const it = cluster.nodes[node === 'A' ? 0 : 1]!
      if (event === 1) it.endWithin(operation, by)
      lives = it.lives
    },
  ).run()
  return failure?.message ?? (lives === 1 ? 'beyond' : undefined)
}

function play(act: Act, { cluster, network }: SimWorld): void {
  const [a, b] = [cluster.master, cluster.replicas[0]!] // there is one
  switch (act) {
    case 'kill A':
      return a.kill()
    case 'kill B':
      return b.kill()
    case 'power of A':
      return a.losePower('none')
    case 'power of B':
      return b.losePower('none')
    case 'cut A to B':
      return network.cut(a.name, b.name)
    case 'cut B to A':
      return network.cut(b.name, a.name)
    case 'names of A':
      return a.disk.fail({ kind: 'syncDirectory', path: DIRECTORY })
    case 'names of B':
      return b.disk.fail({ kind: 'syncDirectory', path: DIRECTORY })
  }
}

export const describeSchedule = (schedule: readonly Planned[]): string =>
  schedule.map(({ event, act }) => `${act} at event ${event}`).join(', ')
