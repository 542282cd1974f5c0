/**
 * `startNode`: one node in this process, as `travertine run` does it, or embedded in another program.
 *
 * The control thread (this one) opens the directory, starts the channel threads, and then only moves messages between
 * sockets, threads and the core. It never waits for a disk after the start, so a loaded node still answers heartbeats.
 */
import { resolve } from 'node:path'
import { asError, TravertineError } from '../protocol/errors.ts'
import type { DirectoryLock } from '../wal/directory-lock.ts'
import { lockDirectory } from '../wal/directory-lock.ts'
import { readManifest } from '../wal/manifest.ts'
import { NodeDisk } from '../wal/node-disk.ts'
import { nodeWorld } from '../world/node-world.ts'
import type { AdminServer } from './io/admin-server.ts'
import { ChannelThreads } from './io/channel-threads.ts'
import { JobPool } from './io/job-pool.ts'
import { probePorts } from './io/port-probe.ts'
import {
  type AdminAddress,
  checkCascade,
  checkPorts,
  fullConfig,
  type LogLine,
  type NodeConfig,
  type NodeSecurity,
} from './node-config.ts'
import { type Health, NodeProbe, type Readiness } from './node-probe.ts'
import type { NodeStatus } from './node-status.ts'
import { openLog } from './open-log.ts'
import { RunningNode } from './running-node.ts'
import { Security } from './security.ts'

export { type InitOptions, initNode } from './init-node.ts'
export type { LogLine, NodeConfig, NodeSecurity, NodeStatus }

/** A node that is up. */
export interface TravertineNode {
  /** Where clients and peers find it. */
  readonly host: string
  readonly port: number
  readonly logPorts: readonly number[]
  /** Of the admin HTTP server, if there is one. */
  readonly admin: AdminAddress | undefined
  status(): NodeStatus
  /** From now on a replica feeds these. @throws CONFIG_INVALID */
  feed(replicas: readonly string[]): void
  /** From now on these hold for new connections; those that are up stay. Whether there is TLS at all is fixed. @throws CONFIG_INVALID */
  renewSecurity(security: Pick<NodeSecurity, 'secrets' | 'tls'>): void
  health(): Health
  readiness(): Readiness
  /** Drains within its limit, closes everything, lets the directory go. */
  close(): Promise<void>
  /** Resolves when the node has been closed; rejects when it had to stop by itself (a poisoned channel). */
  readonly closed: Promise<void>
}

/**
 * Starts a node on an existing data directory. Resolves when it listens.
 *
 * @throws DIRECTORY_MISSING, DIRECTORY_NOT_INITIALISED, DIRECTORY_LOCKED, DIRECTORY_READ_ONLY, FORMAT_UNSUPPORTED,
 *   MANIFEST_CORRUPT, LOG_DAMAGED, LOG_INCOMPLETE, PORT_IN_USE, CONFIG_INVALID, DISK_FULL, DISK_FAILED
 */
export async function startNode(config: NodeConfig): Promise<TravertineNode> {
  const full = fullConfig({ ...config, directory: resolve(config.directory) })
  // says what is wrong with the directory before a lock file is made in it
  const { channels } = readManifest(new NodeDisk(), full.directory)
  checkPorts(full, channels)
  const parts = new NodeParts(full.directory, channels, full.onLog)
  const { pool, probe } = parts
  const onLog = (line: LogLine): void => {
    if (line.code !== undefined) probe.countError(line.code)
    full.onLog(line)
  }
  try {
    const security = new Security(full.security)
    const admin = await parts.startAdmin(full.admin, security)
    const manifest = readManifest(new NodeDisk(), full.directory)
    const { world } = security
    await probePorts(world.network, full.host, full.port, 1 + channels)
    const log = await openLog(pool, world, { directory: full.directory, manifest, progress: probe.recovery.memory })
    const node = new RunningNode({
      config: { ...full, onLog },
      log,
      world,
      pool,
      openChannels: (options) => security.watch(new ChannelThreads({ ...options, tls: security.tls })),
      secrets: () => security.secrets,
      stats: probe.stats,
      onTold: (code) => probe.countError(code),
    })
    await node.start()
    if (full.cascade.replicas.length > 0 && manifest.role === 'master') node.feed(full.cascade.replicas) // says that it cannot
    probe.working(() => node.status())
    return handle(node, { host: full.host, admin, parts, security })
  } catch (error) {
    await parts.release()
    throw error
  }
}

/** What a node holds from its first moment to its last. */
class NodeParts {
  readonly probe: NodeProbe
  readonly pool = new JobPool()
  readonly #lock: DirectoryLock
  #admin: AdminServer | undefined

  /** @throws DIRECTORY_LOCKED, DIRECTORY_READ_ONLY */
  constructor(directory: string, channels: number, onLog: (line: LogLine) => void) {
    this.#lock = lockDirectory(directory)
    this.probe = new NodeProbe(channels, nodeWorld.clock, (text) => onLog({ level: 'info', text }))
  }

  /** @throws PORT_IN_USE, CONFIG_INVALID */
  async startAdmin(address: AdminAddress | undefined, security: Security): Promise<AdminAddress | undefined> {
    if (address === undefined) return undefined
    const { AdminServer } = await import('./io/admin-server.ts') // a large package: only for nodes that have one
    this.#admin = security.watch(new AdminServer(this.probe, address.tls === true ? security.tls : undefined))
    return { host: address.host, port: await this.#admin.listen(address.host, address.port) }
  }

  async release(): Promise<void> {
    this.#admin?.close()
    this.probe.close()
    await this.pool.close()
    this.#lock.close()
  }
}

interface HandleParts {
  readonly host: string
  readonly admin: AdminAddress | undefined
  readonly parts: NodeParts
  readonly security: Security
}

function handle(node: RunningNode, { host, admin, parts, security }: HandleParts): TravertineNode {
  const closed = node.closed.then(
    () => parts.release(),
    async (thrown: unknown) => {
      await parts.release()
      throw asError(thrown)
    },
  )
  closed.catch(() => undefined) // whoever asks for `closed` hears of it; nobody asking is no crash of its own
  return {
    host,
    port: node.port,
    logPorts: node.logPorts,
    admin,
    status: () => node.status(),
    feed: (replicas) => {
      checkCascade(replicas)
      node.feed(replicas)
    },
    renewSecurity: (renewed) => security.renew(renewed),
    health: () => parts.probe.health(),
    readiness: () => parts.probe.readiness(),
    close: async () => {
      parts.probe.stopping()
      node.shutdown()
      await closed.catch((thrown: unknown) => {
        if (!(thrown instanceof TravertineError)) throw asError(thrown)
      })
    },
    closed,
  }
}
