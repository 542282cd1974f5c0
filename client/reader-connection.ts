/**
 * One life of a subscription: a reader session with one node, and a log connection per channel, from hello to the first
 * thing that goes wrong. What comes is handed to the gatherer; channels that are ahead are not read from.
 *
 * It decides nothing about what follows: see subscription.ts.
 */
import type { Connection } from '../protocol/connection.ts'
import { TravertineError } from '../protocol/errors.ts'
import { headerSeed } from '../protocol/frame.ts'
import { FrameReader } from '../protocol/frame-reader.ts'
import { channelId, clusterId } from '../protocol/ids.ts'
import { CLIENT_GOODBYE_MS } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import type { Address } from './address.ts'
import { ControlConnection } from './control-connection.ts'
import type { EpochGatherer } from './epoch-gatherer.ts'
import type { GreetedNode, ReaderHello } from './find-node.ts'
import { type OpenedConnection, shakeHands } from './handshake.ts'
import type { CallLimits } from './options.ts'

export interface ReaderHandlers {
  /** Something has come: there may be an epoch to take. */
  readonly onProgress: () => void
  /** Called once, unless the connection is closed by us. */
  readonly onLost: (error: TravertineError) => void
}

interface ReaderLink {
  readonly connection: Connection
  isPaused: boolean
}

export class ReaderConnection {
  readonly address: Address
  readonly #world: World
  readonly #hello: ReaderHello
  readonly #gatherer: EpochGatherer
  readonly #handlers: ReaderHandlers
  readonly #control: ControlConnection
  /** By channel, from the moment on at which one is opened. */
  readonly #links = new Map<number, ReaderLink>()
  readonly #closed: Promise<void>[]
  #isOpen = false
  #isClosed = false
  /** Why it has ended by itself. */
  error: TravertineError | undefined

  /** From here on the session is kept alive. */
  constructor(world: World, node: GreetedNode, gatherer: EpochGatherer, handlers: ReaderHandlers) {
    this.address = node.address
    this.#world = world
    this.#hello = node.hello
    this.#gatherer = gatherer
    this.#handlers = handlers
    this.#control = new ControlConnection(world.clock, node.opened, (error) => this.#end(error))
    this.#control.onGroupCommit = (epoch) => {
      gatherer.commit(epoch)
      handlers.onProgress()
    }
    this.#closed = [this.#control.closed]
  }

  /** Opens all channels where the gatherer goes on. @throws HISTORY_DIVERGED, LOG_DROPPED, CHANNEL_COUNT_MISMATCH, ... */
  async open(limits: CallLimits): Promise<void> {
    const { channels, history, committed } = this.#hello
    if (channels !== this.#gatherer.channels) throw otherChannels(channels, this.#gatherer.channels)
    try {
      this.#gatherer.begin(history, committed)
      const opening = Array.from({ length: channels }, (_, channel) => this.#openChannel(channel, limits))
      const opened = await Promise.all(opening)
      if (this.error !== undefined) throw this.error
      this.#isOpen = true // what is wrong with the first bytes already is told like anything later
      for (const [channel, { connection, rest }] of opened.entries()) this.#read(channel, connection, rest)
    } catch (error) {
      this.close() // what is still being opened closes itself
      throw this.error ?? error
    }
    this.#handlers.onProgress()
  }

  /** Stops reading from channels that are ahead, and goes on with those that are not any more. */
  adjust(): void {
    let channel = 0
    for (const isAhead of this.#gatherer.ahead()) {
      const link = this.#links.get(channel++)
      if (link === undefined || link.isPaused === isAhead) continue
      link.isPaused = isAhead
      if (isAhead) link.connection.pause()
      else link.connection.resume()
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#control.close()
    for (const { connection } of this.#links.values()) connection.destroy()
  }

  /** Resolves when all its connections are gone. */
  async closed(): Promise<void> {
    await Promise.all(this.#closed)
  }

  async #openChannel(channel: number, limits: CallLimits): Promise<OpenedConnection> {
    const { version, session, secret, logPorts } = this.#hello
    const address = { host: this.address.host, port: logPorts[channel]! } // a port per channel: faultOf
    const { fromEpoch } = this.#gatherer
    const position = this.#gatherer.resumeOf(channel)
    const { reply, ...opened } = await shakeHands(
      this.#world,
      address,
      { type: 'log_read', version, session, secret, channel, position, fromEpoch },
      'log_read_ok',
      limits,
    )
    try {
      if (this.#isClosed) throw gone(channel, opened.peer)
      this.#gatherer.startAt(channel, reply.position)
      this.#links.set(channel, { connection: opened.connection, isPaused: false })
      return opened
    } catch (error) {
      opened.connection.destroy()
      throw error
    }
  }

  #read(channel: number, connection: Connection, rest: Buffer): void {
    const seed = headerSeed(clusterId(this.#hello.clusterId), channelId(channel))
    const reader = new FrameReader(seed, { channel, peer: connection.peer })
    const take = (buffer: Buffer, at: number, bytes: number): void => this.#gatherer.frame(channel, buffer, at, bytes)
    const receive = (chunk: Buffer): void => {
      if (this.#isClosed) return
      try {
        reader.push(chunk, take)
      } catch (error) {
        if (!(error instanceof TravertineError)) throw error
        this.#end(error)
        return
      }
      this.#handlers.onProgress()
    }
    this.#closed.push(
      new Promise((resolve) => {
        connection.handle({
          data: receive,
          closed: (cause) => {
            resolve()
            this.#linkGone(gone(channel, connection.peer, cause))
          },
        })
      }),
    )
    if (rest.length > 0) receive(rest)
    if (!this.#isClosed) connection.resume()
  }

  /** Why a node closes a log connection it says on the control connection, which may take a moment longer. */
  #linkGone(error: TravertineError): void {
    if (this.#isClosed) return
    this.#world.clock.afterInBackground(CLIENT_GOODBYE_MS, () => this.#end(error))
  }

  #end(error: TravertineError): void {
    if (this.#isClosed) return
    this.error = error
    this.close()
    if (this.#isOpen) this.#handlers.onLost(error)
  }
}

function gone(channel: number, peer: string, cause?: Error): TravertineError {
  const found = cause === undefined ? 'the node has closed the connection' : `its connection failed: ${cause.message}`
  return new TravertineError('CONNECTION_LOST', `Cannot go on reading channel ${channel}: ${found}`, {
    where: { channel, peer },
    cause,
  })
}

function otherChannels(found: number, expected: number): TravertineError {
  return new TravertineError(
    'CHANNEL_COUNT_MISMATCH',
    `Cannot go on reading: found ${found} channels, expected ${expected}`,
    { hint: 'the node belongs to another cluster' },
  )
}
