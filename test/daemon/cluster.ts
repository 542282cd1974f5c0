/**
 * Real nodes in this process, on ports that the system chose, in directories that are gone when the test ends.
 *
 * A kill is played by copying directories of a node that runs: what a copy holds is what a crash might have left.
 */
import { randomInt } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SEGMENTS_AHEAD_DEFAULT } from '../../config/defaults.ts'
import { initNode, type LogLine, type NodeConfig, startNode, type TravertineNode } from '../../daemon/node.ts'
import { decodeEntries } from '../../protocol/entry.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { decodeHeader, FRAME_HEADER_BYTES, FrameKind } from '../../protocol/frame.ts'
import { SEGMENT_BYTES_MIN } from '../../protocol/limits.ts'
import { readManifest } from '../../wal/manifest.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { recoverChannel } from '../../wal/recover.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { RawClient, until } from './raw-client.ts'

export interface Teardown {
  teardown(handler: () => unknown): unknown
}

/** Small enough that a test which writes a megabyte changes segments a few times. */
export const TEST_SEGMENT_BYTES = 4 * SEGMENT_BYTES_MIN

export class Cluster {
  readonly root: string
  readonly channels: number
  readonly #segmentsAhead: number
  readonly #admin: NodeConfig['admin']
  readonly #running = new Map<string, TravertineNode>()
  readonly #ports = new Map<string, number>()
  readonly #clients: RawClient[] = []
  readonly lines: LogLine[] = []

