/**
 * One channel's log on a replica: the master's bytes, at the master's positions, durable before they are acknowledged.
 *
 * A frame is appended only where it belongs: its position is the end of the log, and its term is the one that the adopted
 * history gives for that place. Anything else ends the replication session; it never crashes the node, and it never
 * cuts the log: only adopting a new history does that (adopt-history.ts).
 */

import { type ConfigRecord, decodeConfig } from '../protocol/cluster-config.ts'
import { type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import { decodeHeader, FRAME_HEADER_BYTES, FrameKind, HeaderOffset, readU64Number } from '../protocol/frame.ts'
import { decodeSeal } from '../protocol/seal.ts'
import { readU32 } from '../protocol/unsigned.ts'
import type { ChannelWriter } from './channel-writer.ts'
import { isForgotten, mastershipAt, type TermHistory } from './term-history.ts'
import type { FoundSeal } from './whole-epoch.ts'

export interface ReplicaLogOptions {
  readonly channel: number
  readonly writer: ChannelWriter
  readonly history: TermHistory
  /** Last whole epoch that this node holds, as its control thread has worked out; may lag. */
  readonly whole: () => bigint
}

/** A CONFIG that this replica holds. It counts once its epoch is whole here. */
export interface ReceivedConfig {
  readonly epoch: bigint
  readonly record: ConfigRecord
}

export class ReplicaLog {
  readonly #options: ReplicaLogOptions
  /** Seals appended and not yet durable. */
  #appendedSeals: FoundSeal[] = []
  /** Since this log was opened, for whoever measures. */
  readonly counts = { frames: 0, sessions: 0, entries: 0 }
  #durableSeals: FoundSeal[] = []
  #endsInSeal = false
  /** The same for CONFIGs: bodies, and the epochs that they belong to. */
  #appendedConfigs: ReceivedConfig[] = []
  #durableConfigs: ReceivedConfig[] = []
  /** Term of the mastership that owns the positions below `#ownedTo`; looked up again beyond. */
  #ownerTerm = 0
  #ownerTag = 0
  #ownedTo = -1

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
    return this.#options.writer.unflushedBytes > 0
  }

  /** Was the last frame a seal? The master has nothing more to add to its flush then. */
  get endsInSeal(): boolean {
    return this.#endsInSeal
  }

  /** @throws POSITION_MISMATCH, TERM_STALE, ENTRY_MALFORMED: the session ends, the log stays as it is */
  accept(buffer: Buffer, at: number, bytes: number, where: ErrorPlace): void {
    const { writer } = this.#options
    const position = readU64Number(buffer, at + HeaderOffset.position)
    if (position !== writer.appendedPosition) {
      throw new TravertineError(
        'POSITION_MISMATCH',
        `Cannot append a frame: found position ${position}, expected ${writer.appendedPosition}`,
        {
          where,
          hint: 'the session is begun again, and resumes where this replica stands',
        },
      )
    }
    this.#checkTerm(buffer, at, position, where)
    const kind = buffer[at + HeaderOffset.kind]
    this.#endsInSeal = kind === FrameKind.SEAL
    if (this.#endsInSeal) this.#noteSeal(buffer, at, bytes, where)
    else if (kind === FrameKind.CONFIG) this.#noteConfig(buffer, at, bytes, where)
    else if (kind === FrameKind.ENTRIES) {
      writer.producers.fold(buffer, at)
      this.counts.sessions++
      this.counts.entries += readU32(buffer, at + HeaderOffset.entryCount)
    }
    this.counts.frames++
    writer.appendSlice(buffer, at, bytes)
  }

  /** Writes what was accepted, ahead of the flush that makes it durable. @throws CHANNEL_POISONED */
  write(): void {
    this.#options.writer.write()
  }

  /** Makes durable what was accepted. @throws CHANNEL_POISONED */
  flush(): void {
    this.#options.writer.noteWhole(this.#options.whole())
    this.#options.writer.writeAndSync()
    for (const seal of this.#appendedSeals) this.#durableSeals.push(seal)
    this.#appendedSeals = []
    this.#durableConfigs.push(...this.#appendedConfigs)
    this.#appendedConfigs = []
  }

  /** Nothing has come for a while. */
  becomeQuiet(): void {
    this.#options.writer.becomeQuiet()
  }

  /** Seals that became durable since the last call. */
  takeDurableSeals(): FoundSeal[] {
    const seals = this.#durableSeals
    this.#durableSeals = []
    return seals
  }

  /** CONFIGs that became durable since the last call. */
  takeDurableConfigs(): ReceivedConfig[] {
    const configs = this.#durableConfigs
    this.#durableConfigs = []
    return configs
  }

  /** One lookup per mastership, not per frame: positions ascend, and so do the masterships that own them. */
  #checkTerm(buffer: Buffer, at: number, position: number, where: ErrorPlace): void {
    const { channel, history } = this.#options
    if (position >= this.#ownedTo) {
      const owner = mastershipAt(history, channel, position)
      this.#ownerTerm = Number(owner?.term.number ?? 0n)
      this.#ownerTag = owner?.term.tag ?? 0
      const next = history.find((m) => m.starts[channel]! > position) // a start per channel: checkHistory
      this.#ownedTo = next?.starts[channel] ?? Number.POSITIVE_INFINITY
    }
    const term = readU64Number(buffer, at + HeaderOffset.term)
    if (term === this.#ownerTerm && readU32(buffer, at + HeaderOffset.termTag) === this.#ownerTag) return
    if (this.#ownerTerm === 0 && isForgotten(history, term)) return
    throw new TravertineError(
      'TERM_STALE',
      `Cannot append a frame: found term ${term}, which does not own position ${position}`,
      { where, hint: 'the sender is not the master of the history that this replica has adopted' },
    )
  }

  #noteSeal(buffer: Buffer, at: number, bytes: number, where: ErrorPlace): void {
    const { channel, writer } = this.#options
    const { epoch, term, termTag, position } = decodeHeader(buffer, at)
    const seal = decodeSeal(buffer.subarray(at + FRAME_HEADER_BYTES, at + bytes), where)
    writer.noteSeal({ epoch, position, end: position + bytes, term, termTag })
    this.#appendedSeals.push({ channel, epoch, term, prev: seal.prev, participants: seal.participants })
  }

  #noteConfig(buffer: Buffer, at: number, bytes: number, where: ErrorPlace): void {
    const { epoch, position } = decodeHeader(buffer, at)
    const record = decodeConfig(buffer.subarray(at + FRAME_HEADER_BYTES, at + bytes), where)
    this.#options.writer.noteConfig({ position, config: record.config })
    this.#appendedConfigs.push({ epoch, record })
  }
}
