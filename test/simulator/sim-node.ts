/**
 * One simulated host with a node on it: a disk that outlives processes, and one life of the shipped node after the other.
 *
 * A life is what `travertine run` is: it recovers the directory, starts, and ends by shutdown, by a failure of its own,
 * or from outside: killed (what was written stays), or with the power (the disk keeps some of what was not flushed).
 */

import { fullConfig } from '../../daemon/node-config.ts'
import { openLog } from '../../daemon/open-log.ts'
import { RunningNode } from '../../daemon/running-node.ts'
import { asError } from '../../protocol/errors.ts'
import type { World } from '../../protocol/world.ts'
import type { EpochSlots } from '../../wal/board.ts'
import { type Manifest, readManifest } from '../../wal/manifest.ts'
import type { CrashUnit } from '../sim/crash-plan.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import type { SimFile } from '../sim/sim-file.ts'
import type { SimStep } from '../sim/sim-handle.ts'
import { Actor, type Life, LifeEnded, type Pace, type Scheduler } from './scheduler.ts'
import { SimChannels } from './sim-channels.ts'
import { type ClockDrift, simClock } from './sim-clock.ts'
import type { SimNetwork } from './sim-network.ts'
import { SimPool } from './sim-pool.ts'

export const DIRECTORY = '/data'
export const CONTROL_PORT = 7400
/** Threads of the job pool. */
const POOL_THREADS = 2
const MESSAGE_MICROS_MAX = 20

export interface SimNodeOptions {
  readonly name: string
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly pace: Pace
  /** Of secrets, tags, and of what a power loss keeps. */
  readonly random: SeededRandom
  readonly drift: ClockDrift
  readonly disk: SimDisk
  /** Microseconds per fdatasync. */
  readonly syncMicrosMin: number
  readonly syncMicrosMax: number
  readonly epochSlots: EpochSlots
  readonly observer: NodeObserver
  /** Addresses of the replicas that it feeds, as it starts. */
  readonly cascade: () => readonly string[]
}

export interface NodeObserver {
  /** Recovery is through; nothing has been appended yet. */
  onRecovered(node: SimNode): void
  onStarted(node: SimNode): void
  /** The node has stopped or could not start. */
  onDown(node: SimNode, error: Error | undefined): void
  onLog(node: SimNode, level: string, text: string): void
  /** Right before a life ends from outside. */
  onEnding(node: SimNode): void
}

/** What a power loss leaves: nothing that was not flushed, all of it, or some of it. */
export type Survival = 'none' | 'all' | 'some'

interface NodeLife extends Life {
  readonly actors: Actor[]
  readonly control: Actor
  running: RunningNode | undefined
}

export class SimNode {
  readonly #options: SimNodeOptions
  readonly name: string
  disk: SimDisk
  manifest: Manifest | undefined
  lives = 0
  diskFactor = 1
  #life: NodeLife | undefined
  /** Operations on the disk until the process ends in the middle; 0: it does not. */
  #stepsToEnd = 0
  #endsBy: Survival | 'kill' = 'kill'
  #endsAtFlush: Survival | undefined
  /** Flushes of channels that take their time: a power loss finds them under way. */
  readonly #flushes = new Map<Actor, { readonly file: SimFile; readonly until: number }>()
  readonly #lineFreeAt = new Map<string, number>()

  constructor(options: SimNodeOptions) {
    this.#options = options
    this.name = options.name
    this.disk = options.disk
  }

  get address(): string {
    return `${this.name}:${CONTROL_PORT}`
  }

  get isUp(): boolean {
    return this.#life !== undefined
  }

  /** Undefined until it has started. */
  get running(): RunningNode | undefined {
    return this.#life?.running
  }

  boot(): void {
    if (this.#life !== undefined) return
    const { network, observer } = this.#options
    this.lives += 1
    network.setPower(this.name, true)
    const life = this.#newLife()
    this.#life = life
    this.#watch(this.disk)
    life.control.post(() => {
      this.#start(life).then(
        ({ closed }) => {
          closed.then(
            () => this.#down(life, undefined),
            (error: unknown) => this.#down(life, asError(error)),
          )
        },
        (error: unknown) => {
          if (!life.isAlive) return // cut off in the middle
          observer.onLog(this, 'error', asError(error).message)
          this.#down(life, asError(error))
        },
      )
    })
  }

  shutdown(): void {
    const life = this.#life
    life?.control.post(() => life.running?.shutdown())
  }

  kill(): void {
    this.#end('kill')
  }

  losePower(survival: Survival): void {
    this.#end(survival)
  }

  /** The process ends right before one of its next operations on the disk. */
  endWithin(steps: number, by: Survival | 'kill'): void {
    this.#endsAtFlush = undefined
    this.#stepsToEnd = steps
    this.#endsBy = by
  }

  /** The power goes right before the next flush of a log. */
  endAtFlush(survival: Survival): void {
    this.#endsAtFlush = survival
  }

