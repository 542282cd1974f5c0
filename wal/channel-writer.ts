/**
 * The end of one channel's log: what is appended and not yet written, and the way to make it durable.
 *
 * Positions, in this order: durable <= written <= appended. What is appended is in memory, and leaves it with a write;
 * whoever gathers a large flush writes early, but nothing counts before `writeAndSync`. When either fails
 * the channel is poisoned: no retry, no further append, ever (DESIGN 3), since after a failed fdatasync nobody can know
 * what the disk holds.
 *
 * Serves a master's channel log and a replica's alike. Also makes the recovery point that is due at each segment change:
 * position and producer table belong together, so both are taken at the next seal that is appended, and kept until that
 * seal is durable and its epoch known to be whole.
 */
import { assert } from '../protocol/assert.ts'
import { asError, TravertineError } from '../protocol/errors.ts'
import { KIB } from '../protocol/limits.ts'
import type { ProducerTable } from './producer-table.ts'
import type { ConfigPlace, RecoveryPoint } from './recovery-point.ts'
import type { Segments } from './segments.ts'

export interface ChannelWriterOptions {
  readonly channel: number
  readonly segments: Segments
  /** Durable end of the log so far. */
  readonly position: number
  /** CONFIGs below `position` that may be the newest one below a recovery point. */
  readonly configs?: readonly ConfigPlace[]
  /** Of all frames appended so far; folded by whoever appends. */
  readonly producers: ProducerTable
  /** Called after a segment change, with a point that is durable. Writing it is not on the commit path. */
  readonly onRecoveryPoint: (point: RecoveryPoint) => void
}

/** A seal that lies in this channel. */
export interface SealPlace {
  readonly epoch: bigint
  readonly position: number
  readonly end: number
  readonly term: bigint
  readonly termTag: number
}

/** What a flush writes is copied together up to this size. */
const JOIN_BYTES_LIMIT = 32 * KIB

export class ChannelWriter {
  readonly #options: ChannelWriterOptions
  #durable: number
  #written: number
  #appended: number
  #buffers: Buffer[] = []
  /** The last slice, which may still grow: bytes `#runFrom` to `#runTo` of `#run`. */
  #run: Buffer | undefined
  #runFrom = 0
  #runTo = 0
  #poison: TravertineError | undefined
  #whole = 0n
  /** The newest one below the last recovery point, and all behind it. */
  #configs: ConfigPlace[]
  /** Base of the segment that holds the durable end. */
  #base: number
  /** The segment has changed, and no seal was appended since. */
  #pointDue = false
  /** The next recovery point, from the append of its seal on until it may be told. */
  #point: Omit<RecoveryPoint, 'stored'> | undefined

  constructor(options: ChannelWriterOptions) {
    this.#options = options
    this.#durable = options.position
    this.#written = options.position
    this.#appended = options.position
    this.#base = options.segments.baseAt(options.position)
    this.#configs = (options.configs ?? []).filter((place) => place.position < options.position)
  }

  /** Everything below survived fdatasync. */
  get durablePosition(): number {
    return this.#durable
  }

  /** Position of the next frame. */
  get appendedPosition(): number {
    return this.#appended
  }

  get unflushedBytes(): number {
    return this.#appended - this.#durable
  }

  /** The buffers between written and appended, in order. Valid until they are written. */
  get unwritten(): readonly Buffer[] {
    this.#endRun()
    // one buffer to write, for each socket and for the disk, costs less than to copy a few kilobytes
    if (this.#buffers.length > 1 && this.#appended - this.#written <= JOIN_BYTES_LIMIT)
      this.#buffers = [Buffer.concat(this.#buffers)]
    return this.#buffers
  }

  get producers(): ProducerTable {
    return this.#options.producers
  }

  get poison(): TravertineError | undefined {
    return this.#poison
  }

  /** For the writer that takes over. */
  get configs(): readonly ConfigPlace[] {
    return this.#configs
  }

  append(bytes: Buffer): void {
    this.appendSlice(bytes, 0, bytes.length)
  }

  /** Appends `buffer[at .. at + bytes)`. What arrived one behind the other in one buffer leaves as one slice. */
  appendSlice(buffer: Buffer, at: number, bytes: number): void {
    assert(this.#poison === undefined, 'a poisoned channel takes no append')
    if (this.#run !== buffer || this.#runTo !== at) {
      this.#endRun()
      this.#run = buffer
      this.#runFrom = at
    }
    this.#runTo = at + bytes
    this.#appended += bytes
  }

  /** Notes a seal that was appended. */
  noteSeal(seal: SealPlace): void {
    if (!this.#pointDue || this.#point !== undefined) return
    this.#pointDue = false
    const { channel, producers } = this.#options
    const { epoch, position, end, term, termTag } = seal
    const config = this.#configs.findLast((place) => place.position < position)
    const table = producers.state()
    this.#point = { channel, position: end, epoch, term, termTag, sealPosition: position, config, producers: table }
  }

  /** Notes a CONFIG that was appended. */
  noteConfig(place: ConfigPlace): void {
    this.#configs.push(place)
  }

  /** Notes an epoch that is whole and durable on this node: on a master STORED, on a replica what it holds itself. */
  noteWhole(epoch: bigint): void {
    if (epoch > this.#whole) this.#whole = epoch
    this.#tellPoint()
  }

  /** Hands what was appended to the file system: it takes no memory of ours any more. @throws CHANNEL_POISONED */
  write(): void {
    if (this.#poison !== undefined) throw this.#poison
    if (this.#appended === this.#written) return
    try {
      this.#options.segments.write(this.#written, this.unwritten, this.#appended - this.#written)
    } catch (error) {
      throw this.#poisoned(asError(error))
    }
    this.#written = this.#appended
    this.#buffers = []
  }

  /** Writes what was appended and makes it durable. @throws CHANNEL_POISONED */
  writeAndSync(): void {
    this.write()
    if (this.#written === this.#durable) return
    try {
      this.#options.segments.syncData()
    } catch (error) {
      throw this.#poisoned(asError(error))
    }
    this.#durable = this.#written
    this.#noteSegmentChange()
  }

  /** The channel has had nothing to write for a while. */
  becomeQuiet(): void {
    this.#options.segments.becomeQuiet()
  }

  #endRun(): void {
    if (this.#run !== undefined) this.#buffers.push(this.#run.subarray(this.#runFrom, this.#runTo))
    this.#run = undefined
  }

  #poisoned(cause: Error): TravertineError {
    this.#poison = new TravertineError(
      'CHANNEL_POISONED',
      `Cannot make channel ${this.#options.channel} durable: ${cause.message}`,
      {
        where: {
          file: this.#options.segments.pathAt(this.#durable),
          channel: this.#options.channel,
          offset: this.#durable,
        },
        hint: 'the node stops; check the disk, then start it again: recovery keeps what was answered',
        cause,
      },
    )
    return this.#poison
  }

  #noteSegmentChange(): void {
    const { segments } = this.#options
    const base = segments.baseAt(this.#durable)
    if (base !== this.#base) {
      this.#base = base
      this.#pointDue = true
      segments.keepAhead()
    }
    this.#tellPoint()
  }

  #tellPoint(): void {
    const point = this.#point
    if (point === undefined || point.epoch > this.#whole || point.position > this.#durable) return
    this.#point = undefined
    const { config } = point
    if (config !== undefined) this.#configs = this.#configs.filter((place) => place.position >= config.position)
    this.#options.onRecoveryPoint({ ...point, stored: this.#whole })
  }
}
