/**
 * A client made of bare sockets: it says what a test wants it to say, also what no honest client would.
 *
 * The codecs are those of protocol/; frames can be damaged before they are sent. Everything waits for conditions, and
 * gives up after a long time only.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { type Entry, entryBytes } from '../../protocol/entry.ts'
import { encodeEntry } from '../../protocol/entry-encoder.ts'
import type { WireError } from '../../protocol/errors.ts'
import { encodeFrame, FLAG_EXPLICIT_VERSIONS, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { channelId, clusterId } from '../../protocol/ids.ts'
import { HEARTBEAT_INTERVAL_MS } from '../../protocol/limits.ts'
import { ReplyReader } from '../../protocol/log-reply.ts'

/** A condition that has not come true by then never will: the test is red, not slow. */
const PATIENCE_MS = 20_000
const LOOK_MS = 5

export async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

/** One connection that speaks messages: the control channel, or a log connection before it is open. */
export class RawConnection {
  readonly socket: Socket
  readonly messages: Message[] = []
  closed = false
  readonly #reader = new MessageReader()
  #onRest: ((bytes: Buffer) => void) | undefined
  /** log_open_ok has come: what follows are replies, which may come in the same packet. */
  #isOpened = false
  readonly #held: Buffer[] = []

  /** @param stubborn does not close its side when the node closes its own */
  constructor(port: number, stubborn = false) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: stubborn })
    this.socket.on('error', () => undefined) // `close` follows
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('data', (chunk: Buffer) => {
      if (this.#onRest !== undefined) this.#onRest(chunk)
      else if (this.#isOpened) this.#held.push(chunk)
      else this.#read(chunk)
    })
  }

  send(message: Message): void {
    this.socket.write(encodeMessage(message))
  }

  /** From now on bytes go to `onRest`: the connection has become a log connection. */
  handOver(onRest: (bytes: Buffer) => void): void {
    this.#onRest = onRest
    const bytes = Buffer.concat([this.#reader.takeRest(), ...this.#held])
    if (bytes.length > 0) onRest(bytes)
  }

  #read(chunk: Buffer): void {
    let [message] = this.#reader.push(chunk, 1)
    while (message !== undefined) {
      this.messages.push(message)
      this.#isOpened = message.type === 'log_open_ok'
      message = this.#isOpened ? undefined : this.#reader.push(Buffer.alloc(0), 1)[0]
    }
  }

  /** The next message, or undefined at the end of the connection. */
  async next(): Promise<Message | undefined> {
    await until('a message or the end', () => this.messages.length > 0 || this.closed)
    return this.messages.shift()
  }

  /** The error that the node answers; it must close behind it. */
  async refusal(): Promise<WireError | undefined> {
    const answer = await this.next()
    await until('the end of the connection', () => this.closed)
    return answer?.type === 'error' ? answer.error : undefined
  }
}

/** A client session: hello, heartbeats, and log connections on demand. */
export class RawClient {
  readonly control: RawConnection
  readonly hello: Message<'client_hello_ok'>
  readonly #heartbeats: NodeJS.Timeout
  /** Others have other ones: a producer belongs to one client. */
  #producers = randomBytes(8).readBigUInt64LE() >> 1n

  private constructor(control: RawConnection, hello: Message<'client_hello_ok'>) {
    this.control = control
    this.hello = hello
    let sequence = 0
    this.#heartbeats = setInterval(
      () => control.send({ type: 'heartbeat', sequence: ++sequence }),
      HEARTBEAT_INTERVAL_MS,
    )
    control.socket.on('close', () => clearInterval(this.#heartbeats))
  }

  static async connect(port: number): Promise<RawClient> {
    const control = new RawConnection(port)
    control.send(HELLO)
    const answer = await control.next()
    if (answer?.type !== 'client_hello_ok') throw new Error(`hello was answered with ${answer?.type}`)
    return new RawClient(control, answer)
  }

  logOpen(channel: number): Message<'log_open'> {
    const { session, secret } = this.hello
    return {
      type: 'log_open',
      version: 1,
      session,
      secret,
      channel,
      producer: ++this.#producers,
      sent: 0,
      answered: 0,
      since: 0n,
      level: 'stored',
    }
  }

  async open(channel: number): Promise<RawLink> {
    const { link } = await this.resume(channel, {})
    return link
  }

  /** Opens for a producer that is known, or whatever else `log_open` is to say. The next session follows `sent`. */
  async resume(
    channel: number,
    claim: Partial<Message<'log_open'>>,
  ): Promise<{ link: RawLink; answer: Message<'log_open_ok'> }> {
    const connection = new RawConnection(this.hello.logPorts[channel]!)
    const open = { ...this.logOpen(channel), ...claim }
    connection.send(open)
    const answer = await connection.next()
    if (answer?.type !== 'log_open_ok')
      throw new Error(`log_open was answered with ${answer?.type === 'error' ? answer.error.code : answer?.type}`)
    const seed = headerSeed(clusterId(this.hello.clusterId), channelId(channel))
    const link = new RawLink(connection, seed, open.producer)
    link.sequence = Math.max(open.sent, answer.sequence)
    return { link, answer }
  }

  close(): void {
    clearInterval(this.#heartbeats)
    this.control.socket.destroy()
  }
}

export const HELLO: Message<'client_hello'> = { type: 'client_hello', versionMin: 1, versionMax: 1, clusterId: '' }

/** What a frame may have different from the ordinary. */
export interface FrameChanges {
  readonly kind?: number
  readonly flags?: number
  readonly entryCount?: number
  readonly producer?: bigint
  readonly sequence?: number
  readonly body?: Buffer
}

/** A log connection that is open. */
export class RawLink {
  readonly connection: RawConnection
  readonly seed: number
  readonly producer: bigint
  sequence = 0
  stored = 0
  propagated = 0
  readonly epochs: number[] = []
  readonly rejected: { readonly sequence: number; readonly error: WireError }[] = []
  error: WireError | undefined

  constructor(connection: RawConnection, seed: number, producer: bigint) {
    this.connection = connection
    this.seed = seed
    this.producer = producer
    const replies = new ReplyReader()
    connection.handOver((bytes) =>
      replies.push(bytes, {
        stored: (epoch, last) => {
          this.stored = last
          this.epochs.push(epoch)
        },
        propagated: (_epoch, last) => {
          if (last > this.stored) throw new Error(`PROPAGATED ${last} before STORED`)
          this.propagated = last
        },
        durable: () => {
          throw new Error('DURABLE is not for clients')
        },
        rejected: (sequence, error) => this.rejected.push({ sequence, error }),
        error: (error) => {
          this.error = error
        },
      }),
    )
  }

  /** One session with these entries, as the next of this producer. */
  frame(entries: readonly Entry[], changes: FrameChanges = {}): Buffer {
    const body = changes.body ?? bodyOf(entries)
    const explicit = entries.some((entry) => entry.version !== undefined)
    this.sequence++
    return encodeFrame(
      {
        kind: changes.kind ?? FrameKind.ENTRIES,
        flags: changes.flags ?? (explicit ? FLAG_EXPLICIT_VERSIONS : 0),
        entryCount: changes.entryCount ?? entries.length,
        termTag: 0,
        position: 0,
        epoch: 0n,
        term: 0n,
        firstMinor: 0n,
        producerId: changes.producer ?? this.producer,
        producerSequence: changes.sequence ?? this.sequence,
      },
      body,
      this.seed,
    )
  }

  /** Sends one session, and returns its sequence. */
  write(...entries: Entry[]): number {
    this.connection.socket.write(this.frame(entries))
    return this.sequence
  }

  async untilStored(sequence: number): Promise<void> {
    await until(`session ${sequence} is STORED`, () => this.stored >= sequence || this.#hasEnded())
    if (this.stored < sequence)
      throw new Error(`session ${sequence} is not STORED: ${this.error?.code ?? 'the connection has ended'}`)
  }

  async untilPropagated(sequence: number): Promise<void> {
    await until(`session ${sequence} is PROPAGATED`, () => this.propagated >= sequence || this.#hasEnded())
    if (this.propagated < sequence)
      throw new Error(`session ${sequence} is not PROPAGATED: ${this.error?.code ?? 'the connection has ended'}`)
  }

  /** Sends bytes, and returns the error that ends the connection. */
  async errorOf(bytes: Buffer): Promise<WireError | undefined> {
    this.connection.socket.write(bytes)
    await until('the end of the connection', () => this.connection.closed)
    return this.error
  }

  async end(): Promise<void> {
    if (this.connection.closed) return
    this.connection.socket.destroy()
    await once(this.connection.socket, 'close')
  }

  #hasEnded(): boolean {
    return this.connection.closed
  }
}

function bodyOf(entries: readonly Entry[]): Buffer {
  const body = Buffer.alloc(entries.reduce((sum, entry) => sum + entryBytes(entry), 0))
  let at = 0
  for (const entry of entries) at = encodeEntry(body, at, entry)
  return body
}

export function put(key: string, value: string | Uint8Array = 'value'): Entry {
  return {
    op: 'put',
    storage: 1n,
    key: Buffer.from(key),
    value: typeof value === 'string' ? Buffer.from(value) : value,
  }
}

/** Writes `count` sessions of one entry each; returns the keys. */
export function writeMany(link: RawLink, prefix: string, count: number, value = Buffer.alloc(100, 7)): string[] {
  return Array.from({ length: count }, (_, i) => {
    const key = `${prefix}-${i}`
    link.write(put(key, value))
    return key
  })
}
