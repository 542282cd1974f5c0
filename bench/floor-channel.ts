/**
 * One channel of the floor's master. The loop batches by itself: what arrives while a batch is being written is the next
 * one. Network first, then disk. STORED and PROPAGATED are sent in one write, when both are true, because a bare program
 * would not send two.
 *
 * It checks nothing, stamps nothing and keeps no log: the limit of what the design of DESIGN 4 can reach in Node.
 */
import type { Socket } from 'node:net'
import { encodeMessage, MessageReader } from '../protocol/control-message.ts'
import { readU64Number } from '../protocol/frame.ts'
import { encodeReply, LOG_REPLY_HEAD_BYTES, ReplyType } from '../protocol/log-reply.ts'
import type { FloorFile } from './floor-file.ts'
import { FloorSessionCounter } from './floor-session-counter.ts'

export const FLOOR_ID = '00000000-0000-4000-8000-00000000f100'
export const FLOOR_TERM = { number: 1n, nodeId: FLOOR_ID, tag: 1 }

/** Sessions of one client connection that one batch makes durable. */
interface Answer {
  readonly socket: Socket
  readonly sequence: number
}

interface Batch {
  readonly epoch: number
  /** Bytes sent to the replicas up to the end of this batch. */
  readonly end: number
  readonly answers: readonly Answer[]
}

export class FloorChannel {
  readonly #file: FloorFile
  readonly #replicas: readonly FloorReplicaLink[]
  #epoch = 0
  /** Bytes of whole frames that wait for the next turn of the loop. */
  #buffers: Buffer[] = []
  #bytes = 0
  readonly #dirty = new Map<Socket, FloorSessionCounter>()
  /** Batches that are durable here and not yet on all replicas. */
  readonly #batches: Batch[] = []
  #sent = 0

  constructor(file: FloorFile, replicas: readonly Socket[]) {
    this.#file = file
    this.#replicas = replicas.map((socket) => new FloorReplicaLink(socket, () => this.#onAck()))
  }

  serve(socket: Socket): void {
    const counter = new FloorSessionCounter()
    socket.on('error', () => socket.destroy())
    const handshake = new MessageReader()
    const onHandshake = (chunk: Buffer) => {
      if (handshake.push(chunk, 1).length === 0) return
      socket.off('data', onHandshake)
      socket.on('data', (data: Buffer) => this.#onData(socket, counter, data))
      const newProducer = { sequence: 0, missing: [], lastEpoch: 0n, lastTerm: FLOOR_TERM, since: 0n }
      socket.write(encodeMessage({ type: 'log_open_ok', position: 0, term: FLOOR_TERM, ...newProducer }))
      const rest = handshake.takeRest()
      if (rest.length > 0) this.#onData(socket, counter, rest)
    }
    socket.on('data', onHandshake)
  }

  #onData(socket: Socket, counter: FloorSessionCounter, chunk: Buffer): void {
    const before = counter.sequence
    this.#bytes += counter.push(chunk, this.#buffers)
    if (counter.sequence === before) return
    if (this.#dirty.size === 0) setImmediate(() => this.#flush())
    this.#dirty.set(socket, counter)
  }

  #flush(): void {
    const buffers = this.#buffers
    const bytes = this.#bytes
    const answers: Answer[] = []
    for (const [socket, counter] of this.#dirty) answers.push({ socket, sequence: counter.sequence })
    this.#buffers = []
    this.#bytes = 0
    this.#dirty.clear()
    this.#sent += bytes
    this.#epoch++
    this.#batches.push({ epoch: this.#epoch, end: this.#sent, answers })
    for (const replica of this.#replicas) replica.send(buffers)
    this.#file.append(buffers, bytes)
    if (this.#replicas.length === 0) this.#onAck() // durable here is durable everywhere
  }

  /** Runs after the append that it may speak about: both are on this thread, and append blocks it. */
  #onAck(): void {
    const durable = Math.min(...this.#replicas.map((replica) => replica.durable))
    const last = new Map<Socket, { epoch: number; sequence: number }>()
    while (this.#batches[0] !== undefined && this.#batches[0].end <= durable) {
      const { epoch, answers } = this.#batches.shift() as Batch // looked at on the line above
      for (const { socket, sequence } of answers) last.set(socket, { epoch, sequence })
    }
    for (const [socket, { epoch, sequence }] of last) {
      const stored = encodeReply(ReplyType.STORED, epoch, sequence)
      socket.write(Buffer.concat([stored, encodeReply(ReplyType.PROPAGATED, epoch, sequence)]))
    }
  }
}

/** The connection to one replica: bytes out, the number of durable bytes back. */
class FloorReplicaLink {
  durable = 0
  readonly #socket: Socket
  #acks: Buffer = Buffer.alloc(0)

  constructor(socket: Socket, onAck: () => void) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      const acks = this.#acks.length === 0 ? chunk : Buffer.concat([this.#acks, chunk])
      const whole = acks.length - (acks.length % LOG_REPLY_HEAD_BYTES)
      this.#acks = acks.subarray(whole)
      if (whole === 0) return
      this.durable = readU64Number(acks, whole - LOG_REPLY_HEAD_BYTES + 16)
      onAck()
    })
  }

  send(buffers: readonly Buffer[]): void {
    this.#socket.cork()
    for (const buffer of buffers) this.#socket.write(buffer)
    this.#socket.uncork()
  }
}
