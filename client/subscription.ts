/**
 * A subscription: committed epochs, each once, in order, none left out, across breaks of the connection, restarts of the
 * node, and other nodes of the cluster.
 *
 * The application pulls. What is read ahead of it is bounded: then the sockets wait, and with them the node. After a break
 * everything that was not handed out is forgotten and read again behind the last epoch that was; the node's history says
 * whether that epoch is in its log. Waits between tries double from RECONNECT_MS_MIN to RECONNECT_MS_MAX.
 */
import { asError, TravertineError } from '../protocol/errors.ts'
import { type ClusterId, clusterId, type Epoch, epoch, type NodeId, nodeId } from '../protocol/ids.ts'
import { RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../protocol/limits.ts'
import { nodeWorld } from '../world/node-world.ts'
import { type Address, formatAddress } from './address.ts'
import { ClientError } from './client-error.ts'
import { CommittedEpoch } from './committed-epoch.ts'
import { EpochGatherer } from './epoch-gatherer.ts'
import { findNode, type GreetedNode } from './find-node.ts'
import type { CallLimits } from './options.ts'
import { ReaderConnection } from './reader-connection.ts'
import { type CheckedSubscribeOptions, checkSubscribeOptions, type SubscribeOptions } from './subscribe-options.ts'
import { pause } from './within.ts'

/** What the node has said when the connection was made. */
export interface SubscriptionInfo {
  /** host:port of the node's control channel. */
  readonly address: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /** Number of log channels of the cluster. */
  readonly channels: number
  /** Newest committed epoch at that time: PROPAGATED, or STORED where no replica is asked for. */
  readonly committedEpoch: Epoch
}

/** `lost`: it is being connected again. `ended`: by the application, by an error, or because everything was handed out. */
export type SubscriptionState = 'open' | 'lost' | 'ended'

/**
 * Subscribes to committed epochs, at a master or a replica.
 *
 * @throws VALUE_INVALID, CONNECT_FAILED, NOT_READY (after the deadline), CLUSTER_MISMATCH, LOG_DROPPED, HISTORY_DIVERGED,
 *   PROTOCOL_VERSION_UNSUPPORTED, HANDSHAKE_TIMEOUT, DEADLINE_EXCEEDED, ABORTED
 */
export async function subscribe(options: SubscribeOptions): Promise<Subscription> {
  const checked = checkSubscribeOptions(options, nodeWorld)
  return Subscription.begin(checked)
}

export class Subscription implements AsyncIterable<CommittedEpoch> {
  readonly #options: CheckedSubscribeOptions
  readonly #gatherer: EpochGatherer
  /** Ends what is under way when the subscription ends. */
  readonly #end = new AbortController()
  #info: SubscriptionInfo
  #state: SubscriptionState = 'open'
  #connection: ReaderConnection | undefined
  #failure: Error | undefined
  /** Where it ends by itself; undefined: never. */
  readonly #until: bigint | undefined
  /** Epoch behind which it was told to go on, until it was seen. */
  #after: CheckedSubscribeOptions['after']
  #waiting: (() => void) | undefined
  #reconnecting: Promise<void> | undefined
  #openedAt = 0
  #waitMs = RECONNECT_MS_MIN
  /** `fromEpoch` at the last damage on the way: twice at the same place is no accident. */
  #damagedAt: bigint | undefined

  private constructor(options: CheckedSubscribeOptions, node: GreetedNode) {
    const { fromEpoch, memoryBytes, follow, after, limits } = options
    this.#options = { ...options, clusterId: node.hello.clusterId } // whoever comes later has to be of the same one
    this.#info = infoOf(node)
    this.#until = follow ? undefined : node.hello.committed
    this.#after = after
    this.#gatherer = new EpochGatherer({ channels: node.hello.channels, fromEpoch, bytesMax: memoryBytes })
    limits.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Applications get one from `subscribe`. */
  static async begin(options: CheckedSubscribeOptions): Promise<Subscription> {
    const { world, limits } = options
    for (let waitMs = RECONNECT_MS_MIN; ; waitMs = Math.min(2 * waitMs, RECONNECT_MS_MAX)) {
      try {
        return await Subscription.#begin(options)
      } catch (error) {
        // a node that was just started will know soon
        if (!(error instanceof TravertineError) || error.code !== 'NOT_READY') throw error
        if (world.clock.now() + waitMs >= limits.deadline) throw error
        await pause(world.clock, waitMs, limits.signal)
      }
    }
  }

  static async #begin(options: CheckedSubscribeOptions): Promise<Subscription> {
    const node = await findNode(options, options.limits)
    const subscription = new Subscription(options, node)
    try {
      await subscription.#open(node, options.limits)
      return subscription
    } catch (error) {
      subscription.#finish(undefined)
      throw error
    }
  }

  get info(): SubscriptionInfo {
    return this.#info
  }

  get state(): SubscriptionState {
    return this.#state
  }

  /** Newest committed epoch that the node has named. */
  get committedEpoch(): Epoch {
    return epoch(this.#gatherer.committed)
  }

  /** The next epoch that is handed out is this one or a later one. */
  get nextEpoch(): Epoch {
    return epoch(this.#gatherer.fromEpoch)
  }

  /** Bytes read ahead of the application. */
  get bytesAhead(): number {
    return this.#gatherer.bytes
  }

  /** Leaving the loop closes the subscription. */
  async *[Symbol.asyncIterator](): AsyncGenerator<CommittedEpoch, void, undefined> {
    try {
      for (let next = await this.next(); next !== undefined; next = await this.next()) yield next
    } finally {
      await this.close()
    }
  }

  /**
   * The next epoch; undefined at the end. One call at a time.
   *
   * @throws what has ended the subscription: FRAME_CORRUPT, LOG_DAMAGED, LOG_INCOMPLETE, LOG_DROPPED, HISTORY_DIVERGED,
   *   CLUSTER_MISMATCH, ABORTED, ...; CONNECTION_LOST and what is like it only after `reconnectMs`
   */
  async next(): Promise<CommittedEpoch | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#state === 'ended') return undefined
      const next = this.#take()
      if (next !== undefined) return next
      if (this.#failure === undefined && !this.#isComplete()) {
        await new Promise<void>((resolve) => {
          this.#waiting = resolve
        })
      }
    }
  }

  /** Ends the subscription; resolves when its connections are closed. */
  async close(): Promise<void> {
    this.#finish(undefined)
    await this.#reconnecting
    await this.#connection?.closed()
  }

  /** Takes epochs until one has something in it. */
  #take(): CommittedEpoch | undefined {
    try {
      for (;;) {
        const gathered = this.#gatherer.take(this.#until)
        if (gathered === undefined) return undefined
        this.#connection?.adjust()
        if (this.#isBefore(gathered)) continue
        const committed = new CommittedEpoch(gathered, this.#options.storages)
        if (!committed.isEmpty) return committed
      }
    } catch (error) {
      this.#finish(asError(error))
      return undefined
    }
  }

  /** Is it the epoch behind which to go on? @throws HISTORY_DIVERGED */
  #isBefore(found: {
    readonly epoch: bigint
    readonly term: { readonly number: bigint; readonly tag: number }
  }): boolean {
    const after = this.#after
    if (after === undefined) return false
    this.#after = undefined
    const { number, tag } = found.term
    if (found.epoch === after.epoch && number === after.number && tag === after.tag) return true
    throw new TravertineError(
      'HISTORY_DIVERGED',
      `Cannot go on behind epoch ${after.epoch} of term ${after.number}: found epoch ${found.epoch} of term ${number} in its place`,
      { where: { epoch: after.epoch }, hint: 'a change of history has given it up; read anew from an epoch on' },
    )
  }

  /** Everything was handed out that there was to hand out. */
  #isComplete(): boolean {
    if (this.#until === undefined || !this.#gatherer.isPast(this.#until)) return false
    this.#finish(undefined)
    return true
  }

  async #open(node: GreetedNode, limits: CallLimits): Promise<void> {
    const { world } = this.#options
    const isAgain = this.#state === 'lost'
    const connection = new ReaderConnection(world, node, this.#gatherer, {
      onProgress: () => this.#wake(),
      onLost: (error) => this.#lost(error),
    })
    this.#connection = connection
    await connection.open(limits)
    if (this.#state === 'ended') return connection.close()
    if (connection.error !== undefined && isAgain) throw connection.error // otherwise `#lost` has seen to it
    this.#openedAt = world.clock.now()
    this.#info = infoOf(node)
  }

  #lost(error: TravertineError): void {
    if (this.#state !== 'open') return // whoever makes the connection again sees it
    const { clock } = this.#options.world
    this.#gatherer.clear()
    if (!this.#mayRetry(error)) return this.#finish(error)
    this.#state = 'lost'
    if (clock.now() - this.#openedAt > RECONNECT_MS_MAX) this.#waitMs = RECONNECT_MS_MIN
    this.#options.onLost(error)
    this.#reconnecting = this.#reconnect(error, clock.now())
  }

  /** An error that comes again at the same place will come for ever. */
  #mayRetry(error: TravertineError): boolean {
    if (error.code === 'SECRET_INVALID') return true // its session has ended between two messages
    if (error.code !== 'FRAME_CORRUPT') return error.retryable
    const before = this.#damagedAt
    this.#damagedAt = this.#gatherer.fromEpoch
    return before !== this.#damagedAt
  }

  async #reconnect(first: TravertineError, since: number): Promise<void> {
    const { world, reconnectMs, clusterId, credential, onResumed } = this.#options
    const signal = this.#end.signal
    const limits: CallLimits = { ...this.#options.limits, deadline: Number.POSITIVE_INFINITY, signal }
    const addresses = this.#lastFirst()
    for (let error = first; !signal.aborted; ) {
      if (world.clock.now() - since >= reconnectMs) return this.#finish(error)
      await pause(world.clock, this.#waitMs, signal).catch(() => undefined) // closed meanwhile: the loop ends
      this.#waitMs = Math.min(2 * this.#waitMs, RECONNECT_MS_MAX)
      if (signal.aborted) return
      try {
        await this.#open(await findNode({ world, addresses, clusterId, credential }, limits), limits)
        if (this.#state !== 'lost') return
        this.#state = 'open'
        return onResumed(this.#info)
      } catch (thrown) {
        if (!(thrown instanceof TravertineError)) return this.#finish(asError(thrown))
        if (!this.#mayRetry(thrown)) return this.#finish(thrown)
        error = thrown
      }
    }
  }

  /** The node that was read from last is asked first. */
  #lastFirst(): readonly Address[] {
    const { addresses } = this.#options
    const last = this.#connection?.address
    return last === undefined ? addresses : [last, ...addresses.filter((address) => address !== last)]
  }

  readonly #onAbort = (): void => {
    const { signal } = this.#options.limits
    this.#finish(
      new ClientError('ABORTED', 'Cannot go on with a subscription: its signal was aborted', 'not-applied', {
        cause: signal?.reason,
      }),
    )
  }

  #finish(failure: Error | undefined): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#failure = failure
    this.#options.limits.signal?.removeEventListener('abort', this.#onAbort)
    this.#end.abort()
    this.#connection?.close()
    this.#gatherer.clear()
    this.#wake()
  }

  #wake(): void {
    this.#connection?.adjust()
    const wake = this.#waiting
    this.#waiting = undefined
    wake?.()
  }
}

function infoOf({ address, hello }: GreetedNode): SubscriptionInfo {
  return {
    address: formatAddress(address),
    clusterId: clusterId(hello.clusterId),
    nodeId: nodeId(hello.nodeId),
    channels: hello.channels,
    committedEpoch: epoch(hello.committed),
  }
}