  private constructor(t: Teardown, options: { channels?: number; segmentsAhead?: number; admin?: boolean }) {
    this.root = temporaryDirectory(t)
    this.channels = options.channels ?? 1
    this.#segmentsAhead = options.segmentsAhead ?? SEGMENTS_AHEAD_DEFAULT
    this.#admin = options.admin === true ? { host: '127.0.0.1', port: 0 } : undefined
    t.teardown(async () => {
      for (const client of this.#clients) client.close()
      await Promise.all([...this.#running.values()].map((node) => node.close()))
    })
  }

  /** A master `m` and replicas `r1`, `r2`, .. that run. */
  static async start(
    t: Teardown,
    options: { channels?: number; replicas?: number; segmentsAhead?: number; admin?: boolean } = {},
  ): Promise<Cluster> {
    const cluster = new Cluster(t, options)
    const { channels } = cluster
    const clusterId = '00000000-0000-4000-8000-0000000000aa'
    const addresses: string[] = []
    for (let i = 1; i <= (options.replicas ?? 0); i++) {
      initNode({
        directory: cluster.directory(`r${i}`),
        role: 'replica',
        clusterId,
        channels,
        segmentBytes: TEST_SEGMENT_BYTES,
      })
      const node = await cluster.run(`r${i}`)
      addresses.push(`127.0.0.1:${node.port}`)
    }
    initNode({
      directory: cluster.directory('m'),
      role: 'master',
      clusterId,
      channels,
      segmentBytes: TEST_SEGMENT_BYTES,
      replicas: addresses,
    })
    await cluster.run('m')
    return cluster
  }

  directory(name: string): string {
    return join(this.root, name)
  }

  node(name: string): TravertineNode {
    const node = this.#running.get(name)
    if (node === undefined) throw new Error(`${name} does not run`)
    return node
  }

  /** Starts a node where it was before: members know its control port. Its log ports are announced, and new each time. */
  async run(name: string): Promise<TravertineNode> {
    const wanted = this.#ports.get(name)
    const directory = this.directory(name)
    const onLog = (line: LogLine): void => void this.lines.push(line)
    const config = { directory, segmentsAhead: this.#segmentsAhead, admin: this.#admin, onLog }
    const node = name === 'm' ? await startNode({ ...config, port: 0 }) : await startOnOwnPort(config, wanted)
    this.#running.set(name, node)
    this.#ports.set(name, node.port)
    return node
  }

  async stop(name: string): Promise<void> {
    const node = this.node(name)
    this.#running.delete(name)
    await node.close()
  }

  /** Copies the directory of a node that runs and has nothing more to prepare. */
  async save(name: string, as: string): Promise<void> {
    const whole = this.channels * (1 + this.#segmentsAhead)
    await until('all segments ahead are there, and none is half made', () => {
      const names = readdirSync(join(this.directory(name), 'channels'), { recursive: true, encoding: 'utf8' })
      return names.filter((n) => n.endsWith('.wal')).length >= whole && !names.some((n) => n.endsWith('.new'))
    })
    cpSync(this.directory(name), this.directory(as), { recursive: true })
  }

  /** The node (stopped) wakes up with what was saved: a crash that lost everything since. */
  restore(name: string, from: string): void {
    rmSync(this.directory(name), { recursive: true })
    cpSync(this.directory(from), this.directory(name), { recursive: true })
  }

  async client(): Promise<RawClient> {
    const client = await RawClient.connect(this.node('m').port)
    this.#clients.push(client)
    return client
  }

  async untilStreaming(): Promise<void> {
    await until('all replicas stream', () =>
      this.node('m')
        .status()
        .replicas.every((r) => r.state === 'streaming'),
    )
  }

  /** Waits until both hold the same, then compares byte by byte. Both nodes are stopped by it. */
  async compare(a: string, b: string): Promise<{ readonly same: boolean; readonly bytes: number }> {
    for (const name of [b, a]) if (this.#running.has(name)) await this.stop(name)
    let bytes = 0
    let same = true
    for (let channel = 0; channel < this.channels; channel++) {
      const one = readChannel(this.directory(a), channel)
      const other = readChannel(this.directory(b), channel)
      same &&= isPrefixButForMark(one, other)
      bytes += one.length
    }
    return { same, bytes }
  }
}

/** An idle master writes a MARK (88 bytes) on its own; the replica may have been stopped right before. */
function isPrefixButForMark(master: Buffer, replica: Buffer): boolean {
  const short = Math.min(master.length, replica.length)
  return Math.abs(master.length - replica.length) <= 88 && master.subarray(0, short).equals(replica.subarray(0, short))
}

/** Below the ports that the system gives out by itself, so that a node finds all of its own free again. */
const PORT_MIN = 11_000
const PORT_MAX = 30_000

/** For members, and whoever has to be found again: the control port is the one of before; log channel k listens on port + 1 + k then. */
export async function startOnOwnPort(config: NodeConfig, port: number | undefined): Promise<TravertineNode> {
  for (;;) {
    const wanted = port ?? randomInt(PORT_MIN, PORT_MAX)
    try {
      return await startNode({ ...config, port: wanted })
    } catch (thrown) {
      const taken = thrown instanceof TravertineError && thrown.code === 'PORT_IN_USE'
      if (!taken || port !== undefined) throw thrown
    }
  }
}

/** Every byte of a channel up to its end, as recovery finds it. */
export function readChannel(directory: string, channel: number): Buffer {
  const disk = new NodeDisk()
  const { clusterId, nodeId, history } = readManifest(disk, directory)
  const { end } = recoverChannel({ disk, directory, channel, clusterId, nodeId, history })
  const bytes = Buffer.alloc(end)
  const files = new Segments({ disk, directory: channelDirectory(directory, channel), segmentBytes: 0, access: 'read' })
  for (let at = 0; at < end; ) at += files.read(at, bytes.subarray(at))
  files.close()
  return bytes
}

/** Keys of all puts in a channel, in order. */
export function readKeys(directory: string, channel = 0): string[] {
  const bytes = readChannel(directory, channel)
  const keys: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const header = decodeHeader(bytes, at)
    const end = at + FRAME_HEADER_BYTES + header.bodyLength
    if (header.kind === FrameKind.ENTRIES) {
      for (const entry of decodeEntries(bytes.subarray(at + FRAME_HEADER_BYTES, end), undefined)) {
        if ('key' in entry) keys.push(Buffer.from(entry.key).toString())
      }
    }
    at = end
  }
  return keys
}

/** Bytes kept in divergent/. */
export function divergentBytes(directory: string): number {
  const divergent = join(directory, 'divergent')
  if (!existsSync(divergent)) return 0
  return readdirSync(divergent, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + readFileSync(join(entry.parentPath, entry.name)).length, 0)
}
