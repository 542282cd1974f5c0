/**
 * The client SDK of Travertine: `connect`, and every type that an application meets.
 *
 * A client is one control connection to the master (who are you, are you still there) and one log connection per open
 * channel. When the control connection is lost, all of them end: each session without an answer is then `unknown`.
 *
 * It does not reconnect and does not send anything twice.
 */

import type { TravertineError } from '../protocol/errors.ts'
import {
  type ClusterId,
  channelId,
  clusterId,
  type Epoch,
  epoch,
  type NodeId,
  nodeId,
  type Term,
} from '../protocol/ids.ts'
import { CLIENT_GOODBYE_MS } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import { nodeWorld } from '../world/node-world.ts'
import { formatAddress } from './address.ts'
import { Channel } from './channel.ts'
import { ClientError } from './client-error.ts'
import type { Commit } from './commit.ts'
import { ControlConnection } from './control-connection.ts'
import type { Entry } from './entry-encoder.ts'
import { type FoundMaster, findMaster } from './find-master.ts'
import { asTerm, openProducer, unknownChannel } from './open-producer.ts'
import {
  type CallOptions,
  type CheckedConnectOptions,
  type ConnectOptions,
  callLimits,
  checkConnectOptions,
  checkLevel,
  type OpenChannelOptions,
  type ValueMode,
  type ValueOf,
  type WriteOptions,
} from './options.ts'
import type { Producer } from './producer.ts'
import { refuseWithoutReplica } from './receipt.ts'
import { type ValueEncoder, valueEncoder } from './values.ts'
import { checkClosing, closeWithin, within } from './within.ts'

// The package has one front door, so this is the one file that passes names on.
export { type ErrorCode, TravertineError } from '../protocol/errors.ts'
export type { ClusterId, Epoch, NodeId, Term } from '../protocol/ids.ts'
export type { Channel } from './channel.ts'
export { ClientError, type Outcome } from './client-error.ts'
export type { Commit, Level } from './commit.ts'
export type { CommittedEntry, CommittedEpoch, EntryPlace } from './committed-epoch.ts'
export type { Entry, Key, U64, Version } from './entry-encoder.ts'
export type { CallOptions, ConnectOptions, OpenChannelOptions, ValueMode, ValueOf, WriteOptions } from './options.ts'
export type { Receipt } from './receipt.ts'
export type { Session } from './session.ts'
export type { EpochMark, SubscribeOptions } from './subscribe-options.ts'
export { type Subscription, type SubscriptionInfo, type SubscriptionState, subscribe } from './subscription.ts'
export { decodeValue } from './values.ts'

/** What the node has said when the connection was made. */
export interface ClientInfo {
  /** host:port of the master's control channel. */
  readonly address: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly term: Term
  /** Number of log channels of the cluster. */
  readonly channels: number
  /** Replicas that PROPAGATED asks for; 0: that level cannot be reached. */
  readonly replicas: number
  readonly protocolVersion: number
  /** Watermarks at that time. */
  readonly storedEpoch: Epoch
  readonly propagatedEpoch: Epoch
}

/** `closing`: `close()` waits for answers. `closed`: by the application. `lost`: by the network or the node. */
export type ClientState = 'open' | 'closing' | 'closed' | 'lost'

/**
 * Connects to the master of a cluster, by whatever node's address.
 *
 * @throws VALUE_INVALID, NOT_MASTER (`where.peer` is the master), CONNECT_FAILED, CLUSTER_MISMATCH,
 * PROTOCOL_VERSION_UNSUPPORTED, HANDSHAKE_TIMEOUT, DEADLINE_EXCEEDED, ABORTED
 */
export async function connect<Mode extends ValueMode = 'bytes'>(
  options: ConnectOptions<Mode>,
): Promise<Client<ValueOf<Mode>>> {
  const checked = checkConnectOptions(options, nodeWorld)
  return new Client(await findMaster(checked), checked)
}

export class Client<Value = Uint8Array> {
  readonly info: ClientInfo
  readonly #world: World
  readonly #master: FoundMaster
  readonly #control: ControlConnection
  readonly #encodeValue: ValueEncoder
  readonly #deadlineMs: number
  /** Channels that are open or closing, by their producer. */
  readonly #channels = new Map<Producer, Channel<Value>>()
  /** Per channel: how often it is open or being opened here. */
  readonly #uses: number[]
  #state: ClientState = 'open'
  #lostBy: TravertineError | undefined
  /** The channel behind `write`, and the promise of it while it is being opened. */
  #shared: Channel<Value> | undefined
  #sharedOpening: Promise<Channel<Value>> | undefined
  #closing: Promise<void> | undefined

