/**
 * One master's channel in the test's own thread, on a real disk that can be told to fail, with one good client secret.
 * For what cannot be seen from outside a node: paused sockets, and an fdatasync that does not come back well.
 */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { MasterChannel } from '../../daemon/io/master-channel.ts'
import { StatSlots } from '../../daemon/metrics/stat-slots.ts'
import { initNode } from '../../daemon/node.ts'
import type { Message } from '../../protocol/control-message.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { headerSeed } from '../../protocol/frame.ts'
import { channelId, nodeId, type Term, termNumber } from '../../protocol/ids.ts'
import { MIB } from '../../protocol/limits.ts'
import { Board, boardShape, createBoard } from '../../wal/board.ts'
import { runAtOnce } from '../../wal/board-machine.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import type { DiskFile } from '../../wal/disk.ts'
import { encodePolicy } from '../../wal/durability.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { masterTable } from '../../wal/producer.ts'
import type { ProducerLimits } from '../../wal/producer-table.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import type { Teardown } from './cluster.ts'
import { RawConnection, RawLink, until } from './raw-client.ts'

class FailingDisk extends NodeDisk {
  failing = false
  syncs = 0
  /** Called in the middle of an fdatasync of a segment. */
  onSync: () => void = () => undefined

  override open(path: string, access: 'read' | 'write'): DiskFile {
    const file = super.open(path, access)
    return {
      path: file.path,
      bytes: () => file.bytes(),
      read: (target, offset) => file.read(target, offset),
      write: (buffers, offset) => file.write(buffers, offset),
      syncData: () => {
        this.syncs++
        this.onSync()
        if (this.failing) throw new TravertineError('DISK_FAILED', 'Cannot flush: found EIO, expected success')
        file.syncData()
      },
      close: () => file.close(),
    }
  }
}

export class ChannelHarness {
  readonly disk = new FailingDisk()
  readonly channel: MasterChannel
  readonly writer: ChannelWriter
  readonly seed: number
  /** The channel's directory. */
  readonly files: string
  readonly clusterId: string
  readonly term: Term
  readonly poisons: TravertineError[] = []
  isDrained = false
  /** What was said of rows. */
  readonly rows: ('rowOpen' | 'rowDown')[] = []
  /** While it is set, turns wait here: what is queued is not flushed. */
  heldTurns: (() => void)[] | undefined
  /** The node's ends of the connections, in the order in which they came in. */
  readonly accepted: Socket[] = []
  #port = 0
  #producers = 0n

  /** @param inSync rows of the replicas that PROPAGATED asks for */
  constructor(t: Teardown, inSync: readonly number[] = [], limits?: ProducerLimits) {
    const directory = `${temporaryDirectory(t)}/m`
    const manifest = initNode({ directory, role: 'master' })
    this.files = channelDirectory(directory, 0)
    this.clusterId = manifest.clusterId
    this.term = { number: termNumber(1n), nodeId: nodeId(manifest.nodeId), tag: 1 }
    this.seed = headerSeed(manifest.clusterId, channelId(0))
    const policy = encodePolicy({ inSync, quorum: inSync.length })
    const segments = new Segments({ disk: this.disk, directory: this.files, segmentBytes: 64 * MIB, access: 'write' })
    const producers = masterTable(1n, undefined, limits)
    this.writer = new ChannelWriter({
      channel: 0,
      segments,
      position: 0,
      producers,
      onRecoveryPoint: () => undefined,
    })
    this.channel = new MasterChannel({
      world: { ...nodeWorld, clock: { ...nodeWorld.clock, nextTurn: (act) => this.#nextTurn(act) } },
      run: runAtOnce,
      channel: 0,
      disk: this.disk,
      channelDirectory: this.files,
      board: new Board(createBoard(boardShape(1), { firstEpoch: 1n, baseEpoch: 0n, policy })),
      writer: this.writer,
      producers,
      term: this.term,
      history: [],
      headerSeed: this.seed,
      stats: new StatSlots(),
      wake: () => undefined,
      onRow: (type) => this.rows.push(type),
      onReaderFailed: () => undefined,
      onDrained: () => {
        this.isDrained = true
      },
      onPoison: (error) => this.poisons.push(error),
    })
    this.channel.registry.register({ session: 1n, version: 1, secret: SECRET, kind: 'client' })
    t.teardown(() => {
      this.channel.stop()
      segments.close()
    })
  }

  get port(): number {
    return this.#port
  }

  async listen(): Promise<void> {
    this.#port = await this.channel.listen('127.0.0.1', 0)
  }

  /** From now on turns come as ever, and those that have waited first. */
  releaseTurns(): void {
    const held = this.heldTurns ?? []
    this.heldTurns = undefined
    for (const act of held) nodeWorld.clock.nextTurn(act)
  }

  #nextTurn(act: () => void): void {
    if (this.heldTurns === undefined) nodeWorld.clock.nextTurn(act)
    else this.heldTurns.push(act)
  }

  async open(level: 'stored' | 'propagated' = 'stored'): Promise<RawLink> {
    const { link } = await this.resume({ producer: ++this.#producers, level })
    return link
  }

  /** A log connection on which nothing was said. */
  async dial(): Promise<RawConnection> {
    const known = this.accepted.length
    const onSocket = (message: unknown): void => {
      const { socket } = message as { socket: Socket } // as node documents net.server.socket
      if (socket.localPort === this.#port) this.accepted.push(socket)
    }
    subscribe('net.server.socket', onSocket)
    const connection = new RawConnection(this.#port)
    await until('the connection was seen to come in', () => this.accepted.length > known)
    unsubscribe('net.server.socket', onSocket)
    return connection
  }

  /** Opens for a producer that says so of itself; the next session follows `sent`. */
  async resume(claim: Claim, dialled?: RawConnection): Promise<{ link: RawLink; answer: Message<'log_open_ok'> }> {
    const connection = dialled ?? (await this.dial())
    const nothing = { sent: 0, answered: 0, since: 0n, level: 'stored' } as const
    connection.send({ type: 'log_open', version: 1, session: 1n, secret: SECRET, channel: 0, ...nothing, ...claim })
    const answer = await connection.next()
    if (answer?.type !== 'log_open_ok')
      throw new Error(`log_open was answered with ${answer?.type === 'error' ? answer.error.code : answer?.type}`)
    const link = new RawLink(connection, this.seed, claim.producer)
    link.sequence = Math.max(claim.sent ?? 0, answer.sequence)
    return { link, answer }
  }
}

type Claim = Pick<Message<'log_open'>, 'producer'> & Partial<Message<'log_open'>>

export const SECRET = Buffer.alloc(16, 9)
