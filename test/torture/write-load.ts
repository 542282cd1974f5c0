/**
 * Writers that use the shipped client as applications do, and write down what they were told.
 *
 * Each turn of a writer draws one habit: alone and waiting for STORED, waiting for PROPAGATED, a burst on one channel, a
 * chain in which each session depends on the one answered before on another channel, a session that is refused or that
 * nobody waits for. Half of all sessions have one of two sizes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Channel, ClientError, type Receipt, type Session } from '../../client/client.ts'
import { KIB, MIB } from '../../protocol/limits.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { breaksProtocol } from './breaks-protocol.ts'
import type { ClientHistory, SessionContent, SessionId, SessionRecord } from './client-history.ts'
import { ReconnectingClient } from './reconnecting-client.ts'
import { entriesOf, STORAGE, VALUE_BYTES_MIN } from './session-content.ts'

export interface LoadOptions {
  readonly address: string
  readonly channels: number
  readonly writers: number
  readonly heavy: boolean
  /** Number of the first writer; no number is used twice in a history. */
  readonly firstWriter: number
  readonly seed: number
  readonly history: ClientHistory
}

const WRITERS_PER_CLIENT = 3
const PAUSE_MS_MAX = 10
const BURST_MAX = 12
const CHAIN_MAX = 4
/** Longer than any fault: what was under way is sent again, and does not expire before the node is back. */
const SESSION_MS_MAX = 20_000
/** Larger than any epoch will ever be: VERSION_ABOVE_EPOCH. */
const IMPOSSIBLE_VERSION = { major: 2n ** 62n, minor: 0n }
const EQUAL = { entries: 3, valueBytes: 100 }
const EQUAL_HEAVY = { entries: 3, valueBytes: 30_000 }
/** Logs are read whole again and again: a heavy load has so many bytes at once, and so many more with time. */
const HEAVY_BYTES_START = 2 * MIB
const HEAVY_BYTES_PER_MS = 8 * KIB

export class WriteLoad {
  readonly #options: LoadOptions
  readonly #stop = new AbortController()
  readonly #clients: ReconnectingClient[]
  readonly #writers: Promise<void>[]
  #waiting = 0
  #heavyBytes = 0
  readonly #startedAt = performance.now()

  constructor(options: LoadOptions) {
    this.#options = options
    const count = Math.ceil(options.writers / WRITERS_PER_CLIENT)
    this.#clients = Array.from({ length: count }, () => new ReconnectingClient(options.address, this.#stop.signal))
    this.#writers = Array.from({ length: options.writers }, (_, i) => this.#write(i))
  }

  /** Sessions for whose answers somebody waits. */
  get waiting(): number {
    return this.#waiting
  }

  get connects(): number {
    return this.#clients.reduce((sum, client) => sum + client.connects, 0)
  }

