/**
 * One run: everything is drawn from the seed, first with faults (safety), then without (liveness).
 *
 * Safety: the checkers look at each answer, each recovery and in between at what is new in the files. Liveness: faults
 * stop; all nodes must come up, all replicas stream, whatever a client still waits for must be answered, and what is
 * written then must be PROPAGATED. At the end all logs are equal and hold what was promised.
 */

import { asError, TravertineError } from '../../protocol/errors.ts'
import type { World } from '../../protocol/world.ts'
import { mayBecomeMaster } from './candidate.ts'
import { Checkers } from './checkers.ts'
import { Cluster, type ClusterNode } from './cluster.ts'
import { type Configuration, type FaultKind, streamOf } from './configuration.ts'
import { Faults } from './faults.ts'
import { ClientHistory } from './history.ts'
import { Rot, type RotKind } from './rot.ts'
import { RecordRot, ROT_RECORDS } from './rot-record.ts'
import { ReplicaRot } from './rot-replica.ts'
import { Actor, LifeEnded, type Pace, Scheduler } from './scheduler.ts'
import { SimClient } from './sim-client.ts'
import { simClock } from './sim-clock.ts'
import { SimNetwork } from './sim-network.ts'
import type { NodeObserver, SimNode } from './sim-node.ts'
import { Violation } from './violation.ts'

/** What a planned schedule gets its hands on. */
export interface SimWorld {
  readonly cluster: Cluster
  readonly network: SimNetwork
  /** Everything that the applications were to write is answered, or given up. */
  readonly isLoadWritten: boolean
  /** No more faults: whoever ends now is not started again. */
  readonly isCalm: boolean
}

export interface Outcome {
  readonly failure: Error | undefined
  readonly sessions: number
  readonly answers: number
  readonly ticks: number
  readonly events: number
  readonly lives: number
  readonly faults: ReadonlyMap<FaultKind, number>
}

/** How often the checkers look at all files, and at the watermarks. */
const LOOK_MICROS = 50_000
const CALM_MICROS_MAX = 60_000_000
const LAST_SESSIONS = 3
/** Longer than it takes until an idle channel has written its MARK. */
const QUIET_MICROS = 500_000

export class Simulation {
  readonly #configuration: Configuration
  readonly #say: (text: string) => void
  readonly #scheduler: Scheduler
  readonly #network: SimNetwork
  readonly #pace: { -readonly [K in keyof Pace]: Pace[K] }
  readonly #history = new ClientHistory()
  readonly #checkers: Checkers
  readonly #cluster: Cluster
  readonly #faults: Faults
  readonly #clients: SimClient[] = []
  #rot: Rot | RecordRot | ReplicaRot | undefined
  #ids = 0
  #failure: Error | undefined
  #phase: 'faults' | 'calm' | 'last words' | 'quiet' | 'rot' | 'mending' | 'over' = 'faults'
  #phaseSince = 0

