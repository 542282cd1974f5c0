/**
 * The simulated cluster of one run: nodes, who is master of whom, and the acts of its operator: init, replace a lost
 * replica, make a replica the master.
 */
import { clusterId, type NodeId, nodeId, type Term } from '../../protocol/ids.ts'
import { initDirectory } from '../../wal/init-directory.ts'
import { type Manifest, type Role, readManifest, writeManifest } from '../../wal/manifest.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { type Configuration, streamOf } from './configuration.ts'
import type { Pace, Scheduler } from './scheduler.ts'
import type { SimNetwork } from './sim-network.ts'
import { CONTROL_PORT, DIRECTORY, type NodeObserver, SimNode } from './sim-node.ts'

const CLUSTER = clusterId('0aaaaaaa-0000-4000-8000-000000000001')

/** A node with what the operator knows of it. */
export class ClusterNode extends SimNode {
  role: Role = 'replica'
  id: NodeId = nodeId('00000000-0000-4000-8000-000000000000')

  get isMaster(): boolean {
    return this.role === 'master'
  }

  get nodeId(): string {
    return this.id
  }
}

export interface ClusterOptions {
  readonly configuration: Configuration
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly pace: Pace
  readonly observer: NodeObserver
}

export class Cluster {
  readonly #options: ClusterOptions
  readonly nodes: readonly ClusterNode[]
  readonly #random: SeededRandom
  #idsMade = 0

  constructor(options: ClusterOptions) {
    this.#options = options
    const { configuration } = options
    this.#random = streamOf(configuration.seed, 'disk', 7)
    this.nodes = Array.from({ length: 1 + configuration.replicas }, (_, i) => this.#newNode(i))
    for (const [i, node] of this.nodes.entries()) this.#init(node, i === 0 ? 'master' : 'replica')
  }

  get master(): ClusterNode {
    return this.nodes.find(({ isMaster }) => isMaster)! // there is always one
  }

  get replicas(): readonly ClusterNode[] {
    return this.nodes.filter(({ isMaster }) => !isMaster)
  }

  /** Its disk is lost; another one takes its place, empty. */
  replaceReplica(node: ClusterNode): void {
    node.disk = new SimDisk({ sectorBytes: this.#options.configuration.sectorBytes })
    this.#init(node, 'replica')
  }

  /** Both are down. The old master comes back as a replica of the new one. */
  changeMaster(to: ClusterNode): void {
    const from = this.master
    this.#setRole(from, 'replica', undefined)
    this.#setRole(to, 'master', this.#highestTerm())
  }

  #newNode(index: number): ClusterNode {
    const { configuration, scheduler, network, pace, observer } = this.#options
    const { seed, drifts, sectorBytes, syncMicrosMin, syncMicrosMax } = configuration
    return new ClusterNode({
      name: `10.0.0.${index + 1}`,
      scheduler,
      network,
      pace,
      random: streamOf(seed, 'disk', index),
      drift: { parts: drifts[index]!, offsetMs: 1_000_000 * (index + 1) },
      disk: new SimDisk({ sectorBytes }),
      syncMicrosMin,
      syncMicrosMax,
      observer,
    })
  }

  #init(node: ClusterNode, role: Role): void {
    const { channels, segmentBytes } = this.#options.configuration
    this.#idsMade += 1
    const hex = (0x1000_0000 + this.#idsMade * 0x0100_0000 + this.#random.below(0xffff)).toString(16)
    node.id = nodeId(`${hex}-0000-4000-8000-000000000000`)
    node.role = role
    initDirectory(node.disk, DIRECTORY, {
      clusterId: CLUSTER,
      nodeId: node.id,
      role,
      channels,
      segmentBytes,
      ...this.#policy(role, node),
      history: [],
      fence: undefined,
    })
  }

  #setRole(node: ClusterNode, role: Role, fence: Term | undefined): void {
    node.role = role
    const manifest = readManifest(node.disk, DIRECTORY)
    const promised = fence === undefined ? {} : { fence }
    writeManifest(node.disk, DIRECTORY, { ...manifest, role, ...promised, ...this.#policy(role, node) })
  }

  /** The term of a new master is above all that any node has heard of. */
  #highestTerm(): Term | undefined {
    const terms = this.nodes.flatMap((node) => {
      const { history, fence } = readManifest(node.disk, DIRECTORY)
      return [history.at(-1)?.term, fence]
    })
    return terms.reduce((a, b) => (a === undefined || (b !== undefined && b.number > a.number) ? b : a))
  }

  #policy(role: Role, node: ClusterNode): Pick<Manifest, 'members' | 'quorum'> {
    if (role === 'replica') return { members: [], quorum: 0 }
    const names = Array.from({ length: 1 + this.#options.configuration.replicas }, (_, i) => `10.0.0.${i + 1}`)
    const others = names.filter((name) => name !== node.name)
    return {
      members: others.map((name, i) => ({ row: i + 1, address: `${name}:${CONTROL_PORT}` })),
      quorum: others.length,
    }
  }
}