  /** All threads stand still, as after SIGSTOP. */
  pause(micros: number): void {
    for (const actor of this.#life?.actors ?? []) actor.busy(micros)
  }

  /** One channel stands still, and the others go on. */
  pauseOneChannel(random: SeededRandom, micros: number): void {
    const channels = (this.#life?.actors ?? []).filter(({ name }) => name.includes('channel'))
    if (channels.length > 0) channels[random.below(channels.length)]!.busy(micros)
  }

  pauseOneThread(random: SeededRandom, micros: number): void {
    const actors = this.#life?.actors ?? []
    if (actors.length > 0) actors[random.below(actors.length)]!.busy(micros)
  }

  #newLife(): NodeLife {
    const life: { name: string; isAlive: boolean; actors: Actor[]; running: undefined } = {
      name: `${this.name} life ${this.lives}`,
      isAlive: true,
      actors: [],
      running: undefined,
    }
    return Object.assign(life, { control: this.#newActor(life, 'control', true) })
  }

  #newActor(life: Life & { actors: Actor[] }, name: string, usesPromises: boolean): Actor {
    const { scheduler, pace } = this.#options
    const actor = new Actor(`${this.name} ${name}`, { life, scheduler, pace, usesPromises })
    life.actors.push(actor)
    return actor
  }

  /** As `startNode` of daemon/node.ts, without the lock and the thread pools. */
  async #start(life: NodeLife): Promise<RunningNode> {
    const { observer } = this.#options
    const { disk } = this
    const control = life.control
    const world = this.#worldOf(control)
    const config = fullConfig({
      directory: DIRECTORY,
      host: this.name,
      port: CONTROL_PORT,
      cascade: { replicas: this.#options.cascade() },
      onLog: ({ level, text }) => observer.onLog(this, level, text),
    })
    const poolThreads = Array.from({ length: POOL_THREADS }, (_, i) => this.#newActor(life, `pool ${i}`, false))
    const pool = new SimPool(disk, poolThreads, control)
    const manifest = readManifest(disk, DIRECTORY)
    const log = await openLog(pool, world, { directory: DIRECTORY, manifest })
    observer.onRecovered(this)
    const running = new RunningNode({
      config,
      log: { ...log, epochSlots: this.#options.epochSlots },
      world,
      pool,
      secrets: () => [],
      openChannels: (options) =>
        new SimChannels(
          {
            disk,
            control,
            newActor: (name) => this.#newActor(life, name, false),
            worldOf: (actor) => this.#worldOf(actor),
            deliver: (line, to, act) => this.#deliver(line, to, act),
            segmentJobs: pool.segmentJobs,
          },
          options,
        ),
    })
    await running.start()
    life.running = running
    observer.onStarted(this)
    return running
  }

  #worldOf(actor: Actor): World {
    const { scheduler, network, random, drift } = this.#options
    return {
      clock: simClock(scheduler, actor, drift),
      network: network.door(this.name, actor),
      randomBytes: (bytes) => Buffer.from(Array.from({ length: bytes }, () => random.below(256))),
    }
  }

  #deliver(line: string, to: Actor, act: () => void): void {
    const { scheduler, random } = this.#options
    const at = Math.max(this.#lineFreeAt.get(line) ?? 0, scheduler.now + random.below(MESSAGE_MICROS_MAX))
    this.#lineFreeAt.set(line, at)
    scheduler.at(at, () => to.post(act))
  }

  #down(life: NodeLife, error: Error | undefined): void {
    if (!life.isAlive) return
    life.isAlive = false
    this.#life = undefined
    this.disk = this.disk.killProcess()
    this.#options.network.endLife(this.name, life, false)
    this.#options.observer.onDown(this, error)
  }

  #end(by: Survival | 'kill'): void {
    const life = this.#life
    if (life === undefined) {
      if (by !== 'kill') this.disk = this.#afterPowerLoss(by) // of a host without a process
      return
    }
    this.disk.onStep = undefined
    this.#options.observer.onEnding(this)
    life.isAlive = false
    this.#life = undefined
    this.#stepsToEnd = 0
    this.#endsAtFlush = undefined
    this.disk = by === 'kill' ? this.disk.killProcess() : this.#afterPowerLoss(by)
    this.#options.network.endLife(this.name, life, by !== 'kill')
    this.#options.observer.onDown(this, undefined)
  }

  #afterPowerLoss(survival: Survival): SimDisk {
    const { random, scheduler } = this.#options
    for (const { file, until } of this.#flushes.values()) if (until > scheduler.now) this.disk.undoFlush(file)
    this.#flushes.clear()
    if (survival !== 'some') return this.disk.crash(survival)
    // now everything with the same chance, now mostly kept, now mostly lost
    const mood = random.below(3)
    const pick = (unit: CrashUnit): number => {
      if (mood === 1 && !random.chance(1, 8)) return unit.latest
      if (mood === 2 && !random.chance(1, 8)) return 0
      return random.below(unit.options)
    }
    return this.disk.crash(this.disk.units().map(pick))
  }

  #watch(disk: SimDisk): void {
    disk.onStep = (step) => this.#onDiskStep(step)
    disk.onFlushed = (file) => {
      const { current } = this.#options.scheduler
      if (current?.isInOperation === true) this.#flushes.set(current, { file, until: current.freeAt })
    }
  }

  #onDiskStep(step: SimStep): void {
    const { scheduler, random, syncMicrosMin, syncMicrosMax } = this.#options
    if (scheduler.current !== undefined) this.#flushes.delete(scheduler.current) // what comes next comes after it
    if (this.#stepsToEnd > 0) {
      this.#stepsToEnd -= 1
      if (this.#stepsToEnd === 0) {
        this.#end(this.#endsBy)
        throw new LifeEnded()
      }
    }
    if (this.#endsAtFlush !== undefined && step.kind === 'syncData' && step.path.endsWith('.wal')) {
      this.#end(this.#endsAtFlush)
      throw new LifeEnded()
    }
    if (step.kind !== 'syncData' && step.kind !== 'syncDirectory') return
    const micros = syncMicrosMin + random.below(syncMicrosMax - syncMicrosMin + 1)
    scheduler.current?.busy(micros * this.diskFactor)
  }
}
