/**
 * What became of the records of a load: the account that every ending of `load` prints, good or bad.
 *
 * read = bad + sent + not sent; sent = acknowledged + stored only + unknown + not applied + waiting. Acknowledged means:
 * the level that was asked for is reached. Nothing is counted as acknowledged on a guess.
 */
import { ClientError } from '../client/client-error.ts'
import type { Commit } from '../client/commit.ts'

/** Records that go together. */
interface Share {
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

export class LoadTally {
  /** Records of the input, bad ones included. */
  read = 0
  bad = 0
  inputBytes = 0
  readonly sent: Share = { sessions: 0, records: 0 }
  readonly acknowledged: Share = { sessions: 0, records: 0 }
  /** PROPAGATED was asked for; it is STORED, and the wait for the replicas has failed. */
  readonly storedOnly: Share = { sessions: 0, records: 0 }
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

  reached({ records, bytes, lastLine }: SentBatch, { epoch }: Commit): void {
    add(this.acknowledged, records)
    this.bytes += bytes
    if (epoch > this.lastEpoch) {
      this.lastEpoch = epoch
      this.epochs++
    }
    // sessions of one channel are answered in the order in which they were sent
    if (lastLine < this.#lowestLineLost) this.throughLine = Math.max(this.throughLine, lastLine)
  }

  failed({ records, firstLine }: SentBatch, error: unknown): void {
    this.#lowestLineLost = Math.min(this.#lowestLineLost, firstLine)
    this.throughLine = Math.min(this.throughLine, this.#lowestLineLost - 1)
    if (!(error instanceof ClientError)) add(this.unknown, records)
    else if (error.stored !== undefined) add(this.storedOnly, records)
    else add(error.outcome === 'unknown' ? this.unknown : this.notApplied, records)
  }

  /** Sessions sent and not yet settled. */
  get waiting(): Share {
    const settled = [this.acknowledged, this.storedOnly, this.unknown, this.notApplied]
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
