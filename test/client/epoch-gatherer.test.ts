/** REP-76 REP-77: what comes out of the channels of a log, however they arrive, against the list of what was written. */
import t from 'tap'
import { CommittedEpoch } from '../../client/committed-epoch.ts'
import { EpochGatherer } from '../../client/epoch-gatherer.ts'
import { FRAME_HEADER_BYTES, FrameKind, HeaderOffset, headerSeed } from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId } from '../../protocol/ids.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { CLUSTER, ModelLog } from './model-log.ts'

/** A connection: sends each channel from where the gatherer wants it, in pieces. */
class ModelConnection {
  readonly #log: ModelLog
  readonly #gatherer: EpochGatherer
  readonly #at: number[]
  readonly #readers: readonly FrameReader[]

  constructor(log: ModelLog, gatherer: EpochGatherer, committed: bigint) {
    this.#log = log
    this.#gatherer = gatherer
    gatherer.begin(log.history, committed)
    this.#at = log.bytes.map((_, channel) => gatherer.resumeOf(channel))
    for (const [channel, position] of this.#at.entries()) gatherer.startAt(channel, position)
    this.#readers = log.bytes.map((_, channel) => new FrameReader(headerSeed(CLUSTER, channelId(channel)), { channel }))
  }

  send(channel: number, bytes: number): void {
    const from = this.#at[channel] ?? 0
    const piece = this.#log.bytes[channel]?.subarray(from, from + bytes) ?? Buffer.alloc(0)
    this.#at[channel] = from + piece.length
    this.#readers[channel]?.push(Buffer.from(piece), (buffer, at, length) =>
      this.#gatherer.frame(channel, buffer, at, length),
    )
  }
}

const keysOf = (committed: CommittedEpoch): string[] =>
  Array.from(committed.entries(), (entry) => ('key' in entry ? Buffer.from(entry.key).toString() : ''))

t.test(
  'REP-76 REP-77: every epoch once, whole, committed and in order, however it comes and whatever breaks',
  async (t) => {
    for (let seed = 0; seed < 300; seed++) if (!tryOut(t, seed)) return
  },
)

/** @returns whether it found what was written */
function tryOut(t: Tap, seed: number): boolean {
  const random = new SeededRandom(seed)
  const log = new ModelLog(1 + random.below(5), random)
  for (let i = 0; i < 40; i++) {
    if (random.chance(1, 12)) log.newTerm()
    log.newEpoch()
  }
  const fromEpoch = BigInt(1 + random.below(random.chance(1, 2) ? 1 : 60))
  const bytesMax = 1 + random.below(4_000)
  const gatherer = new EpochGatherer({ channels: log.channels, fromEpoch, bytesMax })
  const wanted = log.epochs.filter(({ epoch }) => epoch >= fromEpoch)
  const found: { epoch: bigint; term: bigint; keys: string[] }[] = []
  let committed = 0n
  let connection = new ModelConnection(log, gatherer, committed)
  let idle = 0
  for (; found.length < wanted.length && idle < 10_000; idle++) {
    const ahead = [...gatherer.ahead()]
    const free = ahead.flatMap((isAhead, channel) => (isAhead ? [] : [channel]))
    if (free.length === 0 && gatherer.committed >= (wanted[found.length]?.epoch ?? 0n))
      t.fail(`seed ${seed}: no progress`)
    const channel = free[random.below(Math.max(1, free.length))]
    if (channel !== undefined) connection.send(channel, 1 + random.below(300))
    if (random.chance(1, 4)) {
      const reached = log.epochs.length - wanted.length + found.length
      committed = log.epochs[Math.min(log.epochs.length - 1, reached + random.below(8))]?.epoch ?? committed
      gatherer.commit(committed)
    }
    if (random.chance(1, 60)) connection = new ModelConnection(log, gatherer, random.chance(1, 2) ? committed : 0n)
    for (let next = gatherer.take(undefined); next !== undefined; next = gatherer.take(undefined)) {
      if (next.epoch > gatherer.committed) t.fail(`seed ${seed}: epoch ${next.epoch} is not committed`)
      found.push({ epoch: next.epoch, term: next.term.number, keys: keysOf(new CommittedEpoch(next, undefined)) })
      idle = 0
    }
  }
  const plain = wanted.map(({ epoch, term, keys }) => ({ epoch, term, keys: [...keys] }))
  return t.strictSame(found, plain, `seed ${seed}: ${wanted.length} epochs of ${log.channels} channels`)
}

interface Tap {
  strictSame(found: unknown, wanted: unknown, name: string): boolean
  fail(name: string): boolean
}

/** Two channels, one epoch on both, then one on the first. */
function smallLog(): ModelLog {
  const log = new ModelLog(2, new SeededRandom(1))
  while (log.epochs.length < 30) log.newEpoch()
  return log
}

function gathererOf(log: ModelLog, fromEpoch = 1n): EpochGatherer {
  return new EpochGatherer({ channels: log.channels, fromEpoch, bytesMax: 1_000_000 })
}

/** All of a log at once, its bytes changed on the way. */
function feed(log: ModelLog, gatherer: EpochGatherer, change: (channel: number, bytes: Buffer) => Buffer): void {
  gatherer.begin(log.history, 1_000n)
  for (const [channel, bytes] of log.bytes.entries()) {
    gatherer.startAt(channel, 0)
    const changed = change(channel, Buffer.from(bytes))
    for (let at = 0; at < changed.length; ) {
      const length = FRAME_HEADER_BYTES + changed.readUInt32LE(at + HeaderOffset.bodyLength)
      gatherer.frame(channel, changed, at, length)
      at += length
    }
  }
  while (gatherer.take(undefined) !== undefined);
}

