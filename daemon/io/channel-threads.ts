/**
 * The channel threads as the control thread sees them: starts them, talks to one or all, and counts answers.
 *
 * A thread that exits on its own takes the node with it: its epochs can never be stored (STYLE B thread-stream#138).
 */
import { MessageChannel, type MessagePort, type TransferListItem, Worker } from 'node:worker_threads'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'
import type { ChannelThreadStart, FromChannel, MasterStart, ToChannel } from '../threads/thread-messages.ts'

export interface ChannelThreadsOptions {
  readonly starts: readonly Omit<ChannelThreadStart, 'master'>[]
  readonly master: Omit<MasterStart, 'wakePorts'> | undefined
  readonly onMessage: (channel: number, message: FromChannel) => void
  /** A thread has failed or died: the node has to stop. */
  readonly onFailure: (error: Error) => void
}

export class ChannelThreads {
  readonly #workers: Worker[] = []
  readonly #options: ChannelThreadsOptions
  #stopping = false

  constructor(options: ChannelThreadsOptions) {
    this.#options = options
  }

  /** Starts all threads; resolves with the port of each listener. @throws PORT_IN_USE and what else keeps one from starting */
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

  /** Asks all threads to end, and waits; threads that do not end within the limit are terminated. */
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
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs)
    })
    await Promise.race([Promise.all(exits), limit])
    clearTimeout(timer)
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  #startOne(
    start: Omit<ChannelThreadStart, 'master'>,
    channel: number,
    wakePorts: readonly (MessagePort | undefined)[],
  ): Promise<number> {
    const { master, onMessage, onFailure } = this.#options
    const workerData: ChannelThreadStart = {
      ...start,
      master: master === undefined ? undefined : { ...master, wakePorts },
    }
    const transferList: TransferListItem[] = master === undefined ? [] : wakePorts.filter((port) => port !== undefined)
    const worker = new Worker(new URL('../threads/channel-thread.js', import.meta.url), {
      workerData,
      transferList,
      name: `channel-${channel}`,
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