  /** @param onEvent is called before each event with its number: for faults that are planned, not drawn */
  constructor(
    configuration: Configuration,
    say: (text: string) => void,
    onEvent?: (event: number, world: SimWorld) => void,
  ) {
    const { seed } = configuration
    this.#configuration = configuration
    this.#scheduler = new Scheduler((error, actor) => this.#onError(error, actor))
    this.#say = (text) => say(`${(this.#scheduler.now / 1000).toFixed(3)} ms  ${text}`)
    const scheduler = this.#scheduler
    this.#network = new SimNetwork({ ...configuration, scheduler, random: streamOf(seed, 'network') })
    this.#pace = { ...configuration, random: streamOf(seed, 'pace') }
    this.#checkers = new Checkers(this.#history)
    const observer = this.#observer()
    this.#cluster = new Cluster({ configuration, scheduler, network: this.#network, pace: this.#pace, observer })
    this.#faults = new Faults({
      configuration,
      scheduler,
      network: this.#network,
      cluster: this.#cluster,
      random: streamOf(seed, 'faults'),
      say: this.#say,
      onReplaced: (node) => this.#checkers.replaced(node.name, scheduler.now),
      onChangedMaster: () => this.#checkers.changedMaster(),
      mayBecomeMaster: (node) => mayBecomeMaster(node.disk, this.#history.sessions.values()),
    })
    const [cluster, network, clients, faults] = [this.#cluster, this.#network, this.#clients, this.#faults]
    const world: SimWorld = {
      cluster,
      network,
      get isLoadWritten() {
        return clients.every(({ isDone }) => isDone)
      },
      get isCalm() {
        return faults.isOver
      },
    }
    if (onEvent !== undefined) scheduler.onEvent = (event) => onEvent(event, world)
    for (const node of this.#cluster.nodes) this.#checkers.watch(node, 0)
    for (const [i, client] of configuration.clients.entries()) this.#clients.push(this.#newClient(i, client))
  }

  async run(): Promise<Outcome> {
    const onRejection = (error: unknown): void => this.#onError(error, this.#scheduler.current)
    process.on('unhandledRejection', onRejection)
    try {
      for (const node of this.#cluster.nodes) node.boot()
      for (const client of this.#clients) client.start()
      this.#look()
      await this.#scheduler.run(() => this.#failure !== undefined || this.#phase === 'over')
      if (this.#failure === undefined && this.#rot === undefined) this.#checkers.atEnd()
    } catch (error) {
      this.#failure ??= asError(error)
    } finally {
      process.off('unhandledRejection', onRejection)
    }
    const faults = new Map<FaultKind, number>(this.#faults.injected)
    return {
      failure: this.#failure,
      sessions: this.#history.sessions.size,
      answers: this.#history.answers,
      ticks: Math.floor(this.#scheduler.now / 1000),
      events: this.#scheduler.events,
      lives: this.#cluster.nodes.reduce((sum, node) => sum + node.lives, 0),
      faults,
    }
  }

  #look(): void {
    this.#scheduler.in(LOOK_MICROS, () => {
      if (this.#phase !== 'rot' && this.#phase !== 'mending') this.#checkers.look() // it reads manifests, too
      for (const node of this.#cluster.nodes) {
        const hasLost = this.#rot instanceof ReplicaRot && this.#rot.isOf(node) // its watermark goes back with its log
        if (node.running !== undefined && !hasLost) this.#checkers.watermarks(node.name, node.running.status())
      }
      this.#advancePhase()
      this.#look()
    })
  }

  #advancePhase(): void {
    const { now } = this.#scheduler
    const lasted = now - this.#phaseSince
    switch (this.#phase) {
      case 'faults':
        if (now >= this.#configuration.ticks * 1000 && this.#isLoadWritten(lasted)) this.#calmDown()
        return
      case 'calm':
        if (!this.#isHealthy()) return this.#mustNotLast(lasted, 'not all nodes are up and streaming')
        if (lasted < this.#configuration.settleMs * 1000) return
        if (this.#pending > 0) return this.#mustNotLast(lasted, `${this.#pending} answers are missing`)
        this.#enter('last words')
        for (const client of this.#clients) client.writeMore(LAST_SESSIONS)
        return
      case 'last words':
        this.#bootAll()
        if (this.#clients.some(({ isDone }) => !isDone) || this.#pending > 0)
          return this.#mustNotLast(lasted, `last sessions: ${this.#pending} answers are missing`)
        if (this.#isLevel()) this.#enter('quiet')
        else this.#mustNotLast(lasted, 'the logs are not level')
        return
      case 'quiet':
        this.#bootAll()
        // a MARK that an idle channel has written meanwhile may still be on its way
        if (!this.#isLevel()) return this.#mustNotLast(lasted, 'the logs are not level any more')
        if (this.#configuration.rot === undefined) return this.#enter('over')
        if (lasted > QUIET_MICROS) this.#beginRot(this.#configuration.rot)
        return
      case 'rot':
        return this.#mustNotLast(lasted, 'a damaged node has neither started nor refused')
      case 'mending':
        if (this.#rot instanceof ReplicaRot && this.#isHealthy() && this.#rot.isMended(this.#cluster.master.disk))
          return this.#enter('over')
        return this.#mustNotLast(lasted, 'a damaged replica does not hold what its master holds')
      case 'over':
        return
    }
  }

  /** Applications that are cut off for long do not hold up the run. */
  #isLoadWritten(lasted: number): boolean {
    return this.#clients.every(({ isDone }) => isDone) || lasted > 2 * this.#configuration.ticks * 1000
  }

  #calmDown(): void {
    this.#say('calm: no more faults')
    this.#enter('calm')
    this.#faults.end()
    this.#pace.stepsPerPause = 0
    for (const client of this.#clients) client.stop()
    for (const node of this.#cluster.nodes) node.boot()
  }

  /** Everything was checked before: what rots now is checked by itself. */
  #beginRot(drawn: RotKind): void {
    this.#checkers.atEnd()
    const { master, members } = this.#cluster
    const random = streamOf(this.#configuration.seed, 'faults', 1)
    const victims = ['log', 'log', 'replica', ...ROT_RECORDS] as const
    const victim = victims[random.below(victims.length)]!
    const node = victim === 'replica' ? (members[random.below(Math.max(1, members.length))] ?? master) : master
    node.losePower('all')
    const view = this.#checkers.view(node.name)
    const isRecord = victim === 'manifest' || victim === 'recovery point'
    const kind = isRecord && random.chance(3, 4) ? 'flipped bit' : drawn // whole sectors of a record are easily noticed
    if (isRecord) this.#rot = RecordRot.of(node, victim, kind, random)
    else this.#rot = (node === master ? Rot : ReplicaRot).of(node, view, kind, random)
    if (this.#rot === undefined) return this.#enter('over')
    this.#say(`${kind}: ${this.#rot.describe()}`)
    this.#enter('rot')
    node.boot()
  }

  #judgeRot(error: Error | undefined): void {
    this.#rot?.judge(error)
    this.#enter('over')
  }

  #enter(phase: 'calm' | 'last words' | 'quiet' | 'rot' | 'mending' | 'over'): void {
    this.#phase = phase
    this.#phaseSince = this.#scheduler.now
  }

  #mustNotLast(lasted: number, what: string): void {
    if (lasted > CALM_MICROS_MAX)
      throw new Violation('liveness', `${what}, ${CALM_MICROS_MAX / 1e6} s after the last fault`)
  }

  get #pending(): number {
    return this.#clients.reduce((sum, { pending }) => sum + pending, 0)
  }

  /** After the calm too: a flush of a name that failed before ends its node when that gets to the segment. */
  #bootAll(): void {
    for (const node of this.#cluster.nodes) if (!node.isUp) node.boot()
  }

  #isHealthy(): boolean {
    this.#bootAll()
    const status = this.#cluster.master.running?.status()
    const { leaves } = this.#cluster
    return (
      status?.replicas.every(({ state }) => state === 'streaming') === true &&
      leaves.every((leaf) => this.#cluster.isFed(leaf))
    )
  }

  #isLevel(): boolean {
    this.#checkers.look()
    const ends = this.#cluster.nodes.map(({ name }) =>
      this.#checkers
        .view(name)
        .channels.map(({ end }) => end)
        .join(),
    )
    return ends.every((end) => end === ends[0])
  }

  #newClient(index: number, habit: Configuration['clients'][number]): SimClient {
    const { seed, replicas } = this.#configuration
    const name = `127.0.2.${index + 1}`
    const scheduler = this.#scheduler
    const actor = new Actor(`client ${name}`, {
      life: { name, isAlive: true },
      scheduler,
      pace: this.#pace,
      usesPromises: true,
    })
    const random = streamOf(seed, 'clients', index)
    const secrets = streamOf(seed, 'clients', 4 + index)
    const world: World = {
      clock: simClock(scheduler, actor, { parts: 1000, offsetMs: 0 }),
      network: this.#network.door(name, actor),
      randomBytes: (bytes) => Buffer.from(Array.from({ length: bytes }, () => secrets.below(256))),
    }
    return new SimClient(
      {
        name,
        actor,
        world,
        random,
        habit,
        addresses: this.#cluster.nodes.map(({ address }) => address),
        replicas: replicas > 0,
        history: this.#history,
        nextId: () => ++this.#ids,
        nowMicros: () => scheduler.now,
        onStored: (session) => this.#checkers.answeredStored(session, session.stored!), // set right before
        onPropagated: (session) => this.#checkers.answeredPropagated(session, session.propagated!), // the same
      },
      habit.sessions,
    )
  }

  #observer(): NodeObserver {
    const of = (node: SimNode): ClusterNode => node as ClusterNode // the cluster makes no others
    return {
      onRecovered: (node) => {
        if (this.#rot?.isOf(node) === true) {
          if (this.#rot instanceof ReplicaRot) return // what its disk has lost is looked at when it is mended
          this.#rot.recovered()
        }
        if (of(node).isMaster) this.#checkers.recoveredMaster(node.name)
        else this.#checkers.recovered(node.name)
      },
      onStarted: (node) => {
        this.#say(`${node.name} has started, life ${node.lives}`)
        if (this.#rot?.isOf(node) !== true) return
        this.#enter(this.#rot instanceof ReplicaRot ? 'mending' : 'over') // a recovery point is a hint
      },
      onEnding: (node) => this.#checkers.ending(node.name),
      onDown: (node, error) => {
        this.#checkers.down(node.name)
        this.#say(`${node.name} is down${error === undefined ? '' : `: ${error.message}`}`)
        if (this.#rot?.isOf(node) === true) return this.#judgeRot(error)
        if (error !== undefined) this.#judgeDown(of(node), error)
        if (!this.#faults.isOver) this.#faults.restartLater(of(node))
      },
      onLog: (node, level, text) => this.#say(`${node.name} ${level}: ${text}`),
    }
  }

  /**
   * A node may stop because of its disk, never for what it found in files that nobody has damaged. When all were up behind
   * the last fault, only what one of them has remembered is left to stop it.
   */
  #judgeDown(node: ClusterNode, error: Error): void {
    const isSettled = this.#phase === 'last words' || this.#phase === 'quiet'
    const isExcused = !isSettled || error.message.includes('its name could not be flushed')
    if (error instanceof TravertineError && DISK_CODES.has(error.code) && isExcused) return
    this.#failure ??= new Violation('start', `${node.name} went down: ${error.stack ?? error.message}`)
  }

  #onError(error: unknown, actor: Actor | undefined): void {
    if (error instanceof LifeEnded) return
    const failure = asError(error)
    this.#say(`${failure.name} in ${actor?.name ?? 'the simulator'}: ${failure.message}`)
    this.#failure ??= failure
  }
}

const DISK_CODES: ReadonlySet<string> = new Set(['DISK_FULL', 'DISK_FAILED', 'CHANNEL_POISONED'])
