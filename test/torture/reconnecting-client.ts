/**
 * A client that several writers share. It reconnects by itself and sends again what is not in the log; only one that could
 * not be connected at first, or has ended for good, is made anew: then what was under way is `unknown`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Channel, type Client, connect } from '../../client/client.ts'

const RETRY_MS = 25
const CONNECT_MS_MAX = 2_000

export class ReconnectingClient {
  readonly #address: string
  readonly #stop: AbortSignal
  readonly #channels = new Map<number, Promise<Channel>>()
  #client: Promise<Client> | undefined
  connects = 0

  constructor(address: string, stop: AbortSignal) {
    this.#address = address
    this.#stop = stop
  }

  /** An open channel, or undefined once all has to stop. */
  async channel(id: number): Promise<Channel | undefined> {
    while (!this.#stop.aborted) {
      try {
        const client = await this.#connected()
        const channel = await this.#opened(client, id)
        if (lives(channel)) return channel
      } catch {
        // the node is down, or cut off: so it is for a while
      }
      this.#channels.delete(id)
      await sleep(RETRY_MS)
    }
    return undefined
  }

  /** Ends at once; everything without an answer is then `unknown`. */
  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined)
    await client?.close({ signal: AbortSignal.abort() })
  }

  async #connected(): Promise<Client> {
    const known = this.#client
    const client = await known?.catch(() => undefined)
    if (client !== undefined && lives(client)) return client
    // several writers share the client: the first to notice connects, and no second one does, whose client nobody would close
    if (this.#client === undefined || this.#client === known) {
      this.#channels.clear()
      this.connects += 1
      this.#client = connect({
        address: this.#address,
        deadlineMs: CONNECT_MS_MAX,
        signal: this.#stop,
      })
    }
    return this.#client
  }

  #opened(client: Client, id: number): Promise<Channel> {
    const known = this.#channels.get(id)
    if (known !== undefined) return known
    const opening = client.openChannel({ channel: id, deadlineMs: CONNECT_MS_MAX, signal: this.#stop })
    opening.catch(() => undefined)
    this.#channels.set(id, opening)
    return opening
  }
}

const lives = ({ state }: Pick<Client | Channel, 'state'>): boolean => state === 'open' || state === 'reconnecting'
