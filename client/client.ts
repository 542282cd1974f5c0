/**
 * The client SDK of Travertine: `connect`, and every type that an application meets.
 *
 * A client is one control connection to the master (who are you, are you still there) and one log connection per open
 * channel. When the control connection is lost, the client looks for the master again, and its channels go on where they
 * were; see producer.ts. With `reconnect: false` all of them end, and each session without an answer is then `unknown`.
 */

import type { TravertineError } from '../protocol/errors.ts'
import { channelId } from '../protocol/ids.ts'
import { CLIENT_GOODBYE_MS } from '../protocol/limits.ts'
import { nodeWorld } from '../world/node-world.ts'
import { Channel } from './channel.ts'
import { ClientError, expiredBeforeSending } from './client-error.ts'
import { type ClientInfo, infoOf } from './client-info.ts'
import type { Commit, Level } from './commit.ts'
import type { Entry } from './entry-checks.ts'
import { type FoundMaster, findMaster } from './find-master.ts'
import { MasterLink, type MasterLinkHandler } from './master-link.ts'
import { unknownChannel } from './open-log.ts'
import {
  type CallLimits,
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
import { Producer } from './producer.ts'
import { refuseWithoutReplica } from './receipt.ts'
import { type ValueEncoder, valueEncoder } from './values.ts'
import { checkClosing, closeWithin, within } from './within.ts'

export type { Key, U64, Version } from '../protocol/entry-encoder.ts'
// The package has one front door, so this is the one file that passes names on.
export { type ErrorCode, TravertineError } from '../protocol/errors.ts'
export type { ClusterId, Epoch, NodeId, Term } from '../protocol/ids.ts'
export type { Channel } from './channel.ts'
export { ClientError, type Outcome } from './client-error.ts'
export type { ClientInfo } from './client-info.ts'
export type { Commit, Level } from './commit.ts'
export type { CommittedEntry, CommittedEpoch, EntryPlace } from './committed-epoch.ts'
export type { Entry } from './entry-checks.ts'
export type {
  CallOptions,
  ClientSecurity,
  ConnectOptions,
  LostSessions,
  OpenChannelOptions,
  ValueMode,
  ValueOf,
  WriteOptions,
} from './options.ts'
export type { Receipt } from './receipt.ts'
export type { Session } from './session.ts'
export type { EpochMark, SubscribeOptions } from './subscribe-options.ts'
export { type Subscription, type SubscriptionInfo, type SubscriptionState, subscribe } from './subscription.ts'
export { decodeValue } from './values.ts'

/**
 * `reconnecting`: it looks for the master, and takes calls meanwhile. `closing`: `close()` waits for answers. `closed`: by
 * the application. `lost`: for good, by what no other try can mend, or without `reconnect`.
 */
export type ClientState = 'open' | 'reconnecting' | 'closing' | 'closed' | 'lost'

/**
 * Connects to the master of a cluster, by whatever node's address.
 *
 * @throws VALUE_INVALID, NOT_MASTER (`where.peer` is the master), CONNECT_FAILED, CLUSTER_MISMATCH,
 * PROTOCOL_VERSION_UNSUPPORTED, HANDSHAKE_TIMEOUT, DEADLINE_EXCEEDED, ABORTED
 */
export async function connect<Mode extends ValueMode = 'bytes'>(
  options: ConnectOptions<Mode>,
): Promise<Client<ValueOf<Mode>>> {
  const checked = checkConnectOptions(options, nodeWorld, 'writer')
  return new Client(await findMaster(checked), checked)
}

export class Client<Value = Uint8Array> {
  readonly #options: CheckedConnectOptions
  readonly #link: MasterLink
  readonly #encodeValue: ValueEncoder
  /** Those of all channels that are open, closing or being opened. */
  readonly #producers = new Set<Producer>()
  /** Per channel: how many of them. */
  readonly #uses: number[]
  #state: Exclude<ClientState, 'reconnecting'> = 'open'
  #lostBy: TravertineError | undefined
  /** The channel behind `write`, and the promise of it while it is being opened. */
  #shared: Channel<Value> | undefined
  #sharedOpening: Promise<Channel<Value>> | undefined
  #closing: Promise<void> | undefined

  /** Applications get one from `connect`. */
  constructor(master: FoundMaster, options: CheckedConnectOptions) {
    this.#options = options
    this.#encodeValue = valueEncoder(options.values)
    this.#uses = new Array<number>(master.hello.channels).fill(0)
    this.#link = new MasterLink(master, options, this.#linkHandler())
  }

  /** Of the master that it is connected to, or was last. */
  get info(): ClientInfo {
    return infoOf(this.#link.last)
  }

  get state(): ClientState {
    return this.#state === 'open' && this.#link.master === undefined ? 'reconnecting' : this.#state
  }

  /** @throws CHANNEL_UNKNOWN, CONNECTION_LOST, CLIENT_CLOSED, DEADLINE_EXCEEDED, ABORTED, ... */
  async openChannel(options: OpenChannelOptions = {}): Promise<Channel<Value>> {
    const { world, deadlineMs } = this.#options
    const limits = callLimits(options, deadlineMs, world.clock)
    const { level = 'stored' } = options
    checkLevel(level)
    this.#refuseUnlessOpen('open a channel')
    const { channels } = this.#link.last.hello
    const id = options.channel ?? this.#leastUsed()
    if (!Number.isInteger(id) || id < 0 || id >= channels) throw unknownChannel(id, channels)
    const producer = await this.#openProducer(id, level, limits)
    return new Channel<Value>({ id, producer, encodeValue: this.#encodeValue, deadlineMsDefault: deadlineMs })
  }

  /** Writes entries as one session over a channel of the client's choice, and waits for `level`. */
  write(entries: readonly Entry<Value>[], options: WriteOptions): Promise<Commit> {
    const state = this.#shared?.state
    if (this.#shared !== undefined && (state === 'open' || state === 'reconnecting')) {
      return this.#shared.write(entries, options)
    }
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
    const producers = [...this.#producers]
    for (const producer of producers) if (producer.state === 'opening') producer.finish(undefined)
    await closeWithin(options, this.#options.world.clock, () =>
      Promise.all(producers.map((producer) => producer.drain())),
    )
    for (const producer of producers) producer.finish(undefined)
    this.#link.close()
    await Promise.all([this.#link.closed, ...producers.map((producer) => producer.link.closed)])
    this.#state = 'closed'
  }

  async #openProducer(channel: number, level: Level, limits: CallLimits): Promise<Producer> {
    const { world, reconnect, onLost } = this.#options
    const { clusterId } = this.info
    const onEnded = (ended: Producer): void => {
      if (this.#producers.delete(ended)) this.#uses[channel]! -= 1
    }
    const of = { channel: channelId(channel), clusterId, level }
    const producer = new Producer({ world, ...of, reconnect, onLost, onEnded })
    this.#producers.add(producer)
    this.#uses[channel]! += 1
    if (this.#link.master !== undefined) producer.link.masterFound(this.#link.master)
    try {
      await within(producer.opening, limits, world.clock, 'open a channel')
    } catch (error) {
      producer.finish(undefined)
      const { lastError } = producer.link
      const isExpired = error instanceof ClientError && error.code === 'DEADLINE_EXCEEDED'
      throw isExpired && lastError !== undefined
        ? expiredBeforeSending(limits.deadlineMs, 'open a channel', lastError)
        : error
    }
    producer.refuseUnlessOpen('open a channel')
    return producer
  }

  async #openAndWrite(entries: readonly Entry<Value>[], options: WriteOptions): Promise<Commit> {
    checkLevel(options.level)
    const { clock } = this.#options.world
    const limits = callLimits(options, this.#options.deadlineMs, clock)
    this.#refuseUnlessOpen('write')
    refuseWithoutReplica(options.level, this.info.replicas)
    const channel = await within(this.#sharedChannel(), limits, clock, 'open a channel')
    return channel.write(entries, {
      ...options,
      deadlineMs: Math.max(1, Math.ceil(limits.deadline - clock.now())),
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

  #linkHandler(): MasterLinkHandler {
    return {
      masterFound: (master) => {
        for (const producer of [...this.#producers]) producer.link.masterFound(master)
      },
      masterLost: (error, isSilent) => {
        for (const producer of [...this.#producers]) producer.link.masterLost(error, isSilent)
      },
      linkEnded: (error, isSilent) => {
        this.#lostBy = error
        if (this.#state === 'open') this.#state = 'lost'
        for (const producer of [...this.#producers]) {
          if (isSilent) producer.finish(error)
          else producer.leave(error, CLIENT_GOODBYE_MS)
        }
      },
    }
  }

  /** One of the channels that this client uses least, at random, so that many clients spread. */
  #leastUsed(): number {
    const least = Math.min(...this.#uses)
    const candidates = this.#uses.flatMap((uses, id) => (uses === least ? [id] : []))
    return candidates[this.#options.world.randomBytes(4).readUInt32LE() % candidates.length] as number // the least is among them
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
