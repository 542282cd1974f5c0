/**
 * The simulated cluster of one run: nodes, who is master of whom, and the acts of its operator: init, replace a lost
 * replica, make a replica the master.
 */
import { type ClusterConfig, EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
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

  /** A replica feeds it; it is no member. */
  isLeaf = false

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
    const { replicas, isCascaded } = configuration
    this.nodes = Array.from({ length: 1 + replicas + Number(isCascaded) }, (_, i) => this.#newNode(i))
    for (const node of this.nodes.slice(1 + replicas)) node.isLeaf = true
    for (const [i, node] of this.nodes.entries()) this.#init(node, i === 0 ? 'master' : 'replica')
  }

  get master(): ClusterNode {
    return this.nodes.find(({ isMaster }) => isMaster)! // there is always one
  }

  get replicas(): readonly ClusterNode[] {
    return this.nodes.filter(({ isMaster }) => !isMaster)
  }

  get members(): readonly ClusterNode[] {
    return this.replicas.filter(({ isLeaf }) => !isLeaf)
  }

  get leaves(): readonly ClusterNode[] {
    return this.replicas.filter(({ isLeaf }) => isLeaf)
  }

  /** It is fed by somebody. */
  isFed(leaf: ClusterNode): boolean {
    return this.members.some((member) =>
      member.running?.status().replicas.some(({ address, state }) => address === leaf.address && state === 'streaming'),
    )
  }

  /** Its disk is lost; another one takes its place, empty. */
  replaceReplica(node: ClusterNode): void {
    node.disk = new SimDisk({ sectorBytes: this.#options.configuration.sectorBytes })
    this.#init(node, 'replica')
  }

  /** Both are down. The old master comes back as a replica of the new one, and the others are told whom they feed now. */
  changeMaster(to: ClusterNode): void {
    const manifests = this.nodes.map(({ disk }) => readManifest(disk, DIRECTORY))
    const fence = highestTerm(manifests)
    const number = 1 + Math.max(...manifests.map(({ config }) => config.number))
    this.#setRole(this.master, 'replica', {})
    this.#setRole(to, 'master', { ...(fence === undefined ? {} : { fence }), config: this.#configOf(to, number) })
    for (const [index, { running }] of this.nodes.entries()) running?.feed(this.#fedBy(index))
  }

  #newNode(index: number): ClusterNode {
    const { configuration, scheduler, network, pace, observer } = this.#options
    const { seed, drifts, sectorBytes, syncMicrosMin, syncMicrosMax, epochSlots } = configuration
    return new ClusterNode({
      name: `127.0.1.${index + 1}`,
      scheduler,
      network,
      pace,
      random: streamOf(seed, 'disk', index),
      drift: { parts: drifts[index] ?? 1000, offsetMs: 1_000_000 * (index + 1) },
      disk: new SimDisk({ sectorBytes }),
      syncMicrosMin,
      syncMicrosMax,
      epochSlots,
      observer,
      cascade: () => this.#fedBy(index),
    })
  }

  #fedBy(index: number): readonly string[] {
    return this.nodes[index] === this.members[0] ? this.leaves.map(({ address }) => address) : []
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
      config: role === 'master' ? this.#configOf(node, 1) : EMPTY_CONFIG,
      history: [],
      fence: undefined,
    })
  }

  #setRole(node: ClusterNode, role: Role, change: Partial<Manifest>): void {
    node.role = role
    writeManifest(node.disk, DIRECTORY, { ...readManifest(node.disk, DIRECTORY), role, ...change })
  }

  /** All other nodes count for PROPAGATED, and none may be missing. */
  #configOf(node: ClusterNode, number: number): ClusterConfig {
    const names = Array.from({ length: 1 + this.#options.configuration.replicas }, (_, i) => `127.0.1.${i + 1}`)
    const members = names
      .filter((name) => name !== node.name)
      .map((name, i) => ({ row: i + 1, address: `${name}:${CONTROL_PORT}`, inSync: true, via: 0 }))
    return { ...EMPTY_CONFIG, number, quorum: members.length, members }
  }
}

/** The term of a new master is above all that any node has heard of. */
function highestTerm(manifests: readonly Manifest[]): Term | undefined {
  const terms = manifests.flatMap(({ history, fence }) => [history.at(-1)?.term, fence])
  return terms.reduce((a, b) => (a === undefined || (b !== undefined && b.number > a.number) ? b : a))
}
