/**
 * One state of the explored system as a vector of bytes: this is what is compared, stored and copied.
 *
 *   board      open, waiting, participation ring, cells
 *   control    phase, number of the replication session, life of the replica, breaks left
 *   channels   registers of the machines, and what the thread around them knows, a block per channel
 *   evidence   STORED, PROPAGATED, durable lengths on the replica's disks, and per channel its log and answers:
 *              all that a crash can be judged by, in one piece, so that a judgement can be remembered by it
 *
 * Layers are single bytes: 0 UNKNOWN, 255 NONE, 254 the layer -1, 253 dead. A dead register is one that the shipped
 * code must write before it reads it. It is restored as a poison that would do harm, so a wrong belief is found out.
 */
import { NONE } from '../../wal/board.ts'
import { type Configuration, ENDLESS, rowsOf } from './configuration.ts'

export const LAYER_NONE = 255
export const LAYER_MINUS_ONE = 254
export const DEAD = 253
/** Larger than every layer of an exploration: whoever believes it, believes too much durable. */
export const POISON_LAYER = NONE - 7n
/** No row, channel or position. */
export const POISON_NUMBER = 240

/** Of a channel's block: what the thread around the machines knows, then the registers of the machines. */
export const Channel = {
  op: 0,
  /** The layer announced and not yet sealed. */
  announced: 1,
  /** Highest layer of a session that was answered when the queued ones were accepted. */
  floor: 2,
  queue: 3,
  /** Sessions that have not arrived yet. */
  remaining: 4,
  wakePending: 5,
  /** 1: woken while a layer is announced, so that a flush is due. */
  flushPending: 6,
  /** Replication session whose row this channel has up; 0 if none. */
  link: 7,
  /** Only in a broken world: 1 + position of an acknowledgement that a former replication session has left behind. */
  staleAck: 8,
  flushAt: 9,
  rechecked: 10,
  announceAt: 11,
  announceLayer: 12,
  announceRow: 13,
  sealLayer: 14,
  sealChannel: 15,
  sealParticipants: 16,
  acknowledgeAt: 17,
  acknowledgePosition: 18,
  recomputeAt: 19,
  policyRead: 20,
  top: 21,
  row: 22,
  channel: 23,
  low: 24,
  stored: 25,
  propagated: 26,
  raised: 27,
  durable: 28,
} as const

/** Of a channel's evidence. Lengths count records. */
export const Log = {
  length: 0,
  durable: 1,
  sent: 2,
  answeredStored: 3,
  answeredPropagated: 4,
  /** Sessions were taken off the log that are not answered yet: 0 none, else the least watermark that answers them. */
  owedStored: 5,
  owedPropagated: 6,
  records: 7,
} as const

/** Below every layer and every watermark that is known, but not UNKNOWN. */
export const STALE = 1

/** A record takes two bytes: layer, with the high bit set for a seal; participants of a seal. */
export const SEAL_BIT = 0x80
/** Layers must stay below the seal bit. */
export const LAYER_LIMIT = 0x7f

export class Layout {
  readonly config: Configuration
  readonly channels: number
  readonly rows: number
  readonly recordsMax: number
  readonly open = 0
  readonly waiting: number
  readonly part: number
  readonly cell: number
  readonly phase: number
  readonly session: number
  readonly life: number
  readonly breaksLeft: number
  readonly #channel: number
  readonly #channelBytes: number
  readonly evidence: number
  readonly stored: number
  readonly propagated: number
  /** The last epoch taken off the logs by canonical.ts; what lies before the first epoch if there is none. */
  readonly forgotten: number
  readonly lifeDurable: number
  readonly #log: number
  readonly #logBytes: number
  /** End of the evidence; the vector is padded to whole 32-bit words. */
  readonly end: number
  readonly bytes: number

  constructor(config: Configuration) {
    this.config = config
    this.channels = config.sessions.length
    this.rows = rowsOf(config)
    // a batch and its seal per session, and one empty seal for each time another channel closed the layer first; of
    // endless sessions two batches and a seal per layer that is not forgotten. Too small is an error, not a wrong verdict
    const sessions = Math.max(...config.sessions)
    this.recordsMax = sessions === ENDLESS ? 3 * (config.bound + 1) : 2 * sessions + 4
    this.waiting = 1
    this.part = this.waiting + this.channels
    this.cell = this.part + this.channels * config.ring
    this.phase = this.cell + this.channels * this.rows
    this.session = this.phase + 1
    this.life = this.session + 1
    this.breaksLeft = this.life + 1
    this.#channel = this.breaksLeft + 1
    this.#channelBytes = Channel.durable + this.rows
    this.evidence = this.#channel + this.channels * this.#channelBytes
    this.stored = this.evidence
    this.propagated = this.stored + 1
    this.forgotten = this.propagated + 1
    this.lifeDurable = this.forgotten + 1
    this.#log = this.lifeDurable + this.channels * config.lives
    this.#logBytes = Log.records + 2 * this.recordsMax
    this.end = this.#log + this.channels * this.#logBytes
    this.bytes = Math.ceil(this.end / 4) * 4
  }

  channel(channel: number): number {
    return this.#channel + channel * this.#channelBytes
  }

  log(channel: number): number {
    return this.#log + channel * this.#logBytes
  }

  /** Where the durable length of `channel` on the disk of one of the replica's lives stands. */
  durableInLife(life: number, channel: number): number {
    return this.lifeDurable + life * this.channels + channel
  }
}
