/**
 * The systems that are compared, behind one small interface: each is a master and one replica on loopback, two processes,
 * with as many channels as asked for, started from an empty directory.
 */
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { endChild, nextMessage, startChild } from './child-process.ts'
import type { FloorMasterOrder } from './floor-master.ts'
import type { FloorReplicaOrder } from './floor-replica.ts'
import type { NodeOrder } from './travertine-node.ts'

export type SystemName = 'floor' | 'travertine'

export interface RunningSystem {
  /** What a client connects to. */
  readonly address: string
  readonly pids: { readonly master: number; readonly replica: number }
  /** Ends both processes and removes their files. */
  stop(): Promise<void>
}

export interface SystemOptions {
  /** Does not exist yet. */
  readonly directory: string
  readonly channels: number
  /** Size of a segment, and of the file that the floor overwrites. */
  readonly segmentBytes: number
  readonly profileDirectory: string | undefined
}

/** Preparing files is part of starting, and eight of them may be prepared on a slow disk. */
const START_MS_MAX = 60_000

const FLOOR_MASTER = new URL('./floor-master.js', import.meta.url)
const FLOOR_REPLICA = new URL('./floor-replica.js', import.meta.url)
const TRAVERTINE_NODE = new URL('./travertine-node.js', import.meta.url)

export async function startSystem(name: SystemName, options: SystemOptions): Promise<RunningSystem> {
  mkdirSync(options.directory)
  return name === 'floor' ? startFloor(options) : startTravertine(options)
}

async function startFloor({
  directory,
  channels,
  segmentBytes,
  profileDirectory,
}: SystemOptions): Promise<RunningSystem> {
  const replicaOrder: FloorReplicaOrder = { directory, channels, fileBytes: segmentBytes }
  const replica = startChild(FLOOR_REPLICA, [JSON.stringify(replicaOrder)], profileDirectory)
  const { ports } = await nextMessage(replica, "the floor's replica", START_MS_MAX)
  // cast: as floor-replica.ts sends them
  const masterOrder: FloorMasterOrder = { directory, replicaPorts: ports as number[], fileBytes: segmentBytes }
  const master = startChild(FLOOR_MASTER, [JSON.stringify(masterOrder)], profileDirectory)
  const { port } = await nextMessage(master, "the floor's master", START_MS_MAX)
  return running({ directory, port: port as number, master, replica }) // as floor-master.ts sends it
}

async function startTravertine(options: SystemOptions): Promise<RunningSystem> {
  const { directory, channels, segmentBytes, profileDirectory } = options
  const clusterId = randomUUID()
  const start = async (role: NodeOrder['role'], replicas: readonly string[]) => {
    const order: NodeOrder = { directory: join(directory, role), role, clusterId, channels, segmentBytes, replicas }
    const child = startChild(TRAVERTINE_NODE, [JSON.stringify(order)], profileDirectory)
    const { port } = await nextMessage(child, `Travertine's ${role}`, START_MS_MAX)
    return { child, port: port as number } // as travertine-node.ts sends it
  }
  const replica = await start('replica', [])
  const master = await start('master', [`127.0.0.1:${replica.port}`])
  return running({ directory, port: master.port, master: master.child, replica: replica.child })
}

function running(parts: {
  directory: string
  port: number
  master: ChildProcess
  replica: ChildProcess
}): RunningSystem {
  const { directory, port, master, replica } = parts
  return {
    address: `127.0.0.1:${port}`,
    pids: { master: pidOf(master), replica: pidOf(replica) },
    async stop() {
      await endChild(master)
      await endChild(replica)
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('Cannot measure: a process could not be started')
  return child.pid
}
