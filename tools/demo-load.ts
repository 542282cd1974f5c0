/**
 * Writes the demo data through the client, and keeps account of what was acknowledged.
 *
 * Some sessions per channel are on their way at once; the next one is sent when the oldest is PROPAGATED. So progress is
 * real at any time, and what an interruption leaves open is small and known.
 */
import { type Channel, type Commit, connect, type Session } from '../client/client.ts'
import type { DemoData, DemoSession } from './demo-data.ts'

/** Enough to keep both disks busy: beyond this nothing gets faster. */
const SESSIONS_IN_FLIGHT = 64

/** A session that was sent, and where it came to stand. */
export interface SentSession extends DemoSession {
  commit: Commit | undefined
}

export interface DemoLoadOptions {
  readonly address: string
  readonly data: DemoData
  /** Called after each acknowledgement. */
  readonly onChange: () => void
}

interface Reached {
  sessions: number
  entries: number
  /** Highest epoch acknowledged; 0 before the first. */
  epoch: bigint
}

export class DemoLoad {
  /** In the order of sending, per channel. */
  readonly sent: SentSession[] = []
  readonly stored: Reached = { sessions: 0, entries: 0, epoch: 0n }
  readonly propagated: Reached = { sessions: 0, entries: 0, epoch: 0n }
  /** Bytes of entries, as they lie in the log. */
  bytes = 0
  readonly #epochs = new Set<bigint>()
  readonly #options: DemoLoadOptions
  readonly #abort = new AbortController()

  constructor(options: DemoLoadOptions) {
    this.#options = options
  }

  /** Epochs in which a session was acknowledged. */
  get epochCount(): number {
    return this.#epochs.size
  }

  /** Resolves when everything is PROPAGATED. @throws the first failure of the client */
  async run(): Promise<void> {
    const { address, data } = this.#options
    const client = await connect({ address, reconnect: false, signal: this.#abort.signal })
    try {
      const channels: Channel[] = []
      for (let id = 0; id < client.info.channels; id++) channels.push(await client.openChannel({ channel: id }))
      const first = channels[data.first.channel]! // made for so many channels
      const stored = this.#send(first, data.first)
      await stored.stored
      await Promise.all([stored.propagated, ...channels.map((channel) => this.#fill(channel, data.sessions))])
    } finally {
      await client.close({ signal: this.#abort.signal })
    }
  }

  /** Ends `run` soon; nothing more is sent. */
  abort(): void {
    this.#abort.abort()
  }

  async #fill(channel: Channel, sessions: readonly DemoSession[]): Promise<void> {
    const inFlight: Promise<void>[] = []
    for (const session of sessions) {
      if (session.channel !== channel.id) continue
      if (inFlight.length === SESSIONS_IN_FLIGHT) await inFlight.shift()
      await channel.ready({ signal: this.#abort.signal })
      inFlight.push(this.#send(channel, session).propagated)
    }
    await Promise.all(inFlight)
  }

  #send(
    channel: Channel,
    session: DemoSession,
  ): { readonly stored: Promise<void>; readonly propagated: Promise<void> } {
    const writing = channel.beginSession({ signal: this.#abort.signal })
    for (const entry of session.entries) add(writing, entry)
    this.bytes += writing.bytes
    const receipt = writing.end()
    const sent: SentSession = { ...session, commit: undefined }
    this.sent.push(sent)
    const stored = receipt.stored.then((commit) => {
      sent.commit = commit
      this.#epochs.add(commit.epoch)
      this.#reach(this.stored, session, commit)
    })
    const propagated = receipt.propagated.then((commit) => this.#reach(this.propagated, session, commit))
    // `run` hears of the first failure; the others follow from it
    stored.catch(() => undefined)
    propagated.catch(() => undefined)
    return { stored, propagated }
  }

  #reach(reached: Reached, session: DemoSession, commit: Commit): void {
    reached.sessions += 1
    reached.entries += session.entries.length
    if (commit.epoch > reached.epoch) reached.epoch = commit.epoch
    this.#options.onChange()
  }
}

function add(writing: Session, entry: DemoSession['entries'][number]): void {
  if (entry.op === 'put') writing.put(entry.storage, entry.key, entry.value)
  else writing.addStorage(entry.storage)
}
