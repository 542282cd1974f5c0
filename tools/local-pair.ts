/**
 * A master and one replica on loopback, each in a process of its own, in new data directories.
 *
 * The replica comes first: with port 0 nobody knows its port before it listens, and the master is told at `init`.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { HOST_DEFAULT } from '../config/defaults.ts'
import { initNode } from '../daemon/node.ts'
import { TravertineError } from '../protocol/errors.ts'
import { MIB } from '../protocol/limits.ts'
import { NodeProcess } from './node-process.ts'
import type { ReadyLine } from './run.ts'

/** Small files: a pair to look at should not write a gigabyte of zeros first, and should get to use a second file. */
const SEGMENT_BYTES = 8 * MIB

export interface LocalPairOptions {
  /** The nodes' directories are made in here. */
  readonly directory: string
  readonly channels: number
  /** Of the master; all log channels, the replica and the admin ports take the ports behind it. 0: any free ports. */
  readonly port: number
  readonly say: (text: string) => void
}

export interface PairNode {
  readonly directory: string
  /** host:port of the control channel. */
  readonly address: string
  readonly port: number
  readonly pid: number
}

export class LocalPair {
  readonly #options: LocalPairOptions
  readonly #processes: NodeProcess[] = []
  /** Nothing is started any more. */
  #stopping = false

  constructor(options: LocalPairOptions) {
    this.#options = options
  }

  /** @throws what keeps one of the two from running */
  async start(): Promise<{ readonly master: PairNode; readonly replica: PairNode }> {
    const { channels, port } = this.#options
    const clusterId = randomUUID()
    const common = { clusterId, channels, segmentBytes: SEGMENT_BYTES }
    initNode({ ...common, directory: this.#directory('replica'), role: 'replica' })
    const replica = await this.#run('replica', this.#port(1 + channels), this.#port(2 * (1 + channels)))
    if (this.#stopping) throw new TravertineError('INTERRUPTED', 'Cannot start the pair: it is being stopped')
    initNode({ ...common, directory: this.#directory('master'), role: 'master', replicas: [replica.address] })
    const master = await this.#run('master', port, this.#port(2 * (1 + channels) + 1))
    return { master, replica }
  }

  /** Resolves when one of the two has ended, with the reason. */
  broken(): Promise<TravertineError> {
    return Promise.race(this.#processes.map((process) => process.ended))
  }

  /**
   * The master first: while it drains, its replica has to answer. Without its replica it would wait for what cannot come:
   * then it is killed, and what it has answered is on its disk as it always is.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    if (this.#processes.some((process) => process.hasEnded)) this.kill()
    for (const process of [...this.#processes].reverse()) await process.stop()
  }

  kill(): void {
    for (const process of this.#processes) process.kill()
  }

  /** The one so far behind the master's; 0: any free one. */
  #port(distance: number): number {
    return this.#options.port === 0 ? 0 : this.#options.port + distance
  }

  async #run(name: 'master' | 'replica', port: number, adminPort: number): Promise<PairNode> {
    const { say } = this.#options
    const directory = this.#directory(name)
    const process = new NodeProcess({ name, directory, port, adminPort, onLog: (text) => say(`${name}: ${text}`) })
    this.#processes.push(process)
    const ready: ReadyLine = await process.ready()
    const address = `${HOST_DEFAULT}:${ready.port}`
    say(`${name.padEnd(7)} listens on ${address}, pid ${ready.pid}`)
    return { directory, address, port: ready.port, pid: ready.pid }
  }

  #directory(name: string): string {
    return join(this.#options.directory, name)
  }
}
