/**
 * What goes wrong in a run, and when. Each fault is drawn with its moment before the run begins and told when it happens.
 */
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { Cluster, ClusterNode } from './cluster.ts'
import type { Configuration, FaultKind } from './configuration.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimNetwork } from './sim-network.ts'
import type { Survival } from './sim-node.ts'

export interface FaultsOptions {
  readonly configuration: Configuration
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly cluster: Cluster
  readonly random: SeededRandom
  readonly say: (text: string) => void
  /** The replica got another disk. */
  readonly onReplaced: (node: ClusterNode) => void
  /** The node has started as master in the place of another one. */
  readonly onChangedMaster: (node: ClusterNode) => void
  /** Is this replica fit for it, by what its files hold (candidate.ts)? Only then an operator may make it the master. */
  readonly mayBecomeMaster: (node: ClusterNode) => boolean
}

const DURATION_MICROS_MAX = 2_000_000
/** A pause that a peer notices takes longer than its heartbeats. */
const PAUSE_MICROS_MAX = 6_000_000
const RESTART_MICROS_MAX = 300_000
const RETURN_MICROS_MAX = 50_000

export class Faults {
  readonly #options: FaultsOptions
  readonly injected = new Map<FaultKind, number>()
  isOver = false

  constructor(options: FaultsOptions) {
    this.#options = options
    const { configuration, random, scheduler } = options
    for (let i = 0; i < configuration.faultCount; i++) {
      const kind = configuration.faults[random.below(configuration.faults.length)]!
      scheduler.at(random.below(configuration.ticks * 1000), () => this.#inject(kind))
    }
    for (let i = 0; i < configuration.feederFaults; i++)
      scheduler.at(random.below(configuration.ticks * 1000), () => this.#inject('power of a feeder in its flush'))
  }

  /** A process has ended; it is started again, soon. */
  restartLater(node: ClusterNode): void {
    const { scheduler, random, configuration } = this.#options
    const { recoveriesPerEnd } = configuration
    scheduler.in(random.below(RESTART_MICROS_MAX), () => {
      if (this.isOver || node.isUp) return
      if (recoveriesPerEnd > 0 && random.chance(1, recoveriesPerEnd)) {
        const steps = 1 + random.below(60)
        this.#say(`${node.name} starts, and ends within ${steps} operations`)
        node.endWithin(steps, this.#survivalOrKill())
      }
      node.boot()
    })
  }

  /** Everything works again. */
  end(): void {
    const { network, cluster } = this.#options
    this.isOver = true
    network.healAll()
    for (const node of cluster.nodes) {
      node.endWithin(0, 'kill')
      node.diskFactor = 1
      node.disk.mend()
    }
  }

  #inject(kind: FaultKind): void {
    if (this.isOver) return
    const node = this.#someNode()
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1)
    this.#say(`${kind}${isOfNode(kind) ? ` ${node.name}` : ''}`)
    this.#acts[kind](node)
  }

  readonly #acts: Readonly<Record<FaultKind, (node: ClusterNode) => void>> = {
    kill: (node) => node.kill(),
    power: (node) => node.losePower(this.#survival()),
    'kill then power': (node) => {
      node.kill()
      node.boot()
      this.#options.scheduler.in(this.#duration(20_000), () => {
        if (!this.isOver) node.losePower(this.#survival())
      })
    },
    'several at once': () => {
      const { cluster, random } = this.#options
      for (const node of cluster.nodes) {
        if (random.chance(2, 3)) node.losePower(this.#survival())
        else node.kill()
      }
    },
    'end in the middle': (node) => node.endWithin(1 + this.#options.random.below(120), this.#survivalOrKill()),
    'pause node': (node) => node.pause(this.#duration(PAUSE_MICROS_MAX)),
    'pause thread': (node) => node.pauseOneThread(this.#options.random, this.#duration(PAUSE_MICROS_MAX)),
    'pause channel': (node) => node.pauseOneChannel(this.#options.random, this.#duration(DURATION_MICROS_MAX)),
    'cut one way': (node) => this.#cut(node, this.#otherThan(node), false),
    'cut both ways': (node) => this.#cut(node, this.#otherThan(node), true),
    'reset connection': () => this.#break(true, true),
    'half-open connection': () => this.#break(this.#options.random.chance(1, 2), false),
    // in turns; a file's first, since many runs have only one
    'flush fails': (node) =>
      node.disk.fail({ kind: this.injected.get('flush fails')! % 2 === 1 ? 'syncData' : 'syncDirectory' }), // counted right before
    'disk full': (node) => {
      node.disk.setCapacity(0)
      this.#later(() => node.disk.setCapacity(Number.POSITIVE_INFINITY))
    },
    'slow disk': (node) => {
      node.diskFactor = 1 + this.#options.random.below(200)
      this.#later(() => {
        node.diskFactor = 1
      })
    },
    'slow network': () => {
      this.#options.network.latencyFactor = 1 + this.#options.random.below(100)
      this.#later(() => {
        this.#options.network.latencyFactor = 1
      })
    },
    restart: (node) => node.shutdown(),
    'replace replica': () => {
      const { cluster, random } = this.#options
      const node = cluster.replicas[random.below(cluster.replicas.length)]!
      node.losePower('none')
      cluster.replaceReplica(node)
      this.#options.onReplaced(node)
      this.restartLater(node)
    },
    'return to a paused channel': () => this.#returnToPausedChannel(),
    'change master': () => this.#changeMaster(),
    'power of a feeder in its flush': () => {
      const feeder = this.#options.cluster.members[0]! // there is one where a replica feeds another
      feeder.endAtFlush(this.#options.random.chance(1, 3) ? 'some' : 'none')
    },
  }

  /** A replica goes and comes back, often another one in its place, while one of the master's channels notices nothing. */
  #returnToPausedChannel(): void {
    const { cluster, random, scheduler, onReplaced } = this.#options
    const node = cluster.members[random.below(cluster.members.length)]!
    cluster.master.pauseOneChannel(random, 500_000 + this.#duration(DURATION_MICROS_MAX))
    node.kill()
    if (random.chance(1, 2)) {
      cluster.replaceReplica(node)
      onReplaced(node)
    }
    scheduler.in(random.below(RETURN_MICROS_MAX), () => {
      if (!this.isOver && !node.isUp) node.boot()
    })
  }

  #changeMaster(): void {
    const { cluster, random, mayBecomeMaster, onChangedMaster } = this.#options
    const from = cluster.master
    const to = cluster.members[random.below(cluster.members.length)]!
    from.losePower(this.#survival())
    if (random.chance(1, 2)) to.kill()
    else to.losePower(this.#survival())
    if (mayBecomeMaster(to)) {
      from.disk.mend()
      to.disk.mend()
      cluster.changeMaster(to)
      this.#say(`${to.name} becomes master`)
      onChangedMaster(to)
    }
    this.restartLater(to)
    this.restartLater(from)
  }

  #cut(a: ClusterNode, b: ClusterNode, bothWays: boolean): void {
    const { network } = this.#options
    network.cut(a.name, b.name)
    if (bothWays) network.cut(b.name, a.name)
    const micros = this.#duration(PAUSE_MICROS_MAX)
    this.#options.scheduler.in(micros, () => {
      network.heal(a.name, b.name)
      if (bothWays) network.heal(b.name, a.name)
    })
  }

