/**
 * A made-up log for readers: frames of several channels over several masterships, and beside it the plain list of what is in
 * it, epoch by epoch. Bytes come from the codecs, the list from the generator, so that neither is taken from the other.
 */
import type { Message, WireHistoryEntry } from '../../protocol/control-message.ts'
import { entryBytes } from '../../protocol/entry.ts'
import { encodeEntry } from '../../protocol/entry-encoder.ts'
import { encodeFrame, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { channelId, clusterId } from '../../protocol/ids.ts'
import { encodeMark, encodeSeal } from '../../protocol/seal.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'

export const CLUSTER = clusterId('0a1b2c3d-4e5f-4607-8899-aabbccddeeff')
const NODE = '11111111-2222-4333-8444-555555555555'

export interface ModelEpoch {
  readonly epoch: bigint
  readonly term: bigint
  /** Keys of its puts, in the order of the log. */
  readonly keys: readonly string[]
  /** Per channel where it ends: behind its seal, or where the epoch before it ended. */
  readonly ends: readonly number[]
}

export class ModelLog {
  readonly channels: number
  readonly bytes: Buffer[]
  readonly history: WireHistoryEntry[] = []
  readonly epochs: ModelEpoch[] = []
  readonly #random: SeededRandom
  #epoch = 0n
  #last = 0n
  #keys = 0

  constructor(channels: number, random: SeededRandom) {
    this.channels = channels
    this.bytes = Array.from({ length: channels }, () => Buffer.alloc(0))
    this.#random = random
    this.newTerm()
  }

  /** The next mastership begins where the log ends; it may leave out numbers of epochs. */
  newTerm(): void {
    this.history.push({
      number: BigInt(this.history.length * 2 + 1),
      nodeId: NODE,
      tag: 100 + this.history.length,
      firstEpoch: this.#epoch + 1n,
      baseEpoch: this.#last,
      starts: this.bytes.map((bytes) => bytes.length),
    })
    this.#epoch += BigInt(this.#random.below(3))
  }

  /** Writes one epoch on some of the channels. Each seal names those that its channel knew of: the first may know few. */
  newEpoch(): void {
    const random = this.#random
    const epoch = ++this.#epoch
    const members = this.bytes.map((_, channel) => channel).filter(() => random.chance(1, 2))
    if (members.length === 0) members.push(random.below(this.channels))
    const withEntries = new Set(members.filter((_, i) => i === 0 || random.chance(3, 4)))
    const everybody = members.reduce((bits, channel) => bits | (1n << BigInt(channel)), 0n)
    const needed = [...withEntries].reduce((bits, channel) => bits | (1n << BigInt(channel)), 0n)
    const keys: string[] = []
    for (const channel of members) {
      if (random.chance(1, 5)) this.#append(channel, FrameKind.MARK, 0n, encodeMark({ durablePosition: 0, stored: 0n }))
      const sessions = withEntries.has(channel) ? 1 + random.below(3) : 0
      for (let i = 0; i < sessions; i++) {
        const key = `key ${++this.#keys}`
        keys.push(key)
        const entry = {
          op: 'put',
          storage: BigInt(this.#keys % 3),
          key: Buffer.from(key),
          value: Buffer.alloc(10),
        } as const
        const body = Buffer.alloc(entryBytes(entry))
        encodeEntry(body, 0, entry)
        this.#append(channel, FrameKind.ENTRIES, epoch, body)
      }
      const own = 1n << BigInt(channel)
      const participants = random.chance(1, 2) ? everybody : needed | own
      const seal = encodeSeal({ prev: this.#last, participants, stored: 0n, durablePosition: 0, wallClockMs: 0 })
      this.#append(channel, FrameKind.SEAL, epoch, seal)
    }
    this.#last = epoch
    const term = this.history.at(-1)?.number ?? 0n
    this.epochs.push({ epoch, term, keys, ends: this.bytes.map((bytes) => bytes.length) })
  }

  #append(channel: number, kind: number, epoch: bigint, body: Buffer): void {
    const { number: term, tag: termTag } = this.history.at(-1) as WireHistoryEntry // made in the constructor
    const position = this.bytes[channel]?.length ?? 0
    const header = { kind, flags: 0, entryCount: kind === FrameKind.ENTRIES ? 1 : 0, position, epoch, term, termTag }
    const producer = { producerId: 0n, producerSequence: 0, firstMinor: 0n }
    const frame = encodeFrame({ ...header, ...producer }, body, headerSeed(CLUSTER, channelId(channel)))
    this.bytes[channel] = Buffer.concat([this.bytes[channel] ?? Buffer.alloc(0), frame])
  }
}

/** How a node that has this log and listens on these ports greets a reader. Nothing of it is committed yet. */
export function helloOf({ channels, history }: ModelLog, logPorts: number[]): Message<'reader_hello_ok'> {
  const fixed = { version: 1, clusterId: CLUSTER, nodeId: NODE, session: 1n, secret: Buffer.alloc(16), committed: 0n }
  return { type: 'reader_hello_ok', ...fixed, channels, logPorts, history }
}
