/**
 * The channel threads as the control thread sees them: starts them, talks to one or all, and counts answers.
 *
 * A thread that exits on its own takes the node with it: its epochs can never be stored (STYLE B thread-stream#138).
 */
import { MessageChannel, type MessagePort, type TransferListItem, Worker } from 'node:worker_threads'
import type { Clock } from '../../protocol/clock.ts'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'
import type { TlsMaterial } from '../../world/tls-network.ts'
import type { ChannelStart, ChannelThreadStart, FromChannel, RenewTls, ToChannel } from '../threads/thread-messages.ts'

export interface ChannelsOptions {
  readonly clock: Clock
  readonly starts: readonly ChannelStart[]
  readonly onMessage: (channel: number, message: FromChannel) => void
  /** A thread has failed or died: the node has to stop. */
  readonly onFailure: (error: Error) => void
}

/** All channels of a node, each somewhere of its own: in a thread here, in a simulated one in the simulator. */
export interface Channels {
  /** Starts all; resolves with the port of each listener. @throws PORT_IN_USE and what else keeps one from starting */
  start(): Promise<number[]>
  send(channel: number, message: ToChannel): void
  sendAll(message: ToChannel): void
  /** Asks all to end, and waits; those that do not end within the limit are cut off. */
  stop(limitMs: number): Promise<void>
}

export interface ThreadsOptions extends ChannelsOptions {
  readonly tls: TlsMaterial | undefined
}

/**
 * What a batch leaves behind is garbage by the next one: a young generation of the size of a core's cache collects it as
 * well as a large one, and keeps the memory of a busy channel flat.
 */
const CHANNEL_YOUNG_MIB = 6

export class ChannelThreads implements Channels {
  readonly #workers: Worker[] = []
  readonly #options: ThreadsOptions
  #tls: TlsMaterial | undefined
  #stopping = false

  constructor(options: ThreadsOptions) {
    this.#options = options
    this.#tls = options.tls
  }

  async start(): Promise<number[]> {
    const wakePorts = wakeMesh(this.#options.starts.length)
    return Promise.all(
      this.#options.starts.map((start, channel) => this.#startOne(start, channel, wakePorts[channel]!)),
    ) // one row per channel
  }

  send(channel: number, message: ToChannel): void {
    this.#workers[channel]?.postMessage(message)
  }

  sendAll(message: ToChannel): void {
    for (const worker of this.#workers) worker.postMessage(message)
  }

  renewTls(tls: TlsMaterial): void {
    this.#tls = tls
    for (const worker of this.#workers) worker.postMessage({ type: 'renewTls', tls } satisfies RenewTls)
  }

  async stop(limitMs: number): Promise<void> {
    this.#stopping = true
    const exits = this.#workers.map(
      (worker) =>
        new Promise<void>((resolve) => {
          if (worker.threadId === -1) resolve()
          else worker.once('exit', () => resolve())
        }),
    )
    this.sendAll({ type: 'stop' })
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(limitMs, resolve)
      void Promise.all(exits).then(() => {
        timer.cancel()
        resolve()
      })
    })
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  #startOne(start: ChannelStart, channel: number, wakePorts: readonly (MessagePort | undefined)[]): Promise<number> {
    const { onMessage, onFailure } = this.#options
    const workerData: ChannelThreadStart = { start, wakePorts, tls: this.#tls }
    const transferList: TransferListItem[] = wakePorts.filter((port) => port !== undefined)
    const worker = new Worker(new URL('../threads/channel-thread.js', import.meta.url), {
      workerData,
      transferList,
      name: `channel-${channel}`,
      resourceLimits: { maxYoungGenerationSizeMb: CHANNEL_YOUNG_MIB },
    })
    this.#workers[channel] = worker
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        reject(error) // no effect once it listens
        if (!this.#stopping) onFailure(error)
      }
      worker.on('message', (message: FromChannel) => {
        if (message.type === 'listening') resolve(message.port)
        else if (message.type === 'failed') fail(fromWireError(message.error))
        else onMessage(channel, message)
      })
      worker.on('error', fail)
      worker.on('exit', (code) => {
        if (!this.#stopping)
          fail(
            new TravertineError(
              'CHANNEL_POISONED',
              `Cannot go on: the thread of channel ${channel} has exited with ${code}`,
              { where: { channel } },
            ),
          )
      })
    })
  }
}

/** ports[a][b] is a's end of the line between a and b. */
function wakeMesh(channels: number): (MessagePort | undefined)[][] {
  const ports = Array.from({ length: channels }, () => new Array<MessagePort | undefined>(channels).fill(undefined))
  for (let a = 0; a < channels; a++) {
    for (let b = a + 1; b < channels; b++) {
      const { port1, port2 } = new MessageChannel()
      ports[a]![b] = port1
      ports[b]![a] = port2
    }
  }
  return ports
}
