/**
 * One channel of a log, frame by frame, as a reader receives it: checks each frame's place and term, and gathers the frames
 * of an epoch up to the seal that ends it.
 *
 * Positions, in this order: resume <= position. What stands below `resume` was passed for good; it is where the next
 * connection begins.
 */
import { type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import { decodeHeader, FRAME_HEADER_BYTES, FrameKind, HeaderOffset, readU64Number } from '../protocol/frame.ts'
import type { Term } from '../protocol/ids.ts'
import { READER_EPOCH_BYTES_LIMIT } from '../protocol/limits.ts'
import { decodeSeal } from '../protocol/seal.ts'
import type { LogHistory, Owner } from './log-history.ts'

/** What one channel has of one epoch. */
export interface SealedPart {
  readonly epoch: bigint
  readonly term: Term
  readonly prev: bigint
  readonly participants: bigint
  /** ENTRIES frames, whole, in their order. */
  readonly frames: readonly Buffer[]
  readonly bytes: number
  readonly sealPosition: number
  /** End of the seal. */
  readonly end: number
}

/** The seal behind which a channel goes on. */
interface PassedSeal {
  readonly position: number
  readonly end: number
  readonly term: Term
}

export class ChannelReader {
  readonly #channel: number
  readonly #parts: SealedPart[] = []
  /** Index of the first part that was not taken: taking one must not move all others. */
  #head = 0
  #frames: Buffer[] = []
  #frameBytes = 0
  /** Epoch of the last frame; epochs of a channel never descend. */
  #epoch = 0n
  #position = 0
  #history: LogHistory | undefined
  #owner: Owner | undefined
  #passed: PassedSeal | undefined
  /** Bytes gathered: of sealed parts and of the one that is open. */
  bytes = 0

  constructor(channel: number) {
    this.#channel = channel
  }

  /** Where the next connection has to begin. */
  get resume(): number {
    return this.#passed?.end ?? 0
  }

  /** The oldest epoch that is sealed and was not taken. */
  get first(): SealedPart | undefined {
    return this.#parts[this.#head]
  }

  /**
   * A new connection, to this node or another one: what was gathered and not passed is void.
   *
   * @throws HISTORY_DIVERGED: what was passed is not in this history
   */
  begin(history: LogHistory): void {
    const seal = this.#passed
    if (seal !== undefined) this.#checkPassed(seal, history.ownerAt(this.#channel, seal.position))
    this.clear()
    this.#history = history
    this.#owner = undefined
    this.#position = this.resume
  }

  /** The node begins at this position. @throws POSITION_MISMATCH */
  startAt(position: number): void {
    if (position < this.#position) throw this.#misplaced(position)
    this.#position = position
  }

  clear(): void {
    this.#parts.length = 0
    this.#head = 0
    this.#frames = []
    this.#frameBytes = 0
    this.bytes = 0
    this.#epoch = 0n
  }

  /**
   * Takes `buffer[at .. at + bytes)`, one whole frame with good CRCs. Frames of epochs below `fromEpoch` are left out, and
   * passed for good if they are committed: what is not may still be cut.
   *
   * @throws POSITION_MISMATCH, TERM_STALE, ENTRY_MALFORMED, LOG_DAMAGED, MESSAGE_TOO_LARGE
   */
  frame(buffer: Buffer, at: number, bytes: number, now: { fromEpoch: bigint; committed: bigint }): void {
    const position = readU64Number(buffer, at + HeaderOffset.position)
    if (position !== this.#position) throw this.#misplaced(position)
    const term = this.#termOf(buffer, at, position)
    this.#position += bytes
    const kind = buffer[at + HeaderOffset.kind]
    if (kind === FrameKind.ENTRIES) this.#entries(buffer, at, bytes, now.fromEpoch)
    else if (kind === FrameKind.SEAL) this.#seal(buffer, at, bytes, { ...now, term })
    // other kinds say nothing to readers
  }

  /** Takes the first part: it was shown, or is to be left out. */
  pass(part: SealedPart): void {
    this.#passed = { position: part.sealPosition, end: part.end, term: part.term }
    this.bytes -= part.bytes
    this.#head++
    if (this.#head < 64 || this.#head * 2 < this.#parts.length) return
    this.#parts.splice(0, this.#head)
    this.#head = 0
  }

  #entries(buffer: Buffer, at: number, bytes: number, fromEpoch: bigint): void {
    const epoch = buffer.readBigUInt64LE(at + HeaderOffset.epoch)
    const isInside = this.#frames.length > 0
    if (isInside ? epoch !== this.#epoch : epoch <= this.#epoch) throw this.#outOfOrder(epoch)
    if (epoch < fromEpoch) return
    this.#epoch = epoch
    this.#frames.push(buffer.subarray(at, at + bytes))
    this.#frameBytes += bytes
    this.bytes += bytes
    if (this.#frameBytes > READER_EPOCH_BYTES_LIMIT) throw this.#tooLarge(epoch)
  }

  #seal(
    buffer: Buffer,
    at: number,
    bytes: number,
    { term, fromEpoch, committed }: { term: Term; fromEpoch: bigint; committed: bigint },
  ): void {
    const { epoch, position } = decodeHeader(buffer, at)
    const end = position + bytes
    const isInside = this.#frames.length > 0
    if (isInside ? epoch !== this.#epoch : epoch <= this.#epoch) throw this.#outOfOrder(epoch)
    this.#epoch = epoch
    if (epoch < fromEpoch) {
      if (epoch <= committed) this.#passed = { position, end, term }
      return
    }
    const { prev, participants } = decodeSeal(buffer.subarray(at + FRAME_HEADER_BYTES, at + bytes), this.#place())
    this.#parts.push({
      epoch,
      term,
      prev,
      participants,
      frames: this.#frames,
      bytes: this.#frameBytes + bytes,
      sealPosition: position,
      end,
    })
    this.bytes += bytes
    this.#frames = []
    this.#frameBytes = 0
  }

  /** One lookup per mastership, not per frame. */
  #termOf(buffer: Buffer, at: number, position: number): Term {
    if (this.#owner === undefined || position >= this.#owner.end) {
      this.#owner = this.#history?.ownerAt(this.#channel, position)
    }
    const number = buffer.readBigUInt64LE(at + HeaderOffset.term)
    const tag = buffer.readUInt32LE(at + HeaderOffset.termTag)
    const term = this.#owner?.term
    if (term?.number === number && term.tag === tag) return term
    throw new TravertineError(
      'TERM_STALE',
      `Cannot read a frame: found term ${number}, which does not own position ${position} in the node's history`,
      { where: this.#place() },
    )
  }

  #checkPassed(seal: PassedSeal, owner: Owner | undefined): void {
    const isSame = owner?.term.number === seal.term.number && owner.term.tag === seal.term.tag
    if (isSame && owner.end >= seal.end) return
    throw new TravertineError(
      'HISTORY_DIVERGED',
      `Cannot go on reading: found another history of channel ${this.#channel} before position ${seal.end}, expected term ${seal.term.number}, in which it was read before`,
      {
        where: { channel: this.#channel, offset: seal.position },
        hint: 'epochs that were read are not in the log of this node; if a fail-over has given them up, read anew',
      },
    )
  }

  #misplaced(position: number): TravertineError {
    return new TravertineError(
      'POSITION_MISMATCH',
      `Cannot read a channel: found position ${position}, expected ${this.#position}`,
      { where: this.#place() },
    )
  }

  #outOfOrder(epoch: bigint): TravertineError {
    return new TravertineError(
      'LOG_DAMAGED',
      `Cannot read a channel: found a frame of epoch ${epoch} behind epoch ${this.#epoch}`,
      { where: { ...this.#place(), epoch }, hint: 'run `travertine verify` on the data directory of the node' },
    )
  }

  #tooLarge(epoch: bigint): TravertineError {
    return new TravertineError(
      'MESSAGE_TOO_LARGE',
      `Cannot gather an epoch: found more than ${READER_EPOCH_BYTES_LIMIT} bytes of it on one channel, expected its seal`,
      { where: { ...this.#place(), epoch } },
    )
  }

  #place(): ErrorPlace {
    return { channel: this.#channel, offset: this.#position }
  }
}
