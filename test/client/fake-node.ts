/**
 * A node that does what a test tells it, and nothing by itself unless told so: it accepts, rejects, delays, cuts the
 * connection, answers garbage. Built on the codecs of protocol/, so that it speaks exactly what a real node speaks.
 *
 * It decides nothing about durability: tests of what a real node promises are elsewhere.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { encodeMessage, type Message, MessageReader, type WireRange } from '../../protocol/control-message.ts'
import { decodeEntries, type LoggedEntry, walkBody } from '../../protocol/entry.ts'
import { type ErrorCode, TravertineError, toWireError } from '../../protocol/errors.ts'
import {
  decodeHeader,
  FLAG_EXPLICIT_VERSIONS,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  headerSeed,
} from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId, clusterId } from '../../protocol/ids.ts'
import { encodeErrorReply, encodeReply, ReplyType } from '../../protocol/log-reply.ts'
import { SECRET_BYTES } from '../../protocol/message-field.ts'

export const CLUSTER = clusterId('0a1b2c3d-4e5f-4607-8899-aabbccddeeff')
export const NODE = '11111111-2222-4333-8444-555555555555'
export const TERM = { number: 7n, nodeId: NODE, tag: 99 }
export const NEXT_TERM = { number: 8n, nodeId: NODE, tag: 100 }
export const EMPTY_LOG = { sequence: 0, missing: [], lastEpoch: 0n, lastTerm: TERM }

/** What a fake node says to a hello: a message, raw bytes, nothing at all, or the end of the connection. */
export type Greeting = Message | Buffer | 'silence' | 'cut'
/** Which answers it gives by itself, as soon as frames arrive. */
export type AutoAnswer = 'propagated' | 'stored' | 'nothing'

export interface FakeNodeOptions {
  readonly channels?: number
  readonly replicas?: number
  readonly answer?: AutoAnswer
  readonly heartbeats?: boolean
  readonly onHello?: (normal: Message<'client_hello_ok'>, hello: Message<'client_hello'>) => Greeting
  readonly onLogOpen?: (normal: Message<'log_open_ok'>, open: Message<'log_open'>) => Greeting
}

export interface Teardown {
  teardown(handler: () => unknown): unknown
}

export interface ReceivedFrame {
  readonly header: FrameHeader
  readonly entries: readonly LoggedEntry[]
  /** The frame as it came. */
  readonly bytes: Buffer
}

export class FakeNode {
  /** Messages that arrived on control connections. */
  readonly messages: Message[] = []
  readonly controls: Socket[] = []
  readonly links: FakeLink[] = []
  answer: AutoAnswer
  heartbeats: boolean
  epoch = 0
  /** What it is to clients that come from now on. */
  term: Message<'client_hello_ok'>['term'] = TERM
  replicas: number
  cluster: string = CLUSTER
  /** It takes connections, and says nothing on those that come now. */
  silent = false
  /** What its log holds of whatever producer opens a connection. */
  log: { sequence: number; missing: readonly WireRange[]; lastEpoch: bigint; lastTerm: typeof TERM } = EMPTY_LOG
  readonly #options: FakeNodeOptions
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  readonly #waiting = new Set<() => void>()
  #logPorts: number[] = []
  #port = 0

  private constructor(options: FakeNodeOptions) {
    this.#options = options
    this.answer = options.answer ?? 'propagated'
    this.heartbeats = options.heartbeats ?? true
    this.replicas = options.replicas ?? 1
  }

  static async start(t: Teardown, options: FakeNodeOptions = {}): Promise<FakeNode> {
    const node = new FakeNode(options)
    t.teardown(() => node.stop())
    node.#port = await node.#listen((socket) => node.#control(socket))
    for (let channel = 0; channel < (options.channels ?? 2); channel++) {
      node.#logPorts.push(await node.#listen((socket) => node.#link(socket)))
    }
    return node
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Link number `n`, once it is there. */
  async link(n = 0): Promise<FakeLink> {
    await this.until(() => this.links.length > n)
    return this.links[n] as FakeLink // it was just waited for
  }

  /** Cuts all connections, as a process does that dies; whoever dials again is answered. */
  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Resolves when `condition` holds; looked at after everything that happens here. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }

  changed(): void {
    for (const check of [...this.#waiting]) check()
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  #listen(onConnection: (socket: Socket) => void): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('close', () => this.changed())
      onConnection(socket)
    })
    this.#servers.push(server)
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)) // a TCP server has a port
    })
  }

  #control(socket: Socket): void {
    const reader = new MessageReader()
    this.controls.push(socket)
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) this.#heard(socket, message)
      this.changed()
    })
    this.changed()
  }

  #heard(socket: Socket, message: Message): void {
    this.messages.push(message)
    if (message.type === 'client_hello') greet(socket, this.#helloAnswer(message))
    else if (message.type === 'heartbeat' && this.heartbeats) {
      socket.write(encodeMessage({ type: 'heartbeat_ok', sequence: message.sequence }))
    }
  }

  #helloAnswer(hello: Message<'client_hello'>): Greeting {
    if (this.silent) return 'silence'
    const normal: Message<'client_hello_ok'> = {
      type: 'client_hello_ok',
      version: 1,
      clusterId: this.cluster,
      nodeId: NODE,
      session: 5n,
      secret: Buffer.alloc(SECRET_BYTES, 3),
      term: this.term,
      channels: this.#logPorts.length,
      logPorts: this.#logPorts,
      stored: 11n,
      propagated: 10n,
      replicas: this.replicas,
    }
    return this.#options.onHello?.(normal, hello) ?? normal
  }

  #link(socket: Socket): void {
    const reader = new MessageReader()
    const onData = (chunk: Buffer): void => {
      const open = reader.push(chunk, 1)[0]
      if (open?.type !== 'log_open') return
      socket.off('data', onData)
      const normal: Message<'log_open_ok'> = {
        type: 'log_open_ok',
        position: 0,
        term: this.term,
        since: 11n,
        ...this.log,
      }
      greet(socket, this.silent ? 'silence' : (this.#options.onLogOpen?.(normal, open) ?? normal))
      this.links.push(new FakeLink(this, socket, open, reader.takeRest()))
      this.changed()
    }
    socket.on('data', onData)
  }
}

