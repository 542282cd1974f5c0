/**
 * What became of the records of a load: the account that every ending of `load` prints, good or bad.
 *
 * read = bad + sent + not sent; sent = acknowledged + stored only + lost + unknown + not applied + waiting. Acknowledged
 * means: the level that was asked for is reached. Nothing is counted as acknowledged on a guess.
 *
 * With the level STORED a session may be lost after it was acknowledged. So the newest acknowledged sessions are
 * remembered, ACKNOWLEDGED_KEPT of them, and moved to `lost` when the client hears of it.
 */
import { ClientError } from '../client/client-error.ts'
import type { Commit } from '../client/commit.ts'

/** Records that go together. */
export interface Share {
  sessions: number
  records: number
}

/** A session on its way: how many records, and on which lines they stand. */
export interface SentBatch {
  readonly records: number
  readonly bytes: number
  readonly firstLine: number
  readonly lastLine: number
}

/** More than a replica that is about to become master can be behind by, in sessions of one megabyte or a thousand records. */
const ACKNOWLEDGED_KEPT = 65_536

export class LoadTally {
  /** Records of the input, bad ones included. */
  read = 0
  bad = 0
  inputBytes = 0
  readonly sent: Share = { sessions: 0, records: 0 }
  readonly acknowledged: Share = { sessions: 0, records: 0 }
  /** PROPAGATED was asked for; it is STORED, and the wait for the replicas has failed. */
  readonly storedOnly: Share = { sessions: 0, records: 0 }
  /** They were STORED, and a change of history has cut them from the log. */
  readonly lost: Share = { sessions: 0, records: 0 }
  /** Sent, without an answer: may be in the log. */
  readonly unknown: Share = { sessions: 0, records: 0 }
  /** Certainly not in the log. */
  readonly notApplied: Share = { sessions: 0, records: 0 }
  /** Bytes of acknowledged records: their values. */
  bytes = 0
  epochs = 0
  /** Highest epoch acknowledged; 0 before the first. */
  lastEpoch = 0n
  /** Every good record up to this line is acknowledged; 0 before the first. */
  throughLine = 0
  #lowestLineLost = Number.POSITIVE_INFINITY
  /** Sessions that were acknowledged, by their sequence, the newest last. */
  readonly #acknowledged = new Map<number, SentBatch>()

  reached(batch: SentBatch, { epoch, sequence }: Commit): void {
    const { records, bytes, lastLine } = batch
    add(this.acknowledged, records)
    this.#remember(sequence, batch)
    this.bytes += bytes
    if (epoch > this.lastEpoch) {
      this.lastEpoch = epoch
      this.epochs++
    }
    // sessions of one channel are answered in the order in which they were sent
    if (lastLine < this.#lowestLineLost) this.throughLine = Math.max(this.throughLine, lastLine)
  }

  failed({ records, firstLine }: SentBatch, error: unknown): void {
    this.#missing(firstLine)
    if (!(error instanceof ClientError)) add(this.unknown, records)
    else if (error.outcome === 'lost') add(this.lost, records)
    else if (error.stored !== undefined) add(this.storedOnly, records)
    else add(error.outcome === 'unknown' ? this.unknown : this.notApplied, records)
  }

  /** Sessions `from` to `to` are in the log no more. Those that still wait for PROPAGATED hear of it themselves. */
  lostAfterwards({ from, to }: { readonly from: number; readonly to: number }): void {
    for (const [sequence, { records, bytes, firstLine }] of this.#acknowledged) {
      if (sequence < from || sequence > to) continue
      this.#acknowledged.delete(sequence)
      this.#missing(firstLine)
      this.bytes -= bytes
      this.acknowledged.sessions--
      this.acknowledged.records -= records
      add(this.lost, records)
    }
  }

  #remember(sequence: number, batch: SentBatch): void {
    this.#acknowledged.set(sequence, batch)
    if (this.#acknowledged.size <= ACKNOWLEDGED_KEPT) return
    for (const oldest of this.#acknowledged.keys()) {
      this.#acknowledged.delete(oldest)
      return
    }
  }

  #missing(firstLine: number): void {
    this.#lowestLineLost = Math.min(this.#lowestLineLost, firstLine)
    this.throughLine = Math.min(this.throughLine, this.#lowestLineLost - 1)
  }

  /** Sessions sent and not yet settled. */
  get waiting(): Share {
    const settled = [this.acknowledged, this.storedOnly, this.lost, this.unknown, this.notApplied]
    const sum = (of: (share: Share) => number): number => settled.reduce((total, share) => total + of(share), 0)
    return {
      sessions: this.sent.sessions - sum((share) => share.sessions),
      records: this.sent.records - sum((share) => share.records),
    }
  }
}

function add(share: Share, records: number): void {
  share.sessions++
  share.records += records
}
