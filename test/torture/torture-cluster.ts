/**
 * The cluster of a torture run: a master and its replicas as real processes, each behind a proxy of its own.
 *
 * Nodes listen on one loopback address, their proxies on another one with the same port numbers. The master knows its
 * replicas by the proxies' addresses, so that control and log connections can be cut. Ports are chosen once: a node that
 * is started again listens where it did before.
 */
import { randomInt } from 'node:crypto'
import { appendFileSync, cpSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { initNode } from '../../daemon/node.ts'
import { MIB } from '../../protocol/limits.ts'
import { checkAnswered, type NodeLog } from './checker.ts'
import { ClientHistory } from './client-history.ts'
import { changedSince, lostSince, readLog, type Settled, settledOf, unsettled } from './log-files.ts'
import { NodeProxy } from './node-proxy.ts'
import { NODES, type NodeName } from './plan.ts'
import { SmallDisk } from './small-disk.ts'
import { TortureNode } from './torture-node.ts'

const NODE_HOST = '127.0.0.1'
const PROXY_HOST = '127.0.0.2'
/** Below the ports that the system gives out by itself, and away from those that other tests draw. */
const PORT_MIN = 30_000
const PORT_MAX = 32_700
/** Beside the node's directory, where files are kept in the end. */
const SMALL_DISK = 'small-disk'
/** Small: a run should change segments often. */
const SEGMENT_BYTES = MIB / 4
const LOOK_MS = 5
const CLUSTER_ID = '00000000-0000-4000-8000-0000000070f7'

export interface Member {
  readonly node: TortureNode
  readonly proxy: NodeProxy
}

/** Which node has a small disk, and the disk; or why this machine does not allow one. */
export interface SmallDiskOf {
  readonly name: NodeName
  readonly disk: SmallDisk | string
}

export class TortureCluster {
  readonly root: string
  readonly channels: number
  /** What its writers were told. */
  readonly history = new ClientHistory()
  readonly #members: ReadonlyMap<NodeName, Member>
  readonly #ports: ReadonlyMap<NodeName, number>
  readonly #startedAt = performance.now()
  /** Frames that nodes have cut off their logs, as far as they were seen before. */
  cutFrames = 0
  /** Disks that ran full, as far as the node has noticed. */
  fullDisks = 0
  /** Logs as they were seen since all were level, without what was settled then. */
  #seen: NodeLog[] = []
  #faults: string[] = []
  /** Sessions of the history that are in the settled part, or never will be. */
  #settledSessions = 0
  readonly #settled = new Map<NodeName, Settled>()
  readonly smallDisk: SmallDiskOf
  #closed = false

  private constructor(
    root: string,
    channels: number,
    { ports, smallDisk }: { ports: ReadonlyMap<NodeName, number>; smallDisk: SmallDiskOf },
  ) {
    this.root = root
    this.channels = channels
    this.smallDisk = smallDisk
    this.#ports = ports
    this.#members = new Map(NODES.map((name) => [name, this.#member(name)]))
  }

  /** @param root an empty directory; a log of events and the nodes' own logs are there as well */
  static async create(root: string, channels: number, onSmallDisk: NodeName): Promise<TortureCluster> {
    const smallDisk = { name: onSmallDisk, disk: await SmallDisk.mount(join(root, SMALL_DISK)) }
    const first = await freePorts(NODES.length * (1 + channels))
    const ports = new Map(NODES.map((name, i) => [name, first + i * (1 + channels)]))
    const cluster = new TortureCluster(root, channels, { ports, smallDisk })
    const common = { clusterId: CLUSTER_ID, channels, segmentBytes: SEGMENT_BYTES }
    for (const [name, { node, proxy }] of cluster.#members) {
      if (name !== 'master') initNode({ ...common, directory: node.directory, role: 'replica' })
      await proxy.listen()
    }
    const replicas = NODES.filter((name) => name !== 'master').map((name) => cluster.member(name).proxy.address)
    initNode({ ...common, directory: cluster.member('master').node.directory, role: 'master', replicas })
    return cluster
  }

  member(name: NodeName): Member {
    return this.#members.get(name)! // one for each name
  }

  get nodes(): readonly TortureNode[] {
    return [...this.#members.values()].map(({ node }) => node)
  }

  /** The master's control channel: past the proxy, so that nothing planned can be in the way. */
  get directAddress(): string {
    return `${NODE_HOST}:${this.#ports.get('master')}`
  }

  /** Starts a node that is down. Before it can change anything, its files are looked at as the end of the last life left them. */
  start(name: NodeName): void {
    const { node } = this.member(name)
    if (node.isUp || this.#closed) return
    // where the master starts, its replicas may have to cut what they hold
    for (const looked of name === 'master' ? NODES : [name]) this.#look(looked)
    node.start()
  }

  startAll(): void {
    for (const name of NODES) this.start(name)
  }

  /** Every node listens, or has ended by itself. */
  async untilReady(): Promise<void> {
    while (this.nodes.some(({ isReady, defects }) => !isReady && defects.length === 0)) await sleep(LOOK_MS)
  }

  event(text: string): void {
    const ms = (performance.now() - this.#startedAt).toFixed(0).padStart(7)
    appendFileSync(join(this.root, 'events.log'), `${ms} ${text}\n`)
  }

  /** The logs of all nodes, which are level now. @returns what has gone or changed that was seen there before */
  settle(): { readonly logs: readonly NodeLog[]; readonly faults: readonly string[] } {
    const faults = this.#faults
    const logs = NODES.map((name) => {
      const { directory } = this.member(name).node
      const log = readLog(directory)
      faults.push(...changedSince(this.#settled.get(name) ?? [], name, log))
      for (const seen of this.#seen.filter((other) => other.name === name)) {
        const { cut, untraced } = lostSince(directory, seen.log, log)
        this.cutFrames += cut
        faults.push(...untraced)
      }
      this.#settled.set(name, settledOf(log))
      return { name, log }
    })
    this.#seen = []
    this.#faults = []
    this.#settledSessions = this.history.sessions.length
    return { logs, faults }
  }

  /** @param keepFiles also those that only were in memory */
  async close(keepFiles: boolean): Promise<void> {
    this.#closed = true
    await Promise.all(this.nodes.map((node) => node.kill()))
    for (const { proxy } of this.#members.values()) await proxy.close()
    const { name, disk } = this.smallDisk
    if (typeof disk === 'string') return
    // in memory they would be gone: whoever has found something wants to look
    if (keepFiles) cpSync(this.member(name).node.directory, join(this.root, name), { recursive: true })
    disk.close()
  }

  #look(name: NodeName): void {
    // records change as answers come in: what counts is what was known before the files are read
    const sessions = this.history.sessions.slice(this.#settledSessions).map((record) => ({ ...record }))
    const log = unsettled(readLog(this.member(name).node.directory), this.#settled.get(name) ?? [])
    const node = { name, log }
    this.#seen.push(node)
    const level = name === 'master' ? 'stored' : 'propagated'
    for (const { rule, text } of checkAnswered(node, sessions, level))
      this.#faults.push(`${rule}, before a start: ${text}`)
  }

  #member(name: NodeName): Member {
    const port = this.#ports.get(name)! // one for each name
    const { root, channels } = this
    const { disk } = this.smallDisk
    const small = name === this.smallDisk.name && typeof disk !== 'string' ? disk : undefined
    const node = new TortureNode({
      name,
      directory: join(small?.directory ?? root, name),
      disk: small,
      onDiskFull: () => void small?.untilRoom().then(() => this.start(name)),
      host: NODE_HOST,
      port,
      logFile: join(root, `${name}.log`),
      onEvent: (text) => this.event(text),
    })
    return { node, proxy: new NodeProxy({ host: PROXY_HOST, targetHost: NODE_HOST, port, channels }) }
  }
}

/** Everything in 127.0.0.0/8 is loopback on Linux; elsewhere a second address has to be set up. */
export async function hasSecondLoopback(): Promise<boolean> {
  return isFree(PROXY_HOST, 0).catch(() => false)
}

/** So many ports in a row, free on both addresses. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = randomInt(PORT_MIN, PORT_MAX - count)
    const ports = Array.from({ length: count }, (_, i) => first + i)
    const free = await Promise.all(ports.flatMap((port) => [isFree(NODE_HOST, port), isFree(PROXY_HOST, port)]))
    if (!free.includes(false)) return first
  }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    )
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}
