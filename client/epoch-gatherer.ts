/**
 * Puts the channels of a log together again: epochs come out one behind the other, each when it is whole and committed
 * (REP-76). No IO.
 *
 * An epoch is next if its seal says that there is none between it and the last one, and whole if every channel that one of
 * its seals names has its seal. Nothing is taken out above `committed`, so what comes out is never taken back.
 */
import { assert } from '../protocol/assert.ts'
import type { WireHistoryEntry } from '../protocol/control-message.ts'
import { TravertineError } from '../protocol/errors.ts'
import type { Term } from '../protocol/ids.ts'
import { ChannelReader, type SealedPart } from './channel-reader.ts'
import { LogHistory } from './log-history.ts'

export interface GathererOptions {
  readonly channels: number
  /** First epoch that is wanted. */
  readonly fromEpoch: bigint
  /** Bytes gathered at which channels that are ahead have to wait. */
  readonly bytesMax: number
}

export interface GatheredEpoch {
  readonly epoch: bigint
  readonly term: Term
  /** ENTRIES frames of each channel that took part, in the order of the channels. */
  readonly parts: readonly { readonly channel: number; readonly frames: readonly Buffer[] }[]
}

export class EpochGatherer {
  readonly #readers: readonly ChannelReader[]
  readonly #bytesMax: number
  #fromEpoch: bigint
  #committed = 0n

  constructor(options: GathererOptions) {
    this.#readers = Array.from({ length: options.channels }, (_, channel) => new ChannelReader(channel))
    this.#bytesMax = options.bytesMax
    this.#fromEpoch = options.fromEpoch
  }

  get channels(): number {
    return this.#readers.length
  }

  /** The next epoch that comes out is this one or a later one. */
  get fromEpoch(): bigint {
    return this.#fromEpoch
  }

  /** Newest epoch that readers may be shown, as the node has said. */
  get committed(): bigint {
    return this.#committed
  }

  get bytes(): number {
    return this.#readers.reduce((sum, reader) => sum + reader.bytes, 0)
  }

  /** A new connection. What was gathered and not taken out is void, and so is what another node has said. @throws HISTORY_DIVERGED */
  begin(history: readonly WireHistoryEntry[], committed: bigint): void {
    const checked = new LogHistory(history, this.channels)
    for (const reader of this.#readers) reader.begin(checked)
    this.#committed = committed
  }

  /** Lets go of everything that was not taken out. */
  clear(): void {
    for (const reader of this.#readers) reader.clear()
  }

  /** Where to begin on this channel. */
  resumeOf(channel: number): number {
    return this.#reader(channel).resume
  }

  startAt(channel: number, position: number): void {
    this.#reader(channel).startAt(position)
  }

  frame(channel: number, buffer: Buffer, at: number, bytes: number): void {
    this.#reader(channel).frame(buffer, at, bytes, { fromEpoch: this.#fromEpoch, committed: this.#committed })
  }

  commit(epoch: bigint): void {
    if (epoch > this.#committed) this.#committed = epoch
  }

  /**
   * Channels that are far enough ahead to wait. Never one that has nothing sealed: the next epoch may need its seal. So there
   * is always progress, and what is gathered is bounded by `bytesMax` and one epoch.
   */
  *ahead(): Generator<boolean, void, undefined> {
    const isFull = this.bytes >= this.#bytesMax
    for (const reader of this.#readers) yield isFull && reader.first !== undefined
  }

  /** Was everything up to this epoch taken out? */
  isPast(until: bigint): boolean {
    return this.#fromEpoch > until || (this.#next()?.epoch ?? 0n) > until
  }

  /** The next epoch, if it is here, whole and committed, and not above `until`. @throws LOG_INCOMPLETE, LOG_DAMAGED */
  take(until: bigint | undefined): GatheredEpoch | undefined {
    const next = this.#next()
    if (next === undefined || next.epoch > this.#committed || next.epoch > (until ?? next.epoch)) return undefined
    const { epoch, term } = next
    const parts: { channel: number; frames: readonly Buffer[] }[] = []
    if (!this.#isWhole(epoch)) return undefined
    for (const [channel, reader] of this.#readers.entries()) {
      const part = reader.first
      if (part?.epoch !== epoch) continue
      if (part.term.number !== term.number || part.term.tag !== term.tag) throw twoTerms(epoch, channel)
      parts.push({ channel, frames: part.frames })
      reader.pass(part)
    }
    this.#fromEpoch = epoch + 1n
    return { epoch, term, parts }
  }

  /** The oldest sealed epoch, if there is none between it and the last one. */
  #next(): SealedPart | undefined {
    let oldest: SealedPart | undefined
    let isSureOfAll = true
    for (const { first } of this.#readers) {
      if (first === undefined) isSureOfAll = false
      else if (oldest === undefined || first.epoch < oldest.epoch) oldest = first
    }
    if (oldest === undefined || oldest.prev < this.#fromEpoch) return oldest
    if (isSureOfAll) throw missing(oldest.prev, oldest.epoch)
    return undefined
  }

  #isWhole(epoch: bigint): boolean {
    let named = 0n
    for (const { first } of this.#readers) if (first?.epoch === epoch) named |= first.participants
    if (named >> BigInt(this.channels) !== 0n) throw unknownParticipant(epoch, named)
    for (const [channel, { first }] of this.#readers.entries()) {
      if (((named >> BigInt(channel)) & 1n) === 0n || first?.epoch === epoch) continue
      if (first !== undefined) throw noSeal(epoch, channel)
      return false
    }
    return true
  }

  #reader(channel: number): ChannelReader {
    const reader = this.#readers[channel]
    assert(reader !== undefined, 'a channel of the log', { channel })
    return reader
  }
}

function missing(epoch: bigint, behind: bigint): TravertineError {
  return incomplete(`found epoch ${behind} on top of epoch ${epoch}, which is on no channel`, { epoch })
}

function noSeal(epoch: bigint, channel: number): TravertineError {
  return incomplete(`found no seal of epoch ${epoch} on channel ${channel}, which takes part in it`, { epoch, channel })
}

function incomplete(found: string, where: { epoch: bigint; channel?: number }): TravertineError {
  return new TravertineError('LOG_INCOMPLETE', `Cannot read a log: ${found}`, {
    where,
    hint: 'run `travertine verify` on the data directory of the node, or read from another node',
  })
}

function unknownParticipant(epoch: bigint, named: bigint): TravertineError {
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot read a log: found a seal that names channels 0x${named.toString(16)}, expected channels that exist`,
    { where: { epoch } },
  )
}

function twoTerms(epoch: bigint, channel: number): TravertineError {
  return new TravertineError('LOG_DAMAGED', `Cannot read a log: found epoch ${epoch} in two terms, expected one`, {
    where: { epoch, channel },
  })
}
