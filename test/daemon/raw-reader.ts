/** A reader made of bare sockets: what the node sends is kept byte by byte, and judged by the tests. */
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import type { WireError } from '../../protocol/errors.ts'
import { HEARTBEAT_INTERVAL_MS } from '../../protocol/limits.ts'
import { RawConnection, until } from './raw-client.ts'

const READER_HELLO: Message<'reader_hello'> = {
  type: 'reader_hello',
  versionMin: 1,
  versionMax: 1,
  clusterId: '',
}

export class RawReader {
  readonly control: RawConnection
  readonly hello: Message<'reader_hello_ok'>
  /** Epochs that group_commit has named; each is answered. */
  readonly committed: bigint[] = []
  /** What ended the session, if the node has said it. */
  error: WireError | undefined
  goodbye: string | undefined

  private constructor(control: RawConnection, hello: Message<'reader_hello_ok'>) {
    this.control = control
    this.hello = hello
    let sequence = 0
    const timer = setInterval(() => control.send({ type: 'heartbeat', sequence: ++sequence }), HEARTBEAT_INTERVAL_MS)
    control.socket.on('close', () => clearInterval(timer))
    control.socket.on('data', () => this.#hear())
    this.#hear()
  }

  /** Begins a session; while the node does not know what is committed it is asked again. */
  static async connect(port: number): Promise<RawReader> {
    for (;;) {
      const control = new RawConnection(port)
      control.send(READER_HELLO)
      const answer = await control.next()
      if (answer?.type === 'reader_hello_ok') return new RawReader(control, answer)
      if (answer?.type !== 'error' || answer.error.code !== 'NOT_READY')
        throw new Error(`reader_hello was answered with ${JSON.stringify(answer)}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  logRead(channel: number, position = 0, fromEpoch = 0n): Message<'log_read'> {
    const { session, secret } = this.hello
    return { type: 'log_read', version: 1, session, secret, channel, position, fromEpoch }
  }

  async open(channel: number, position = 0, fromEpoch = 0n): Promise<RawStream> {
    const connection = new RawConnection(this.hello.logPorts[channel]!)
    const stream = new RawStream(connection)
    connection.send(this.logRead(channel, position, fromEpoch))
    await until('an answer to log_read', () => stream.answer !== undefined || connection.closed)
    if (stream.answer?.type !== 'log_read_ok')
      throw new Error(`log_read was answered with ${JSON.stringify(stream.answer)}`)
    return stream
  }

  close(): void {
    this.control.socket.destroy()
  }

  #hear(): void {
    for (let message = this.control.messages.shift(); message !== undefined; message = this.control.messages.shift()) {
      if (message.type === 'group_commit') {
        this.committed.push(message.epoch)
        this.control.send({ type: 'group_commit_ok', epoch: message.epoch })
      } else if (message.type === 'error') this.error = message.error
      else if (message.type === 'session_end') this.goodbye = message.reason
    }
  }
}

/** One channel's bytes from a position on. */
export class RawStream {
  readonly connection: RawConnection
  answer: Message | undefined
  readonly #chunks: Buffer[] = []
  received = 0

  constructor(connection: RawConnection) {
    this.connection = connection
    const reader = new MessageReader()
    connection.handOver((bytes) => {
      if (this.answer === undefined) {
        ;[this.answer] = reader.push(bytes, 1)
        if (this.answer !== undefined) this.#take(reader.takeRest()) // frames come right behind the answer
      } else this.#take(bytes)
    })
  }

  /** Where the first frame stands. */
  get position(): number {
    return this.answer?.type === 'log_read_ok' ? this.answer.position : Number.NaN
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  /** Waits until everything below this position is here. */
  async reached(end: number): Promise<void> {
    await until(`the stream reaches ${end}`, () => this.position + this.received >= end || this.connection.closed)
  }

  say(bytes: Buffer): void {
    this.connection.socket.write(bytes)
  }

  #take(bytes: Buffer): void {
    this.#chunks.push(bytes)
    this.received += bytes.length
  }
}

/** The error that a node answers to these first bytes of a connection. */
export async function refusalOf(port: number, ...messages: readonly (Message | Buffer)[]): Promise<string | undefined> {
  const connection = new RawConnection(port)
  connection.socket.write(Buffer.concat(messages.map((m) => (Buffer.isBuffer(m) ? m : encodeMessage(m)))))
  return (await connection.refusal())?.code
}