/** One log connection of a client, seen from the node. */
export class FakeLink {
  readonly open: Message<'log_open'>
  readonly frames: ReceivedFrame[] = []
  readonly socket: Socket
  /** What the codecs say of the client's bytes: nothing, in a good test. */
  fault: Error | undefined
  readonly #node: FakeNode
  readonly #reader: FrameReader
  readonly #first: number

  constructor(node: FakeNode, socket: Socket, open: Message<'log_open'>, rest: Buffer) {
    this.#node = node
    this.socket = socket
    this.open = open
    this.#first = node.log.sequence
    this.#reader = new FrameReader(headerSeed(CLUSTER, channelId(open.channel)), { channel: open.channel })
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    if (rest.length > 0) this.#read(rest)
  }

  /** Of the newest frame here; before the first what the client was told of the log. */
  get lastSequence(): number {
    return this.frames.at(-1)?.header.producerSequence ?? this.#first
  }

  /** Sequences of all frames here. */
  get sequences(): number[] {
    return this.frames.map(({ header }) => header.producerSequence)
  }

  /** Waits for so many frames. */
  async received(count: number): Promise<readonly ReceivedFrame[]> {
    await this.#node.until(() => this.frames.length >= count || this.fault !== undefined)
    if (this.fault !== undefined) throw this.fault
    return this.frames
  }

  stored(epoch: number, lastSequence: number): void {
    this.raw(encodeReply(ReplyType.STORED, epoch, lastSequence))
  }

  propagated(epoch: number, lastSequence: number): void {
    this.raw(encodeReply(ReplyType.PROPAGATED, epoch, lastSequence))
  }

  rejected(sequence: number, code: ErrorCode, message = 'Cannot do it: found this, expected that'): void {
    const error = toWireError(new TravertineError(code, message, { hint: 'do something else' }))
    this.raw(encodeErrorReply(ReplyType.REJECTED, sequence, error))
  }

  error(code: ErrorCode): void {
    const error = toWireError(new TravertineError(code, 'Cannot go on: found trouble', { hint: 'look at the node' }))
    this.raw(encodeErrorReply(ReplyType.ERROR, 0, error))
  }

  raw(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  cut(): void {
    this.socket.destroy()
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.push(chunk, (buffer, at, bytes) => this.#accept(Buffer.from(buffer.subarray(at, at + bytes))))
      this.#answer()
    } catch (error) {
      this.fault = error as Error // the codecs throw nothing else
    }
    this.#node.changed()
  }

  #accept(bytes: Buffer): void {
    const header = decodeHeader(bytes, 0)
    const body = bytes.subarray(FRAME_HEADER_BYTES)
    const isExplicit = (header.flags & FLAG_EXPLICIT_VERSIONS) !== 0
    const { entryCount } = walkBody(body, 0, body.length, isExplicit, {})
    const skips = header.producerSequence - this.lastSequence - 1
    const isNext = skips === 0 || (skips > 0 && header.producerSequence <= Math.max(this.open.sent, this.#first) + 1)
    if (entryCount !== header.entryCount || !isNext || header.producerId !== this.open.producer) {
      throw new Error(`a header that does not fit: ${JSON.stringify(header, (_, v) => `${v}`)}`)
    }
    const derived = isExplicit ? undefined : { major: 0n, minor: 0n }
    this.frames.push({ header, bytes, entries: [...decodeEntries(body, derived)] })
  }

  #answer(): void {
    if (this.#node.answer === 'nothing' || this.frames.length === 0) return
    this.#node.epoch += 1
    this.stored(this.#node.epoch, this.lastSequence)
    if (this.#node.answer === 'propagated') this.propagated(this.#node.epoch, this.lastSequence)
  }
}

function greet(socket: Socket, greeting: Greeting): void {
  if (greeting === 'cut') socket.destroy()
  else if (Buffer.isBuffer(greeting)) socket.write(greeting)
  else if (greeting !== 'silence') socket.write(encodeMessage(greeting))
}

/** The answer of a replica. */
export function notMaster(master?: string): Message<'error'> {
  const where = master === undefined ? {} : { peer: master }
  const error = new TravertineError('NOT_MASTER', 'Cannot write here: this node is a replica', {
    where,
    hint: 'ask the master',
  })
  return { type: 'error', error: toWireError(error) }
}

/** The answer of a node whose table has no place for the producer any more. */
export function expired(): Message<'error'> {
  const error = new TravertineError('PRODUCER_EXPIRED', 'Cannot tell: found no trace of the producer')
  return { type: 'error', error: toWireError(error) }
}
