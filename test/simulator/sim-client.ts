/**
 * A simulated application: the shipped client, sessions of drawn sizes at drawn times, and a note of every answer.
 *
 * It goes on for as long as it is told to: a client that has ended is replaced by another one. A session that was never
 * answered stays "unknown" in the history, which allows both.
 */
import { type Channel, Client } from '../../client/client.ts'
import { ClientError } from '../../client/client-error.ts'
import { findMaster } from '../../client/find-master.ts'
import { checkConnectOptions } from '../../client/options.ts'
import type { World } from '../../protocol/world.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import { breaksProtocol } from '../torture/breaks-protocol.ts'
import type { ClientHistory, Session } from './history.ts'
import { termName } from './log-view.ts'
import type { Actor } from './scheduler.ts'

/** How an application writes. All drawn from the seed. */
export interface Habit {
  readonly valueBytesMin: number
  readonly valueBytesMax: number
  /** Sessions that go out together. */
  readonly burst: number
  readonly pauseMsMax: number
  /** Waits for the answers to a burst before the next one. */
  readonly waits: boolean
  /** Leaves it to the client to find the master again and to send again. */
  readonly reconnects: boolean
  readonly channels: number
}

export interface SimClientOptions {
  readonly name: string
  readonly actor: Actor
  readonly world: World
  readonly random: SeededRandom
  readonly habit: Habit
  readonly addresses: readonly string[]
  readonly replicas: boolean
  readonly history: ClientHistory
  readonly nextId: () => number
  readonly nowMicros: () => number
  readonly onStored: (session: Session) => void
  readonly onPropagated: (session: Session) => void
}

/** So long that a call which nobody answers is still waiting at the end of a run, where that is noticed. */
const DEADLINE_MS = 120_000
const RETRY_MS_MAX = 300

export class SimClient {
  readonly #options: SimClientOptions
  #isStopping = false
  #sessionsLeft: number
  #client: Client | undefined
  /** Sessions whose promises have not settled. */
  pending = 0
  isDone = false

  constructor(options: SimClientOptions, sessions: number) {
    this.#options = options
    this.#sessionsLeft = sessions
  }

  start(): void {
    this.#options.actor.post(() => {
      void this.#live().then(() => {
        this.isDone = true
      })
    })
  }

  /** No new sessions. */
  stop(): void {
    this.#isStopping = true
  }

  /** So many more, also after `stop`. */
  writeMore(sessions: number): void {
    this.#sessionsLeft = sessions
    this.#isStopping = false
    if (this.isDone) {
      this.isDone = false
      this.start()
    }
  }

  async #live(): Promise<void> {
    const { random, habit } = this.#options
    await this.#sleep(random.below(habit.pauseMsMax + 1))
    while (this.#wantsMore) {
      try {
        const channels = await this.#connect()
        while (this.#wantsMore && channels.every(({ state }) => state !== 'ended')) await this.#writeBurst(channels)
      } catch (error) {
        if (!(error instanceof ClientError)) throw error
      }
      if (this.#wantsMore) {
        this.#drop()
        await this.#sleep(1 + random.below(RETRY_MS_MAX))
      }
    }
  }

  get #wantsMore(): boolean {
    return !this.#isStopping && this.#sessionsLeft > 0
  }

  /** The old client goes away by itself, as in an application that has lost interest. */
  #drop(): void {
    void this.#client?.close({ deadlineMs: 1 })
    this.#client = undefined
  }

  async #connect(): Promise<Channel[]> {
    const { addresses, habit, random, world } = this.#options
    const options = checkConnectOptions(
      { address: addresses, deadlineMs: DEADLINE_MS, reconnect: habit.reconnects },
      world,
      'writer',
    )
    const client = new Client(await findMaster(options), options)
    this.#client = client
    const first = random.below(client.info.channels)
    const count = Math.min(habit.channels, client.info.channels)
    const opening = Array.from({ length: count }, (_, i) =>
      client.openChannel({ channel: (first + i) % client.info.channels }),
    )
    return Promise.all(opening)
  }

  async #writeBurst(channels: readonly Channel[]): Promise<void> {
    const { random, habit } = this.#options
    const answers: Promise<unknown>[] = []
    for (let i = 0; i < 1 + random.below(habit.burst) && this.#wantsMore; i++) {
      const channel = channels[random.below(channels.length)]!
      answers.push(this.#write(channel))
    }
    if (habit.waits) await Promise.all(answers)
    await this.#sleep(random.below(habit.pauseMsMax + 1))
  }

  /** Resolves when STORED is known or out of reach. */
  #write(channel: Channel): Promise<unknown> {
    const { name, history, nextId, nowMicros, replicas, random, habit } = this.#options
    const id = nextId()
    const key = Buffer.alloc(8)
    key.writeDoubleLE(id)
    const bytes = habit.valueBytesMin + random.below(habit.valueBytesMax - habit.valueBytesMin + 1)
    const draft = channel.beginSession({ deadlineMs: DEADLINE_MS }).put(1n, key, Buffer.alloc(bytes, id & 0xff))
    this.#sessionsLeft -= 1
    const session = history.sent({ id, client: name, channel: channel.id, sentAt: nowMicros() })
    const { stored, propagated } = draft.end()
    const done = this.#follow(stored, session, () => this.#options.onStored(session), 'stored')
    if (replicas) void this.#follow(propagated, session, () => this.#options.onPropagated(session), 'propagated')
    return done
  }

  async #follow(
    promise: Promise<{ term: Parameters<typeof termName>[0]; epoch: bigint }>,
    session: Session,
    then: () => void,
    level: 'stored' | 'propagated',
  ): Promise<void> {
    const client = this.#client
    this.pending += 1
    try {
      const { term, epoch } = await promise
      this.#options.history[level](session, { term: termName(term), epoch: Number(epoch) })
      then()
    } catch (error) {
      if (!(error instanceof ClientError) || breaksProtocol(error)) throw error
      if (level === 'propagated' && error.outcome !== 'lost') return
      session.outcome = error.outcome
      session.toldIn = client === undefined ? undefined : termName(client.info.term)
    } finally {
      this.pending -= 1
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.world.clock.after(ms, resolve)
    })
  }
}