  /** No new sessions; answers are waited for a little. Then everything without one is unknown. */
  async end(patienceMs: number): Promise<void> {
    this.#stop.abort()
    const deadline = performance.now() + patienceMs
    while (this.#waiting > 0 && performance.now() < deadline) await sleep(PAUSE_MS_MAX)
    await Promise.all(this.#clients.map((client) => client.close()))
    await Promise.all(this.#writers)
  }

  #takeHeavy(bytes: number): boolean {
    const { heavy } = this.#options
    const allowed = HEAVY_BYTES_START + (performance.now() - this.#startedAt) * HEAVY_BYTES_PER_MS
    if (!heavy || this.#heavyBytes + bytes > allowed) return false
    this.#heavyBytes += bytes
    return true
  }

  async #write(index: number): Promise<void> {
    const { firstWriter, seed, channels } = this.#options
    const client = this.#clients[index % this.#clients.length]! // as many as are needed
    const writer = new Writer({
      number: firstWriter + index,
      random: new SeededRandom(seed + index),
      history: this.#options.history,
      isHeavy: (bytes) => this.#takeHeavy(bytes),
      onWaiting: (change) => {
        this.#waiting += change
      },
    })
    while (!this.#stop.signal.aborted) {
      await writer.turn(channels, (channel) => client.channel(channel))
      await sleep(writer.random.below(PAUSE_MS_MAX))
    }
  }
}

interface WriterOptions {
  readonly number: number
  readonly random: SeededRandom
  readonly history: ClientHistory
  /** May a session have so many bytes? */
  readonly isHeavy: (bytes: number) => boolean
  readonly onWaiting: (change: number) => void
}

type ChannelOf = (channel: number) => Promise<Channel | undefined>

class Writer {
  readonly random: SeededRandom
  readonly #options: WriterOptions
  #n = 0

  constructor(options: WriterOptions) {
    this.random = options.random
    this.#options = options
  }

  async turn(channels: number, channelOf: ChannelOf): Promise<void> {
    const id = this.random.below(channels)
    const habit = this.random.below(12)
    if (habit < 3) return this.#chain(id, channels, channelOf)
    const channel = await channelOf(id)
    if (channel === undefined) return
    if (habit < 5) await this.#send(channel)?.stored
    else if (habit < 7) await this.#send(channel)?.propagated
    else if (habit < 10) await this.#burst(channel)
    else if (habit < 11) await this.#send(channel, { deadlineMs: 1 + this.random.below(20) })?.stored
    else await this.#refused(channel)
  }

  async #chain(first: number, channels: number, channelOf: ChannelOf): Promise<void> {
    let dependsOn: SessionId | undefined
    for (let link = 0; link < CHAIN_MAX; link++) {
      const channel = await channelOf((first + link) % channels)
      if (channel === undefined) return
      const sent = this.#send(channel, { dependsOn })
      if (sent === undefined || !(await sent.stored)) return
      dependsOn = sent.record
    }
  }

  async #burst(channel: Channel): Promise<void> {
    const sent = Array.from({ length: 1 + this.random.below(BURST_MAX) }, () => this.#send(channel))
    await sent.at(-1)?.stored
  }

  /** The node refuses it, or the client before anything is sent: in no log, ever. */
  async #refused(channel: Channel): Promise<void> {
    if (this.random.chance(1, 2)) await this.#send(channel, { version: IMPOSSIBLE_VERSION })?.stored
    else await this.#send(channel, { isAborted: true })?.stored
  }

  /** Undefined where the channel has ended meanwhile: nothing was begun. */
  #send(channel: Channel, how: SendOptions = {}): Sent | undefined {
    const content = this.#draw(how.dependsOn)
    const abort = new AbortController()
    let session: Session
    try {
      session = channel.beginSession({
        deadlineMs: how.deadlineMs ?? SESSION_MS_MAX,
        signal: how.isAborted ? abort.signal : undefined,
      })
    } catch {
      return undefined
    }
    for (const { key, value } of entriesOf(content)) session.put(STORAGE, key, value, how.version)
    const record = this.#options.history.sent(channel.id, content)
    abort.abort()
    try {
      return this.#watch(record, channel, session.end())
    } catch (error) {
      this.#note(record, error)
      return { record, stored: Promise.resolve(false), propagated: Promise.resolve(false) }
    }
  }

  #watch(record: SessionRecord, channel: Channel, receipt: Receipt): Sent {
    const { reconnects, state } = channel
    // what waits for a connection goes over the next one
    const isResumed = (): boolean => channel.reconnects !== reconnects || state !== 'open'
    this.#options.onWaiting(1)
    const reached = (level: 'stored' | 'propagated'): Promise<boolean> =>
      receipt[level].then(
        (commit) => {
          this.#options.history.reached(level, record, commit, isResumed())
          return true
        },
        (error: unknown) => {
          this.#note(record, error)
          return false
        },
      )
    const stored = reached('stored')
    const propagated = reached('propagated').finally(() => this.#options.onWaiting(-1))
    return { record, stored, propagated }
  }

  #note(record: SessionRecord, error: unknown): void {
    if (!(error instanceof ClientError) || breaksProtocol(error)) throw error
    record.failed ??= { outcome: error.outcome, code: error.code }
  }

  #draw(dependsOn: SessionId | undefined): SessionContent {
    const { random, number, isHeavy } = this.#options
    const equal = random.chance(1, 2)
    const heavy = equal ? EQUAL_HEAVY : { entries: 1 + random.below(6), valueBytes: 5_000 + random.below(80_000) }
    const light = equal ? EQUAL : { entries: 1 + random.below(8), valueBytes: VALUE_BYTES_MIN + random.below(300) }
    const shape = random.chance(1, 2) && isHeavy(heavy.entries * heavy.valueBytes) ? heavy : light
    return { writer: number, n: ++this.#n, ...shape, dependsOn }
  }
}

interface SendOptions {
  readonly dependsOn?: SessionId | undefined
  readonly deadlineMs?: number
  readonly isAborted?: boolean
  readonly version?: { readonly major: bigint; readonly minor: bigint }
}

interface Sent {
  readonly record: SessionRecord
  readonly stored: Promise<boolean>
  readonly propagated: Promise<boolean>
}