  /** Applications get one from `connect`. */
  constructor(master: FoundMaster, options: CheckedConnectOptions) {
    this.info = infoOf(master)
    this.#world = options.world
    this.#master = master
    this.#encodeValue = valueEncoder(options.values)
    this.#deadlineMs = options.deadlineMs
    this.#uses = new Array<number>(master.hello.channels).fill(0)
    this.#control = new ControlConnection(options.world.clock, master.opened, (error, isSilent) =>
      this.#lost(error, isSilent),
    )
  }

  get state(): ClientState {
    return this.#state
  }

  /** @throws CHANNEL_UNKNOWN, CONNECTION_LOST, CLIENT_CLOSED, CONNECT_FAILED, DEADLINE_EXCEEDED, ABORTED, ... */
  async openChannel(options: OpenChannelOptions = {}): Promise<Channel<Value>> {
    const limits = callLimits(options, this.#deadlineMs, this.#world.clock)
    this.#refuseUnlessOpen('open a channel')
    const id = options.channel ?? this.#leastUsed()
    if (!Number.isInteger(id) || id < 0 || id >= this.info.channels) throw unknownChannel(id, this.info.channels)
    this.#uses[id]! += 1
    try {
      const producer = await openProducer(this.#world, this.#master, channelId(id), limits, (ended) =>
        this.#ended(id, ended),
      )
      if (this.#state !== 'open') producer.finish(this.#lostBy)
      this.#refuseUnlessOpen('open a channel')
      const channel = new Channel<Value>({
        id,
        producer,
        encodeValue: this.#encodeValue,
        deadlineMsDefault: this.#deadlineMs,
      })
      this.#channels.set(producer, channel)
      return channel
    } catch (error) {
      this.#uses[id]! -= 1
      throw error
    }
  }

  /** Writes entries as one session over a channel of the client's choice, and waits for `level`. */
  write(entries: readonly Entry<Value>[], options: WriteOptions): Promise<Commit> {
    if (this.#shared?.state === 'open') return this.#shared.write(entries, options)
    return this.#openAndWrite(entries, options)
  }

  /**
   * Takes no new sessions, waits for the answers that somebody waits for, then closes all connections. What is not
   * answered by the deadline (10 seconds unless given) or at an abort ends with CLIENT_CLOSED, outcome `unknown`.
   */
  async close(options: CallOptions = {}): Promise<void> {
    checkClosing(options)
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async #close(options: CallOptions): Promise<void> {
    if (this.#state === 'open') this.#state = 'closing'
    const producers = [...this.#channels.keys()]
    await closeWithin(options, this.#world.clock, () => Promise.all(producers.map((producer) => producer.drain())))
    for (const producer of producers) producer.finish(undefined)
    this.#control.close()
    await Promise.all([this.#control.closed, ...producers.map((producer) => producer.closed)])
    this.#state = 'closed'
  }

  async #openAndWrite(entries: readonly Entry<Value>[], options: WriteOptions): Promise<Commit> {
    checkLevel(options.level)
    const limits = callLimits(options, this.#deadlineMs, this.#world.clock)
    this.#refuseUnlessOpen('write')
    refuseWithoutReplica(options.level, this.info.replicas)
    const channel = await within(this.#sharedChannel(), limits, this.#world.clock, 'open a channel')
    return channel.write(entries, {
      ...options,
      deadlineMs: Math.max(1, Math.ceil(limits.deadline - this.#world.clock.now())),
    })
  }

  /** Concurrent first writes share one opening. A channel that has ended is replaced by another one. */
  #sharedChannel(): Promise<Channel<Value>> {
    this.#sharedOpening ??= this.openChannel().then(
      (channel) => {
        this.#shared = channel
        this.#sharedOpening = undefined
        return channel
      },
      (error: unknown) => {
        this.#sharedOpening = undefined
        throw error
      },
    )
    return this.#sharedOpening
  }

  #lost(error: TravertineError, isSilent: boolean): void {
    this.#lostBy = error
    this.#state = this.#state === 'open' ? 'lost' : this.#state
    for (const producer of [...this.#channels.keys()]) {
      if (isSilent) producer.finish(error)
      else producer.leave(error, CLIENT_GOODBYE_MS)
    }
  }

  #ended(id: number, producer: Producer): void {
    if (this.#channels.delete(producer)) this.#uses[id]! -= 1
  }

  /** One of the channels that this client uses least, at random, so that many clients spread. */
  #leastUsed(): number {
    const least = Math.min(...this.#uses)
    const candidates = this.#uses.flatMap((uses, id) => (uses === least ? [id] : []))
    return candidates[this.#world.randomBytes(4).readUInt32LE() % candidates.length] as number // the least is among them
  }

  #refuseUnlessOpen(what: string): void {
    if (this.#state === 'open') return
    if (this.#state !== 'lost') {
      throw new ClientError('CLIENT_CLOSED', `Cannot ${what}: the client was closed`, 'not-applied', {
        hint: 'connect again',
      })
    }
    throw new ClientError('CONNECTION_LOST', `Cannot ${what}: the connection to the node has ended`, 'not-applied', {
      where: { peer: this.info.address },
      hint: 'connect again',
      cause: this.#lostBy,
    })
  }
}

function infoOf({ address, hello }: FoundMaster): ClientInfo {
  return {
    address: formatAddress(address),
    clusterId: clusterId(hello.clusterId),
    nodeId: nodeId(hello.nodeId),
    term: asTerm(hello.term),
    channels: hello.channels,
    replicas: hello.replicas,
    protocolVersion: hello.version,
    storedEpoch: epoch(hello.stored),
    propagatedEpoch: epoch(hello.propagated),
  }
}
