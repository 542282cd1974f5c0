/**
 * One channel's log on a replica: the master's bytes, at the master's positions, durable before they are acknowledged.
 *
 * A frame is appended only where it belongs: its position is the end of the log, and its term is the one that the adopted
 * history gives for that place. Anything else ends the replication session; it never crashes the node, and it never
 * cuts the log: only adopting a new history does that (adopt-history.ts).
 */
import { type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import { decodeHeader, FRAME_HEADER_BYTES, FrameKind, HeaderOffset, readU64Number } from '../protocol/frame.ts'
import { decodeSeal } from '../protocol/seal.ts'
import type { ChannelWriter } from './channel-writer.ts'
import { type TermHistory, termMayStandAt } from './term-history.ts'
import type { FoundSeal } from './whole-epoch.ts'

export interface ReplicaLogOptions {
  readonly channel: number
  readonly writer: ChannelWriter
  readonly history: TermHistory
  /** Last whole epoch that this node holds, as its control thread has worked out; may lag. */
  readonly whole: () => bigint
}

export class ReplicaLog {
  readonly #options: ReplicaLogOptions
  /** Seals appended and not yet durable. */
  #appendedSeals: FoundSeal[] = []
  #durableSeals: FoundSeal[] = []

  constructor(options: ReplicaLogOptions) {
    this.#options = options
  }

  /** End of what was received: for flow control and status, never for durability. */
  get receivedPosition(): number {
    return this.#options.writer.appendedPosition
  }

  get durablePosition(): number {
    return this.#options.writer.durablePosition
  }

  get wantsFlush(): boolean {
    return this.#options.writer.unwrittenBytes > 0
  }

  /** @throws POSITION_MISMATCH, TERM_STALE, ENTRY_MALFORMED: the session ends, the log stays as it is */
  accept(buffer: Buffer, at: number, bytes: number, where: ErrorPlace): void {
    const { channel, writer, history } = this.#options
    const position = readU64Number(buffer, at + HeaderOffset.position)
    if (position !== writer.appendedPosition) {
      throw new TravertineError('POSITION_MISMATCH', `Cannot append a frame: found position ${position}, expected ${writer.appendedPosition}`, {
        where,
        hint: 'the session is begun again, and resumes where this replica stands',
      })
    }
    const header = decodeHeader(buffer, at)
    if (!termMayStandAt(history, { channel, position, term: header.term, termTag: header.termTag })) {
      throw new TravertineError('TERM_STALE', `Cannot append a frame: found term ${header.term}, which does not own position ${position}`, {
        where,
        hint: 'the sender is not the master of the history that this replica has adopted',
      })
    }
    if (header.kind === FrameKind.SEAL) {
      const seal = decodeSeal(buffer.subarray(at + FRAME_HEADER_BYTES, at + bytes), where)
      const { epoch, term, termTag } = header
      writer.noteSeal({ epoch, position, end: position + bytes, term, termTag })
      this.#appendedSeals.push({ channel, epoch, term, prev: seal.prev, participants: seal.participants })
    }
    writer.append(buffer.subarray(at, at + bytes))
  }

  /** Makes durable what was accepted. @throws CHANNEL_POISONED */
  flush(): void {
    this.#options.writer.noteWhole(this.#options.whole())
    this.#options.writer.writeAndSync()
    for (const seal of this.#appendedSeals) this.#durableSeals.push(seal)
    this.#appendedSeals = []
  }

  /** Seals that became durable since the last call. */
  takeDurableSeals(): FoundSeal[] {
    const seals = this.#durableSeals
    this.#durableSeals = []
    return seals
  }
}
