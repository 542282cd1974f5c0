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
import { ChannelThreads } from './io/channel-threads.ts'
import { JobPool } from './io/job-pool.ts'
import { checkPorts, fullConfig, type LogLine, type NodeConfig } from './node-config.ts'
import type { NodeStatus } from './node-status.ts'
import { openLog } from './open-log.ts'
import { RunningNode } from './running-node.ts'

export { type InitOptions, initNode } from './init-node.ts'
export type { LogLine, NodeConfig, NodeStatus }

/** A node that is up. */
export interface TravertineNode {
  /** Where clients and peers find it. */
  readonly host: string
  readonly port: number
  readonly logPorts: readonly number[]
  status(): NodeStatus
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
  checkPorts(full, readManifest(new NodeDisk(), full.directory).channels)
  const lock = lockDirectory(full.directory)
  const pool = new JobPool()
  try {
    const manifest = readManifest(new NodeDisk(), full.directory)
    const log = await openLog(pool, nodeWorld, { directory: full.directory, manifest })
    const node = new RunningNode({
      config: full,
      log,
      world: nodeWorld,
      pool,
      openChannels: (options) => new ChannelThreads(options),
    })
    await node.start()
    return handle(node, full.host, pool, lock)
  } catch (error) {
    await pool.close()
    lock.close()
    throw error
  }
}

function handle(node: RunningNode, host: string, pool: JobPool, lock: DirectoryLock): TravertineNode {
  const release = async (): Promise<void> => {
    await pool.close()
    lock.close()
  }
  const closed = node.closed.then(release, async (thrown: unknown) => {
    await release()
    throw asError(thrown)
  })
  closed.catch(() => undefined) // whoever asks for `closed` hears of it; nobody asking is no crash of its own
  return {
    host,
    port: node.port,
    logPorts: node.logPorts,
    status: () => node.status(),
    close: async () => {
      node.shutdown()
      await closed.catch((thrown: unknown) => {
        if (!(thrown instanceof TravertineError)) throw asError(thrown)
      })
    },
    closed,
  }
}
