/**
 * The channels of a simulated node: each the shipped actor (daemon/threads/channel-actor.ts) in a simulated thread, with
 * messages that take their time on the way. Stands where ChannelThreads stands in production.
 */

import type { Channels, ChannelsOptions } from '../../daemon/io/channel-threads.ts'
import { ChannelActor } from '../../daemon/threads/channel-actor.ts'
import { DoorbellPreparer } from '../../daemon/threads/segment-preparer.ts'
import type { ChannelStart, FromChannel, ToChannel } from '../../daemon/threads/thread-messages.ts'
import { fromWireError } from '../../protocol/errors.ts'
import type { World } from '../../protocol/world.ts'
import type { Disk } from '../../wal/disk.ts'
import type { Actor } from './scheduler.ts'
import type { SegmentJobs } from './sim-pool.ts'

/** What the channels need of the simulated process that they are part of. */
export interface ChannelsHost {
  readonly disk: Disk
  readonly control: Actor
  newActor(name: string): Actor
  worldOf(actor: Actor): World
  /** Delivers later, in the order of the calls with the same `line`. */
  deliver(line: string, to: Actor, act: () => void): void
  readonly segmentJobs: SegmentJobs
}

/** A thread that gets to the end of the prepared segments blocks until the pool has made the next one. */
class BlockingPreparer extends DoorbellPreparer {
  readonly #makeNow: (base: number) => void

  constructor(
    memory: SharedArrayBuffer,
    request: ConstructorParameters<typeof DoorbellPreparer>[1],
    makeNow: (base: number) => void,
  ) {
    super(memory, request)
    this.#makeNow = makeNow
  }

  override wait(base: number): void {
    if (this.isUnderWay) this.#makeNow(base)
    super.wait(base)
  }
}

interface RunningChannel {
  readonly actor: Actor
  body: ChannelActor | undefined
  isStopped: boolean
}

export class SimChannels implements Channels {
  readonly #host: ChannelsHost
  readonly #options: ChannelsOptions
  readonly #channels: RunningChannel[]
  #onStopped: (() => void) | undefined
  #isStopping = false

  constructor(host: ChannelsHost, options: ChannelsOptions) {
    this.#host = host
    this.#options = options
    this.#channels = options.starts.map(({ channel }) => ({
      actor: host.newActor(`channel ${channel}`),
      body: undefined,
      isStopped: false,
    }))
  }

  start(): Promise<number[]> {
    return Promise.all(this.#options.starts.map((start) => this.#startOne(start)))
  }

  send(channel: number, message: ToChannel): void {
    const running = this.#channels[channel]!
    this.#host.deliver(`to ${channel}`, running.actor, () => running.body?.handle(message))
  }

  sendAll(message: ToChannel): void {
    for (const channel of this.#channels.keys()) this.send(channel, message)
  }

  async stop(limitMs: number): Promise<void> {
    this.#isStopping = true
    this.sendAll({ type: 'stop' })
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(limitMs, resolve)
      this.#onStopped = () => {
        if (this.#channels.some(({ body, isStopped }) => body !== undefined && !isStopped)) return
        timer.cancel()
        resolve()
      }
      this.#onStopped()
    })
  }

  #startOne(start: ChannelStart): Promise<number> {
    const running = this.#channels[start.channel]!
    const { actor } = running
    return new Promise((resolve, reject) => {
      const hear = (message: FromChannel): void => {
        if (message.type === 'listening') return resolve(message.port)
        if (message.type !== 'failed') return this.#options.onMessage(start.channel, message)
        const error = fromWireError(message.error)
        reject(error) // no effect once it listens
        if (!this.#isStopping) this.#options.onFailure(error)
      }
      const say = (message: FromChannel): void =>
        this.#host.deliver(`from ${start.channel}`, this.#host.control, () => hear(message))
      actor.post(() => {
        const body = new ChannelActor(start, this.#doors(running, start, say))
        running.body = body
        void body.listen().then((port) => say({ type: 'listening', port }))
      })
    })
  }

  #doors(
    running: RunningChannel,
    start: ChannelStart,
    say: (message: FromChannel) => void,
  ): ConstructorParameters<typeof ChannelActor>[1] {
    const { disk, worldOf, segmentJobs } = this.#host
    const { actor } = running
    return {
      world: worldOf(actor),
      disk,
      run: actor.run,
      preparer: new BlockingPreparer(
        start.doorbell,
        (base, filling) => say({ type: 'prepare', base, filling }),
        (base) => segmentJobs.makeNow(start, base),
      ),
      say,
      wake: (other) => {
        const target = this.#channels[other]!
        this.#host.deliver(`wake ${start.channel} ${other}`, target.actor, () => target.body?.wakened())
      },
      onStopped: () => {
        running.isStopped = true
        this.#host.deliver(`end ${start.channel}`, this.#host.control, () => this.#onStopped?.())
      },
    }
  }
}
