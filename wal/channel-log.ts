/**
 * One channel's log on the master: accept, check, stamp, seal, flush, answer.
 *
 * The way of the data is straight: `accept` checks a client's frame where it lies in the receive buffer and queues it;
 * `flush` stamps its header in place and passes the same bytes to the replicas and to the disk; `answer` tells the writer.
 * Nothing is encoded again. The order on the board is board-machine.ts; this file is the log port it works on.
 *
 * Contract (STYLE A.3): sending and writing start together; nobody is *answered* before what the answer promises is
 * durable: answers come out of `answer` only, which the board calls with published watermarks.
 */
import { assert } from '../protocol/assert.ts'
import { type ConfigRecord, encodeConfig } from '../protocol/cluster-config.ts'
import { walkBody } from '../protocol/entry.ts'
import { type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import {
  encodeFrame,
  FLAG_EXPLICIT_VERSIONS,
  FRAME_HEADER_BYTES,
  FrameKind,
  HeaderOffset,
  headerCrcOf,
  readU64Number,
  writeU64Number,
} from '../protocol/frame.ts'
import type { Term } from '../protocol/ids.ts'
import { FLUSH_BYTES_LIMIT } from '../protocol/limits.ts'
import { encodeMark, encodeSeal } from '../protocol/seal.ts'
import { readU32, writeU32 } from '../protocol/unsigned.ts'
import { type Board, NONE } from './board.ts'
import { Acknowledge, ChannelState, Flush, Recompute, rowDown } from './board-machine.ts'
import type { ChannelWriter } from './channel-writer.ts'
import { Deque } from './deque.ts'
import { policyAsksForAny, policyIsSatisfiable } from './durability.ts'
import type { LogPort, StepMachine } from './log-port.ts'
import type { Producer } from './producer.ts'
import { type Pending, PropagationQueue } from './propagation-queue.ts'
import { ResumedProducers } from './resumed-producers.ts'

/** The writer of sessions: a producer, or whoever writes a CONFIG. */
export interface Origin {
  /** Nobody hears the answers any more. */
  readonly isGone: boolean
  /** This session stands in the log now, in this epoch. */
  stamped(sequence: number, epoch: number): void
  stored(epoch: bigint, lastSequence: number): void
  propagated(epoch: bigint, lastSequence: number): void
  /** This one session is certainly not applied. */
  rejected(sequence: number, error: TravertineError): void
}

/** Where unwritten bytes go besides the disk: the replicas connected on this channel. */
export interface Downstream {
  offer(position: number, buffers: readonly Buffer[], bytes: number): void
}

export interface ChannelLogOptions {
  readonly channel: number
  readonly board: Board
  readonly writer: ChannelWriter
  readonly term: Term
  readonly headerSeed: number
  readonly downstream: Downstream
  readonly wake: (channel: number) => void
  /** Milliseconds since 1970, for people who read seals. */
  readonly wallClockMs: () => number
}

interface QueuedSession {
  readonly frame: Buffer
  readonly at: number
  readonly bytes: number
  readonly majorMax: bigint
  readonly origin: Origin
  /** Set where the frame is a CONFIG. */
  readonly record?: ConfigRecord
}

/** What frames without entries have in the fields of sessions. */
const EMPTY_HEADER = {
  flags: 0,
  entryCount: 0,
  termTag: 0,
  position: 0,
  epoch: 0n,
  term: 0n,
  firstMinor: 0n,
  producerId: 0n,
  producerSequence: 0,
} as const

/** Seals whose ends are remembered for acknowledgements. A replica further behind counts as holding nothing new. */
const SEAL_ENDS_LIMIT = 4096

export class ChannelLog implements LogPort {
  readonly #options: ChannelLogOptions
  readonly #state: ChannelState
  readonly #flush: Flush
  readonly #recompute: Recompute
  readonly #acknowledge: Acknowledge
  readonly #queue = new Deque<QueuedSession>()
  #queuedBytes = 0
  readonly #unstored = new Deque<Pending<Origin>>()
  readonly #unpropagated = new PropagationQueue<Origin>()
  readonly #resumed = new ResumedProducers()
  readonly #sealEnds = new Deque<{ readonly layer: bigint; readonly end: number }>()
  /** From this position on `#sealEnds` is complete. */
  #sealEndsFrom: number
  /** Since the start, for whoever measures. */
  readonly counts = { frames: 0, sessions: 0, entries: 0, seals: 0 }
  #stampedLayer = NONE
  /** Entries stamped in `#stampedLayer`: the counter half of server-made minor versions. */
  #minorCounter = 0

  constructor(options: ChannelLogOptions) {
    this.#options = options
    this.#state = new ChannelState(options.board, this, options.channel)
    this.#flush = new Flush(this.#state)
    this.#recompute = new Recompute(this.#state)
    this.#acknowledge = new Acknowledge(this.#state)
    this.#sealEndsFrom = options.writer.appendedPosition
  }

  /** Bytes of sessions accepted and not yet stamped: the caller stops reading above its limit. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Is there anything that a flush would do? */
  get wantsFlush(): boolean {
    return this.#queue.length > 0 || this.#state.announced !== NONE || this.#options.writer.unflushedBytes > 0
  }

  /** Nothing queued, all of it STORED, and PROPAGATED told to whom can still hear it, as far as the policy allows. */
  get isDrained(): boolean {
    const waits = this.#unpropagated.isAwaited && policyIsSatisfiable(this.#options.board.policy())
    return !this.wantsFlush && this.#unstored.length === 0 && !waits
  }

  /**
   * Queues one session. `frame[at .. at + bytes)` has good CRCs (FrameReader) and must not change afterwards.
   *
   * @throws FRAME_KIND_UNKNOWN, ENTRY_MALFORMED: the connection cannot be trusted further
   */
  accept(frame: Buffer, at: number, bytes: number, origin: Origin, where: ErrorPlace): void {
    if (frame[at + HeaderOffset.kind] !== FrameKind.ENTRIES) {
      throw new TravertineError(
        'FRAME_KIND_UNKNOWN',
        `Cannot accept a session: found kind ${frame[at + HeaderOffset.kind]}, expected ${FrameKind.ENTRIES}`,
        { where },
      )
    }
    const explicit = (frame.readUInt16LE(at + HeaderOffset.flags) & FLAG_EXPLICIT_VERSIONS) !== 0
    const summary = walkBody(frame, at + FRAME_HEADER_BYTES, at + bytes, explicit, where)
    const claimed = readU32(frame, at + HeaderOffset.entryCount)
    if (claimed !== summary.entryCount) {
      throw new TravertineError(
        'ENTRY_MALFORMED',
        `Cannot accept a session: found ${summary.entryCount} entries, expected ${claimed}`,
        { where },
      )
    }
    this.#queue.push({ frame, at, bytes, majorMax: summary.majorMax, origin })
    this.#queuedBytes += bytes
  }

  /** Queues a CONFIG, which is stamped and sealed like a session (WAL-39). `onStored` is called when it is STORED. */
  acceptConfig(record: ConfigRecord, onStored: () => void): void {
    const frame = encodeFrame(
      { ...EMPTY_HEADER, kind: FrameKind.CONFIG },
      encodeConfig(record),
      this.#options.headerSeed,
    )
    const nothing = (): void => undefined
    const origin: Origin = { isGone: false, stamped: nothing, stored: onStored, propagated: nothing, rejected: nothing }
    this.#queue.push({ frame, at: 0, bytes: frame.length, majorMax: 0n, origin, record })
    this.#queuedBytes += frame.length
  }

  // ---- operations on the board: one at a time, the next is begun when the last is through

  /** Writes and seals what is queued. Its steps throw CHANNEL_POISONED: the node has to stop. */
  beginFlush(): StepMachine {
    this.#flush.begin()
    return this.#flush
  }

  /** Progress of other channels may concern us. The caller flushes afterwards if `wantsFlush`. */
  beginRecompute(): StepMachine {
    this.#recompute.begin()
    return this.#recompute
  }

  /** The replica of `row` has made durable what lies below `position`; the first call of a session brings the row up. */
  beginAcknowledge(row: number, position: number): StepMachine {
    this.#acknowledge.begin(row, position)
    return this.#acknowledge
  }

  beginRowDown(row: number): StepMachine {
    return {
      step: () => {
        rowDown(this.#options.board, this.#options.channel, row)
        return true
      },
    }
  }

  /** Proves the last flush durable to a later scan. Called when the channel has been idle for a while. */
  appendMark(): void {
    const { board, writer, term, headerSeed } = this.#options
    const mark = encodeMark({ durablePosition: writer.durablePosition, stored: board.shownEpoch(board.stored()) })
    writer.append(
      encodeFrame(
        {
          ...EMPTY_HEADER,
          kind: FrameKind.MARK,
          termTag: term.tag,
          term: term.number,
          position: writer.appendedPosition,
        },
        mark,
        headerSeed,
      ),
    )
    this.sendUnwritten()
    this.writeAndSync()
  }

  // ---- the log port

  hasQueue(): boolean {
    return this.#queue.length > 0
  }

  appendQueue(layer: bigint): void {
    if (layer !== this.#stampedLayer) {
      this.#stampedLayer = layer
      this.#minorCounter = 0
    }
    const { writer } = this.#options
    const stamp = new Stamp(this.#options, layer)
    const from = writer.appendedPosition
    let position = from
    for (let session = this.#queue.first(); session !== undefined; session = this.#queue.first()) {
      if (position > from && position - from + session.bytes > FLUSH_BYTES_LIMIT) break
      this.#queue.shift()
      this.#queuedBytes -= session.bytes
      if (session.majorMax > layer) {
        this.#rejectVersion(session, layer)
        continue
      }
      const entryCount = readU32(session.frame, session.at + HeaderOffset.entryCount)
      stamp.apply(session.frame, session.at, position, entryCount === 0 ? 0 : this.#minorCounter)
      this.#minorCounter += entryCount
      if (session.record !== undefined) writer.noteConfig({ position, config: session.record.config })
      this.counts.entries += entryCount
      this.counts.frames++
      if (session.record === undefined) this.counts.sessions++
      position += session.bytes
      writer.appendSlice(session.frame, session.at, session.bytes)
      const sequence = readU64Number(session.frame, session.at + HeaderOffset.producerSequence)
      session.origin.stamped(sequence, stamp.epoch)
      this.#notePending(layer, session, sequence)
    }
    assert(writer.appendedPosition === position, 'stamped positions are where the bytes went', { position })
  }

  appendSeal(layer: bigint, participants: bigint, stored: bigint): void {
    const { board, writer, term, headerSeed, wallClockMs } = this.#options
    const position = writer.appendedPosition
    const shownStored = board.shownEpoch(stored)
    const body = encodeSeal({
      prev: board.shownEpoch(layer - 1n),
      participants,
      stored: shownStored,
      durablePosition: writer.durablePosition,
      wallClockMs: wallClockMs(),
    })
    writer.append(
      encodeFrame(
        { ...EMPTY_HEADER, kind: FrameKind.SEAL, epoch: layer, termTag: term.tag, term: term.number, position },
        body,
        headerSeed,
      ),
    )
    this.counts.frames++
    this.counts.seals++
    const end = writer.appendedPosition
    writer.noteSeal({ epoch: layer, position, end, term: term.number, termTag: term.tag })
    this.#sealEnds.push({ layer, end })
    while (this.#sealEnds.length > SEAL_ENDS_LIMIT) {
      this.#sealEndsFrom = this.#sealEnds.first()!.end // the limit is above 0
      this.#sealEnds.shift()
    }
  }

  sendUnwritten(): void {
    const { downstream, writer } = this.#options
    if (writer.unflushedBytes > 0) downstream.offer(writer.durablePosition, writer.unwritten, writer.unflushedBytes)
  }

  writeAndSync(): void {
    this.#options.writer.writeAndSync()
  }

  hasUnanswered(): boolean {
    return (
      this.#unstored.length > 0 ||
      this.#unpropagated.length > 0 ||
      this.#resumed.size > 0 ||
      this.#state.announced !== NONE
    )
  }

  answer(stored: bigint, propagated: bigint): void {
    this.#options.writer.noteWhole(stored) // below this mastership no seal is noted, so layers are epochs here
    for (let p = this.#unstored.first(); p !== undefined && p.layer <= stored; p = this.#unstored.first()) {
      this.#unstored.shift()
      p.origin.stored(p.layer, p.lastSequence)
    }
    const told = propagated < stored ? propagated : stored // others may have published both since: they wake us (REP-31)
    this.#unpropagated.take(told, this.#sayPropagated)
    this.#resumed.answer(told)
  }

  wake(channel: number): void {
    this.#options.wake(channel)
  }

  firstSealBeyond(position: number): bigint | undefined {
    if (position < this.#sealEndsFrom) return 1n // the list does not reach back so far: below every layer of this term
    return this.#sealEnds.firstOfTail((seal) => seal.end > position)?.layer
  }

  /** A connection of `producer` was opened: it hears PROPAGATED also for sessions of earlier connections and terms. */
  awaitPropagated(producer: Producer): void {
    const { board, channel } = this.#options
    this.#resumed.add(producer, board)
    board.setWaiting(channel, true) // before the look, so that progress behind it wakes us
    this.#resumed.answer(board.propagated())
  }

  // ---- helpers

  readonly #sayPropagated = (p: Pending<Origin>): void => p.origin.propagated(p.layer, p.lastSequence)

  #notePending(layer: bigint, session: QueuedSession, sequence: number): void {
    const last = this.#unstored.last()
    if (last !== undefined && last.layer === layer && last.origin === session.origin) {
      last.lastSequence = sequence // the same object waits for PROPAGATED
      return
    }
    const pending = { layer, origin: session.origin, lastSequence: sequence }
    this.#unstored.push(pending)
    // also where the set is too small for now: they wait, and the set may grow
    if (session.record === undefined && policyAsksForAny(this.#options.board.policy())) this.#unpropagated.push(pending)
  }

  #rejectVersion(session: QueuedSession, layer: bigint): void {
    const sequence = readU64Number(session.frame, session.at + HeaderOffset.producerSequence)
    session.origin.rejected(
      sequence,
      new TravertineError(
        'VERSION_ABOVE_EPOCH',
        `Cannot write a session: found major version ${session.majorMax}, expected at most the epoch ${layer}`,
        {
          where: { channel: this.#options.channel, epoch: layer },
          hint: 'explicit write versions may not lie in the future; leave them out to use the epoch',
        },
      ),
    )
  }
}

/** Writes the stamped half of a header. Numbers are split once per batch, so that stamping makes no bigint. */
class Stamp {
  readonly #seed: number
  readonly #termTag: number
  readonly epoch: number
  readonly #term: number
  readonly #minorHigh: number

  constructor(options: ChannelLogOptions, layer: bigint) {
    this.#seed = options.headerSeed
    this.#termTag = options.term.tag
    this.epoch = Number(layer)
    this.#term = Number(options.term.number)
    this.#minorHigh = options.channel << 24 // minor = channel in the top byte, counter within the epoch below
  }

  apply(frame: Buffer, at: number, position: number, minorCounter: number): void {
    writeU32(frame, at + HeaderOffset.termTag, this.#termTag)
    writeU64Number(frame, at + HeaderOffset.position, position)
    writeU64Number(frame, at + HeaderOffset.epoch, this.epoch)
    writeU64Number(frame, at + HeaderOffset.term, this.#term)
    writeU32(frame, at + HeaderOffset.firstMinor, minorCounter)
    writeU32(frame, at + HeaderOffset.firstMinor + 4, this.#minorHigh)
    writeU32(frame, at + HeaderOffset.headerCrc, headerCrcOf(frame, at, this.#seed))
  }
}