const isSeal = (frame: Buffer): boolean => frame[HeaderOffset.kind] === FrameKind.SEAL
const framesOf = (bytes: Buffer): Buffer[] => {
  const frames: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = FRAME_HEADER_BYTES + bytes.readUInt32LE(at + HeaderOffset.bodyLength)
    frames.push(bytes.subarray(at, at + length))
    at += length
  }
  return frames
}

t.test('a log that is not what it should be is an error, and says where', async (t) => {
  const log = smallLog()
  t.doesNotThrow(() => feed(log, gathererOf(log), (_, bytes) => bytes), 'as it is it is good')
  const damages: readonly (readonly [string, string, (frames: Buffer[]) => Buffer[]])[] = [
    ['a frame that is missing', 'POSITION_MISMATCH', (frames) => frames.slice(1)],
    ['a frame that stands elsewhere', 'POSITION_MISMATCH', (frames) => [frames[1]!, ...frames]],
    [
      'a frame of another term',
      'TERM_STALE',
      (frames) => {
        frames[3]!.writeUInt32LE(9_999, HeaderOffset.termTag)
        return frames
      },
    ],
    [
      'an epoch that goes back',
      'LOG_DAMAGED',
      (frames) => {
        frames.findLast(isSeal)!.writeBigUInt64LE(1n, HeaderOffset.epoch)
        return frames
      },
    ],
    [
      'a seal that names a channel which does not exist',
      'LOG_DAMAGED',
      (frames) => {
        frames.find(isSeal)!.writeBigUInt64LE(1n << 40n, FRAME_HEADER_BYTES + 8)
        return frames
      },
    ],
    [
      'a seal without participants',
      'ENTRY_MALFORMED',
      (frames) => {
        frames.find(isSeal)!.writeBigUInt64LE(0n, FRAME_HEADER_BYTES + 8)
        return frames
      },
    ],
    [
      'a chain with a link that is nowhere',
      'LOG_INCOMPLETE',
      (frames) => {
        for (const frame of frames.filter(isSeal)) frame.writeBigUInt64LE(900n, FRAME_HEADER_BYTES)
        return frames
      },
    ],
  ]
  for (const [what, code, damage] of damages) {
    const change = (_: number, bytes: Buffer): Buffer => Buffer.concat(damage(framesOf(bytes)))
    t.throws(() => feed(log, gathererOf(log), change), { code }, what)
  }
})

t.test('an epoch whose seal is missing on a channel that takes part in it is never handed out', async (t) => {
  const log = smallLog()
  const shared = log.epochs.find(({ epoch }) =>
    log.bytes.every((bytes) =>
      framesOf(bytes).some((f) => isSeal(f) && f.readBigUInt64LE(HeaderOffset.epoch) === epoch),
    ),
  )
  t.ok(shared !== undefined)
  const gatherer = gathererOf(log)
  const seen: bigint[] = []
  t.throws(
    () => {
      gatherer.begin(log.history, 1_000n)
      for (const [channel, bytes] of log.bytes.entries()) {
        for (const frame of framesOf(bytes)) {
          const isIt = isSeal(frame) && frame.readBigUInt64LE(HeaderOffset.epoch) === shared?.epoch
          if (isIt && channel === 1)
            gatherer.startAt(channel, frame.readUIntLE(HeaderOffset.position, 6) + frame.length)
          else gatherer.frame(channel, frame, 0, frame.length)
        }
      }
      for (let next = gatherer.take(undefined); next !== undefined; next = gatherer.take(undefined))
        seen.push(next.epoch)
    },
    { code: /LOG_INCOMPLETE|LOG_DAMAGED/ },
  )
  t.ok(seen.every((epoch) => epoch < (shared?.epoch ?? 0n)))
})

t.test('REP-77: what was passed has to be in the history of whoever is asked next', async (t) => {
  const log = smallLog()
  const gatherer = gathererOf(log)
  feed(log, gatherer, (_, bytes) => bytes)
  const ends = log.bytes.map((bytes) => bytes.length)
  const [first] = log.history
  const next = { ...first!, number: 90n, tag: 7 }
  t.doesNotThrow(() => gatherer.begin([...log.history, { ...next, starts: ends }], 0n), 'a new term behind it')
  t.same(
    log.bytes.map((_, channel) => gatherer.resumeOf(channel)),
    log.epochs.at(-1)?.ends,
    'it goes on behind the last seals',
  )
  const cut = [ends[0]! - 1, ends[1]!]
  t.throws(() => gatherer.begin([...log.history, { ...next, starts: cut }], 0n), {
    code: 'HISTORY_DIVERGED',
    where: { channel: 0 },
  })
  t.throws(
    () => gatherer.begin([{ ...first!, tag: 7 }], 0n),
    { code: 'HISTORY_DIVERGED' },
    'another one of that number',
  )
  t.throws(() => gatherer.begin([...log.history, ...log.history], 0n), { code: 'HISTORY_DIVERGED' }, 'out of order')
  t.throws(() => gatherer.begin([{ ...first!, starts: [0] }], 0n), { code: 'HISTORY_DIVERGED' }, 'a start too few')
  t.throws(() => gatherer.begin([], 0n), { code: 'HISTORY_DIVERGED' }, 'none at all')
  t.doesNotThrow(() => gatherer.begin(log.history, 0n))
  t.throws(() => gatherer.startAt(0, 0), { code: 'POSITION_MISMATCH' }, 'a node that begins before what was asked for')
})