  #break(isFirstTold: boolean, isSecondTold: boolean): void {
    const { network, random } = this.#options
    const end = network.someConnection(random)
    if (end !== undefined) network.breakConnection(end, { here: isFirstTold, there: isSecondTold })
  }

  #later(act: () => void): void {
    this.#options.scheduler.in(this.#duration(DURATION_MICROS_MAX), act)
  }

  #duration(max: number): number {
    return 1 + this.#options.random.below(max)
  }

  #survival(): Survival {
    return (['none', 'some', 'some', 'some', 'all'] as const)[this.#options.random.below(5)]! // of five
  }

  #survivalOrKill(): Survival | 'kill' {
    return this.#options.random.chance(1, 3) ? 'kill' : this.#survival()
  }

  #someNode(): ClusterNode {
    const { cluster, random } = this.#options
    return cluster.nodes[random.below(cluster.nodes.length)]!
  }

  #otherThan(node: ClusterNode): ClusterNode {
    const { cluster, random } = this.#options
    const others = cluster.nodes.filter((other) => other !== node)
    return others[random.below(others.length)]!
  }

  #say(text: string): void {
    this.#options.say(`fault: ${text}`)
  }
}

const isOfNode = (kind: FaultKind): boolean =>
  ![
    'several at once',
    'reset connection',
    'half-open connection',
    'slow network',
    'replace replica',
    'return to a paused channel',
    'change master',
    'power of a feeder in its flush',
  ].includes(kind)
