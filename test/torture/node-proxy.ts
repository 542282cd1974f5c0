/**
 * A TCP proxy in front of one node, for a test that cuts, holds and refuses its connections.
 *
 * It listens on another loopback address, on the very port numbers of the node: a node announces its log ports as numbers
 * on the host that was dialled, so whoever dials the control port here comes here with every log connection as well.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { CutHow, Direction, Port } from './plan.ts'

export interface NodeProxyOptions {
  readonly host: string
  readonly targetHost: string
  /** Of the control channel; log channel k is on port + 1 + k. */
  readonly port: number
  readonly channels: number
}

/** One connection: the dialler's socket and the one to the node. */
class Pair {
  readonly port: Port
  readonly #inner: Socket
  readonly #outer: Socket
  readonly #held = new Set<Direction>()
  #limit: { readonly direction: Direction; bytes: number; readonly how: CutHow } | undefined

  constructor(port: Port, inner: Socket, outer: Socket, onClose: () => void) {
    this.port = port
    this.#inner = inner
    this.#outer = outer
    let open = 2
    for (const socket of [inner, outer]) {
      socket.on('error', () => undefined) // `close` follows
      socket.on('close', () => {
        open -= 1
        this.#other(socket).destroySoon()
        if (open === 0) onClose()
      })
      socket.on('end', () => this.#other(socket).end())
      socket.on('drain', () => this.#flow(this.#other(socket)))
      socket.on('data', (chunk: Buffer) => this.#forward(socket, chunk))
    }
  }

  hold(direction: Direction): void {
    this.#held.add(direction)
    this.#flow(this.#source(direction))
  }

  release(direction: Direction): void {
    this.#held.delete(direction)
    this.#flow(this.#source(direction))
  }

  cutBehind(direction: Direction, bytes: number, how: CutHow): void {
    this.#limit = { direction, bytes, how }
  }

  cut(how: CutHow): void {
    for (const socket of [this.#inner, this.#outer]) {
      if (how === 'end') socket.destroySoon()
      else reset(socket)
    }
  }

  #forward(from: Socket, chunk: Buffer): void {
    const to = this.#other(from)
    const limit = this.#limit
    if (limit !== undefined && this.#source(limit.direction) === from) {
      if (chunk.length > limit.bytes) {
        to.write(chunk.subarray(0, limit.bytes))
        this.cut(limit.how)
        return
      }
      limit.bytes -= chunk.length
    }
    to.write(chunk)
    this.#flow(from)
  }

  /** Reads on, or not: while held, or while the other side does not take more. */
  #flow(from: Socket): void {
    if (this.#held.has(this.#directionOf(from)) || this.#other(from).writableNeedDrain) from.pause()
    else from.resume()
  }

  #other = (socket: Socket): Socket => (socket === this.#inner ? this.#outer : this.#inner)
  #source = (direction: Direction): Socket => (direction === 'to node' ? this.#outer : this.#inner)
  #directionOf = (socket: Socket): Direction => (socket === this.#outer ? 'to node' : 'from node')
}

/** Node 20 never closes a socket that is reset while its own end is on the way, and then spins at the exit of the process. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

interface Rule {
  readonly port: Port | 'all'
  readonly direction: Direction
}

export class NodeProxy {
  readonly #options: NodeProxyOptions
  readonly #servers: Server[] = []
  readonly #pairs = new Set<Pair>()
  /** Also for connections to come. */
  readonly #holds = new Set<Rule>()
  #refusals = 0

  constructor(options: NodeProxyOptions) {
    this.#options = options
  }

  /** host:port of the control channel, through the proxy. */
  get address(): string {
    return `${this.#options.host}:${this.#options.port}`
  }

  get connectionCount(): number {
    return this.#pairs.size
  }

  async listen(): Promise<void> {
    const { host, port, channels } = this.#options
    for (let i = 0; i <= channels; i++) {
      const name = i === 0 ? 'control' : i - 1
      const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
        this.#accept(name, port + i, socket),
      )
      this.#servers.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port + i, host, resolve)
      })
    }
  }

  /** @returns how many connections there were to cut */
  cut(port: Port | 'all', how: CutHow): number {
    const pairs = this.#matching(port)
    for (const pair of pairs) pair.cut(how)
    return pairs.length
  }

  cutBehind(port: Port, direction: Direction, bytes: number, how: CutHow): void {
    for (const pair of this.#matching(port)) pair.cutBehind(direction, bytes, how)
  }

  /** @returns what lets the bytes go on */
  hold(port: Port | 'all', direction: Direction): () => void {
    const rule = { port, direction }
    this.#holds.add(rule)
    for (const pair of this.#matching(port)) pair.hold(direction)
    return () => {
      this.#holds.delete(rule)
      for (const pair of this.#matching(port)) if (!this.#isHeld(pair.port, direction)) pair.release(direction)
    }
  }

  /** @returns what lets them in again */
  refuse(): () => void {
    this.#refusals += 1
    this.cut('all', 'reset')
    return () => {
      this.#refusals -= 1
    }
  }

  async close(): Promise<void> {
    this.cut('all', 'reset')
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  #accept(name: Port, port: number, outer: Socket): void {
    outer.on('error', () => undefined)
    if (this.#refusals > 0) {
      reset(outer)
      return
    }
    const inner = connect({ host: this.#options.targetHost, port, noDelay: true, allowHalfOpen: true })
    inner.pause()
    const pair: Pair = new Pair(name, inner, outer, () => this.#pairs.delete(pair))
    this.#pairs.add(pair)
    for (const direction of ['to node', 'from node'] as const) {
      if (this.#isHeld(name, direction)) pair.hold(direction)
      else pair.release(direction)
    }
  }

  #matching(port: Port | 'all'): Pair[] {
    return [...this.#pairs].filter((pair) => port === 'all' || pair.port === port)
  }

  #isHeld(port: Port, direction: Direction): boolean {
    return [...this.#holds].some((rule) => rule.direction === direction && (rule.port === 'all' || rule.port === port))
  }
}
