/** Connections of somebody who means harm: bytes of his choice, and what becomes of them. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { MessageReader } from '../../protocol/control-message.ts'
import { SeededRandom } from '../sim/seeded-random.ts'

export interface Aim {
  readonly port: number
  readonly localAddress?: string
}

export class Stranger {
  readonly socket: Socket
  /** Types of the messages that came back; of an error its code. Empty for what speaks another protocol. */
  readonly heard: string[] = []
  /** Or cut before. */
  readonly opened: Promise<void>
  readonly closed: Promise<void>
  readonly #reader = new MessageReader()

  constructor({ port, localAddress = '127.0.0.1' }: Aim) {
    this.socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true })
    this.socket.on('error', () => undefined) // `close` follows
    this.socket.on('data', (chunk: Buffer) => this.#hear(chunk))
    this.opened = new Promise((resolve) => this.socket.once('connect', resolve).once('close', () => resolve()))
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()))
  }

  say(bytes: Uint8Array | string): this {
    if (this.socket.writable) this.socket.write(bytes)
    return this
  }

  /** What was heard when the node has closed the connection. */
  async end(): Promise<readonly string[]> {
    await this.closed
    return this.heard
  }

  #hear(chunk: Buffer): void {
    try {
      for (const message of this.#reader.push(chunk))
        this.heard.push(message.type === 'error' ? message.error.code : message.type)
    } catch {
      this.socket.removeAllListeners('data').resume() // it is HTTP that comes
    }
  }
}

export function lengthOnly(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}

/** Bytes of no meaning, and bytes that mean something elsewhere. */
export function garbage(seed: number): Buffer[] {
  const random = new SeededRandom(seed)
  const noise = Array.from({ length: 12 }, () =>
    Buffer.from(Array.from({ length: 1 + random.below(20_000) }, () => random.below(256))),
  )
  return [
    ...noise,
    Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    Buffer.from('16030100a5010000a1030300', 'hex'), // TLS begins like this
    Buffer.alloc(100_000),
    Buffer.alloc(100_000, 0xff),
    Buffer.concat([lengthOnly(1_000_000), Buffer.alloc(999_999, 0xc1)]),
  ]
}

export const FOUR_GIB = [
  lengthOnly(0xffff_ffff),
  Buffer.concat([lengthOnly(0xffff_ffff), Buffer.alloc(1_000_000, 0x80)]),
  lengthOnly(0x8000_0000),
]

/** Until it is cut off. */
export async function sendSlowly(stranger: Stranger, bytes: Uint8Array): Promise<readonly string[]> {
  let at = 0
  const timer = setInterval(() => stranger.say(bytes.subarray(at, ++at)), 20)
  await stranger.closed
  clearInterval(timer)
  return stranger.heard
}

/** Comes and goes, with an end or with a reset. */
export async function churn(aim: Aim, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { socket } = new Stranger(aim)
    await once(socket, 'connect')
    if (i % 2 === 0) socket.resetAndDestroy()
    else socket.destroy()
  }
}
