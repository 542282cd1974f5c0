/**
 * The systems that are compared, behind one small interface: each is a master and its replicas on loopback, a process
 * each, with as many channels as asked for, started from an empty directory, with its files prepared.
 */
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { endChild, nextMessage, startChild } from './child-process.ts'
import type { FloorMasterOrder } from './floor-master.ts'
import type { FloorReplicaOrder } from './floor-replica.ts'
import type { NodeOrder } from './travertine-node.ts'

/** `watched`: Travertine whose nodes are scraped each second, and log at the default level as JSON. */
export const SYSTEM_NAMES = ['floor', 'travertine', 'watched'] as const
export type SystemName = (typeof SYSTEM_NAMES)[number]

export interface RunningSystem {
  /** What a client connects to. */
  readonly address: string
  readonly pids: { readonly master: readonly number[]; readonly replica: readonly number[] }
  /** Ends all processes and removes their files. */
  stop(): Promise<void>
}

export interface SystemOptions {
  /** Does not exist yet. */
  readonly directory: string
  readonly channels: number
  readonly replicas: number
  /** Size of a segment, and of the file that the floor overwrites. */
  readonly segmentBytes: number
  /** Segments that each channel of Travertine has prepared before it is measured. */
  readonly segmentsAhead: number
  readonly profileDirectory: string | undefined
}

/** A Prometheus asks every 15 s, or more seldom. */
const SCRAPE_MS = 1_000
/** Preparing files is part of starting, and it may be gigabytes on a slow disk. */
const START_MS_MAX = 300_000

const FLOOR_MASTER = new URL('./floor-master.js', import.meta.url)
const FLOOR_REPLICA = new URL('./floor-replica.js', import.meta.url)
const TRAVERTINE_NODE = new URL('./travertine-node.js', import.meta.url)

export async function startSystem(name: SystemName, options: SystemOptions): Promise<RunningSystem> {
  mkdirSync(options.directory)
  return name === 'floor' ? startFloor(options) : startTravertine(options, name === 'watched')
}

async function startFloor(options: SystemOptions): Promise<RunningSystem> {
  const { directory, channels, segmentBytes, profileDirectory } = options
  const replicas: ChildProcess[] = []
  const ports: number[][] = []
  for (const name of replicaNames(options)) {
    const place = join(directory, name)
    mkdirSync(place)
    const order: FloorReplicaOrder = { directory: place, channels, fileBytes: segmentBytes }
    const child = startChild(FLOOR_REPLICA, [JSON.stringify(order)], profileDirectory)
    const { ports: own } = await nextMessage(child, "the floor's replica", START_MS_MAX)
    replicas.push(child)
    ports.push(own as number[]) // as floor-replica.ts sends them
  }
  const replicaPorts = Array.from({ length: channels }, (_, channel) => ports.map((own) => own[channel] ?? 0))
  const order: FloorMasterOrder = { directory, replicaPorts, fileBytes: segmentBytes }
  const master = startChild(FLOOR_MASTER, [JSON.stringify(order)], profileDirectory)
  const { port } = await nextMessage(master, "the floor's master", START_MS_MAX)
  return running({ directory, port: port as number, master, replicas }) // as floor-master.ts sends it
}

async function startTravertine(options: SystemOptions, isWatched: boolean): Promise<RunningSystem> {
  const { directory, channels, segmentBytes, segmentsAhead, profileDirectory } = options
  const shared = { clusterId: randomUUID(), channels, segmentBytes, segmentsAhead, isWatched }
  const scraped: number[] = []
  const start = async (name: string, role: NodeOrder['role'], replicas: readonly string[]) => {
    const order: NodeOrder = { directory: join(directory, name), role, replicas, ...shared }
    const child = startChild(TRAVERTINE_NODE, [JSON.stringify(order)], profileDirectory)
    const { port, adminPort } = await nextMessage(child, `Travertine's ${name}`, START_MS_MAX)
    if (isWatched) scraped.push(adminPort as number) // as travertine-node.ts sends it
    return { child, port: port as number } // the same
  }
  const replicas: { child: ChildProcess; port: number }[] = []
  for (const name of replicaNames(options)) replicas.push(await start(name, 'replica', []))
  const addresses = replicas.map(({ port }) => `127.0.0.1:${port}`)
  const master = await start('master', 'master', addresses)
  const system = running({
    directory,
    port: master.port,
    master: master.child,
    replicas: replicas.map(({ child }) => child),
  })
  const scraper = setInterval(() => scraped.forEach(scrape), SCRAPE_MS)
  return {
    ...system,
    stop: () => {
      clearInterval(scraper)
      return system.stop()
    },
  }
}

/** What it says is of no interest here. */
function scrape(port: number): void {
  get({ host: '127.0.0.1', port, path: '/metrics' }, (response) => response.resume()).on('error', () => undefined)
}

const replicaNames = ({ replicas }: SystemOptions): string[] =>
  Array.from({ length: replicas }, (_, index) => `replica-${index + 1}`)

function running(parts: {
  directory: string
  port: number
  master: ChildProcess
  replicas: readonly ChildProcess[]
}): RunningSystem {
  const { directory, port, master, replicas } = parts
  return {
    address: `127.0.0.1:${port}`,
    pids: { master: [pidOf(master)], replica: replicas.map(pidOf) },
    async stop() {
      for (const child of [master, ...replicas]) await endChild(child)
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('Cannot measure: a process could not be started')
  return child.pid
}
