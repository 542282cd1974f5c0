/**
 * What a node can be asked about itself, from its first moment on: alive, ready, status, metrics. Decides nothing, keeps
 * nothing but counts; whoever asks makes it look.
 *
 *   initialising -> working -> stopping
 *
 * The admin port answers before the log is recovered, so that a slow start can be watched.
 */
import { readFileSync } from 'node:fs'
import type { Clock } from '../protocol/clock.ts'
import { HEARTBEAT_MS } from './metrics/heartbeat.ts'
import { LoopDelayWatch } from './metrics/loop-delay.ts'
import { ProgressWatch, type ThreadHealth } from './metrics/progress-watch.ts'
import { RecoveryProgress } from './metrics/recovery-progress.ts'
import type { MetricsView } from './metrics/scrape.ts'
import { StatSlots } from './metrics/stat-slots.ts'
import type { NodeStatus } from './node-status.ts'

/** A start that takes longer than so many seconds says how far it is. */
const LOOKS_PER_NOTE = 2

export type NodeState = 'initialising' | 'working' | 'stopping'

export interface Readiness {
  readonly ready: boolean
  readonly state: NodeState
  /** For people: what it waits for, or what it does. */
  readonly reason: string
}

export interface Health {
  /** Every channel thread makes progress. The control thread does: it is the one that answers. */
  readonly alive: boolean
  readonly threads: readonly ThreadHealth[]
}

export class NodeProbe {
  readonly stats: readonly StatSlots[]
  readonly recovery: RecoveryProgress
  readonly #errors = new Map<string, number>()
  readonly #loop = new LoopDelayWatch()
  readonly #timer: NodeJS.Timeout
  readonly #clock: Pick<Clock, 'now'>
  readonly #say: (text: string) => void
  #looks = 0
  #progress: ProgressWatch | undefined
  #state: NodeState = 'initialising'
  #status: (() => NodeStatus) | undefined

  /** @param say told now and then while the start takes long */
  constructor(channels: number, clock: Pick<Clock, 'now'>, say: (text: string) => void = () => undefined) {
    this.#clock = clock
    this.#say = say
    this.stats = Array.from({ length: channels }, () => new StatSlots())
    this.recovery = new RecoveryProgress(channels)
    this.#timer = setInterval(() => this.look(), HEARTBEAT_MS)
    this.#timer.unref()
  }

  /** It was logged, or told on the control channel. */
  countError(code: string): void {
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
  }

  /** The node listens. */
  working(status: () => NodeStatus): void {
    this.#state = 'working'
    this.#status = status
    const threads = this.stats.map((stats, channel) => ({
      name: `channel-${channel}`,
      heartbeats: () => stats.get('heartbeats'),
    }))
    this.#progress = new ProgressWatch(threads, () => this.#clock.now())
  }

  /** Once a second. */
  look(): void {
    this.#progress?.look()
    this.#loop.read()
    if (this.#state === 'initialising' && ++this.#looks % LOOKS_PER_NOTE === 0) this.#say(this.recovery.describe())
  }

  stopping(): void {
    this.#state = 'stopping'
  }

  /** Nobody will ask any more. */
  close(): void {
    clearInterval(this.#timer)
    this.#loop.stop()
  }

  health(): Health {
    const threads = this.#progress?.threads() ?? []
    return { alive: threads.every(({ alive }) => alive), threads }
  }

  readiness(): Readiness {
    const status = this.#status?.()
    if (this.#state === 'stopping')
      return { ready: false, state: 'stopping', reason: 'answers what is under way, then closes' }
    if (status === undefined) return { ready: false, state: 'initialising', reason: this.recovery.describe() }
    const { alive, threads } = this.health()
    if (alive) return { ready: true, state: 'working', reason: describeWork(status) }
    const stuck = threads.filter((thread) => !thread.alive).map(({ name, silentMs }) => `${name} for ${silentMs} ms`)
    return { ready: false, state: 'working', reason: `no sign of life of ${stuck.join(', ')}` }
  }

  /** For /status.json. */
  describe(): Readonly<Record<string, unknown>> {
    return { ...this.readiness(), version: VERSION, pid: process.pid, ...this.health(), ...this.#status?.() }
  }

  view(): MetricsView {
    return {
      version: VERSION,
      ready: this.readiness().ready,
      status: this.#status?.(),
      channels: this.stats,
      threads: this.health().threads,
      loopDelay: this.#loop.read(),
      errors: this.#errors,
      recovery: this.recovery,
    }
  }
}

function describeWork(status: NodeStatus): string {
  const { role, replicas, diskLow, following, masterAddress, via } = status
  if (diskLow) return 'DISK_LOW: new sessions are refused until there is room'
  const through = via.length === 0 ? '' : `, through ${via.length} other ${via.length === 1 ? 'replica' : 'replicas'}`
  if (role === 'replica') return following ? `follows the master at ${masterAddress}${through}` : 'waits for its master'
  const streaming = replicas.filter(({ state }) => state === 'streaming').length
  return replicas.length === 0 ? 'takes sessions' : `takes sessions, ${streaming} of ${replicas.length} replicas stream`
}

// package.json is our own file
const VERSION = String(
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: unknown }).version,
)
