/** What the channel log writes, read back frame by frame: docs/WAL_FORMAT.md chapters 1 to 3 and 5, from its side. */
import t from 'tap'
import type { TravertineError } from '../../protocol/errors.ts'
import {
  decodeHeader,
  encodeFrame,
  FLAG_EXPLICIT_VERSIONS,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  HeaderOffset,
  headerSeed,
} from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId } from '../../protocol/ids.ts'
import { decodeMark, decodeSeal, type Seal } from '../../protocol/seal.ts'
import type { Origin } from '../../wal/channel-log.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import { ReplicaLog } from '../../wal/replica-log.ts'
import { channelDirectory, listSegments, Segments } from '../../wal/segments.ts'
import { encodeBody } from '../protocol/codecs.ts'
import { codeOf } from '../protocol/damage.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import {
  CLUSTER,
  DIRECTORY,
  initMaster,
  readSessionId,
  SEGMENT_BYTES,
  SimMaster,
  sessionFrame,
} from '../sim/sim-master.ts'
import { frames, mastership, seal, session } from './hand-made-log.ts'

interface Written {
  readonly header: FrameHeader
  readonly body: Buffer
}

/** The frames of a channel from its files; positions are checked by the way. */
function framesOf(disk: SimDisk, channel: number, end: number): Written[] {
  const segments = new Segments({
    disk,
    directory: channelDirectory(DIRECTORY, channel),
    segmentBytes: 0,
    access: 'read',
  })
  const bytes = Buffer.alloc(end)
  segments.read(0, bytes)
  segments.close()
  const frames: Written[] = []
  let position = 0
  new FrameReader(headerSeed(CLUSTER, channelId(channel)), {}).push(bytes, (buffer, at, length) => {
    const header = decodeHeader(buffer, at)
    if (header.position !== position) throw new Error(`found position ${header.position} at ${position}`)
    frames.push({ header, body: buffer.subarray(at + FRAME_HEADER_BYTES, at + length) })
    position += length
  })
  return frames
}

const CHANNELS = 3
const NOBODY: Origin = { stored: () => undefined, propagated: () => undefined, rejected: () => undefined }

/** Two lives of a master, all channels in many mixtures; ids of sessions ascend. */
function play(): { disk: SimDisk; channels: Written[][]; sessions: Map<number, Buffer>; starts: bigint[][] } {
  const disk = new SimDisk()
  initMaster(disk, CHANNELS)
  const sessions = new Map<number, Buffer>()
  const starts: bigint[][] = []
  let id = 0
  let ends: number[] = []
  for (let life = 0; life < 2; life++) {
    const master = new SimMaster(disk)
    starts.push([master.start.mastership.firstEpoch, master.start.mastership.baseEpoch])
    for (let round = 0; round < 40; round++) {
      for (let channel = 0; channel < CHANNELS; channel++) {
        for (let n = (round * (channel + 3) + life) % 4; n > 0; n--) {
          id++
          sessions.set(id, sessionFrame(channel, id, (id * 37) % 900).subarray(FRAME_HEADER_BYTES))
          master.write(channel, id, (id * 37) % 900)
        }
      }
      for (let channel = 0; channel < CHANNELS; channel++)
        if ((round + channel) % 3 > 0) master.flush((channel + round) % CHANNELS)
      if (round % 9 === 0) master.mark(round % CHANNELS)
    }
    for (let channel = 0; channel < CHANNELS; channel++) master.flush(channel)
    ends = master.logs.map((_, channel) => endOf(disk, channel))
  }
  return { disk, channels: ends.map((end, channel) => framesOf(disk, channel, end)), sessions, starts }
}

/** End of the written frames, by their lengths alone. */
function endOf(disk: SimDisk, channel: number): number {
  const segments = new Segments({
    disk,
    directory: channelDirectory(DIRECTORY, channel),
    segmentBytes: 0,
    access: 'read',
  })
  const bytes = Buffer.alloc(segments.capacityEnd())
  segments.read(0, bytes)
  segments.close()
  let end = 0
  while (bytes.readUInt8(end + 4) === 1) end += FRAME_HEADER_BYTES + bytes.readUInt32LE(end + 8)
  return end
}

const { channels, sessions, starts } = play()
const sealsOf = (written: readonly Written[]): { header: FrameHeader; seal: Seal }[] =>
  written
    .filter((f) => f.header.kind === FrameKind.SEAL)
    .map((f) => ({ header: f.header, seal: decodeSeal(f.body, {}) }))

t.test('WAL-9 WAL-11: each session is one frame, its body as the client made it', (t) => {
  const found = channels.flat().filter((f) => f.header.kind === FrameKind.ENTRIES)
  t.equal(found.length, sessions.size)
  t.equal(new Set(found.map((f) => readSessionId(f.body))).size, sessions.size)
  for (const { body } of found)
    if (!sessions.get(readSessionId(body))?.equals(body)) t.fail(`session ${readSessionId(body)}`)
  t.end()
})

t.test('WAL-24: derived versions are unique, and count up within channel and epoch', (t) => {
  const versions = new Set<string>()
  let entries = 0
  for (const [channel, written] of channels.entries()) {
    let next = { epoch: 0n, minor: 0n }
    for (const { header } of written) {
      if (header.kind !== FrameKind.ENTRIES) continue
      if (header.epoch !== next.epoch) next = { epoch: header.epoch, minor: BigInt(channel) << 56n }
      if (header.firstMinor !== next.minor) t.fail(`channel ${channel}, position ${header.position}`)
      for (let i = 0; i < header.entryCount; i++) versions.add(`${header.epoch}/${header.firstMinor + BigInt(i)}`)
      next.minor += BigInt(header.entryCount)
      entries += header.entryCount
    }
  }
  t.equal(versions.size, entries)
  t.ok(entries > 200)
  t.end()
})

t.test('WAL-30 WAL-31: a seal names its own channel, and only channels that hold their seal in the end', (t) => {
  const holders = new Map<bigint, bigint>()
  for (const [channel, written] of channels.entries()) {
    for (const { header } of sealsOf(written))
      holders.set(header.epoch, (holders.get(header.epoch) ?? 0n) | (1n << BigInt(channel)))
  }
  for (const [channel, written] of channels.entries()) {
    for (const { header, seal } of sealsOf(written)) {
      t.match(header, { flags: 0, entryCount: 0, firstMinor: 0n, producerId: 0n, producerSequence: 0 })
      t.ok(seal.participants & (1n << BigInt(channel)), `channel ${channel}, epoch ${header.epoch}`)
      t.equal(seal.participants >> BigInt(CHANNELS), 0n, 'no channel that does not exist')
      t.equal(seal.participants & ~holders.get(header.epoch)!, 0n, 'who is named has sealed, since all have flushed')
    }
  }
  t.ok(holders.size > 50) // one thread flushes here, so most epochs have one channel; test/board mixes them
  t.end()
})

t.test('WAL-32: prev chains the epochs of both masterships without a hole', (t) => {
  const prevOf = new Map<bigint, bigint>()
  for (const { header, seal } of channels.flatMap(sealsOf)) {
    t.equal(prevOf.get(header.epoch) ?? seal.prev, seal.prev, `seals of epoch ${header.epoch} agree`)
    prevOf.set(header.epoch, seal.prev)
  }
  const epochs = [...prevOf.keys()].sort((a, b) => (a < b ? -1 : 1))
  t.same(
    epochs.map((e) => prevOf.get(e)),
    [0n, ...epochs.slice(0, -1)],
  )
  t.same(starts[0], [1n, 0n])
  t.equal(prevOf.get(starts[1]![0]!), starts[1]![1], 'the first epoch of a mastership follows on its base')
  t.end()
})

t.test('WAL-33 WAL-35: durable positions are begins or ends of what was flushed before, never ahead', (t) => {
  for (const written of channels) {
    const ends = new Set([0, ...written.map((f) => f.header.position)])
    let last = 0
    for (const { header, body } of written) {
      if (header.kind === FrameKind.ENTRIES) continue
      const { durablePosition, stored } = header.kind === FrameKind.SEAL ? decodeSeal(body, {}) : decodeMark(body, {})
      t.ok(durablePosition <= header.position && durablePosition >= last && ends.has(durablePosition))
      if (header.kind === FrameKind.SEAL) t.ok(stored < header.epoch, 'an epoch is not STORED before its seal')
      last = durablePosition
    }
  }
  t.end()
})

t.test('WAL-34: sessions stand before their seal and behind the one before', (t) => {
  for (const written of channels) {
    let sealed = 0n
    let open = 0n
    for (const { header } of written) {
      if (header.kind === FrameKind.MARK) continue
      t.ok(header.epoch > sealed && (open === 0n || header.epoch === open), `position ${header.position}`)
      open = header.kind === FrameKind.SEAL ? 0n : header.epoch
      if (header.kind === FrameKind.SEAL) sealed = header.epoch
    }
    t.equal(open, 0n, 'everything is sealed in the end')
  }
  t.end()
})

t.test('WAL-36: a MARK belongs to no epoch', (t) => {
  const marks = channels.flat().filter((f) => f.header.kind === FrameKind.MARK)
  t.ok(marks.length > 2)
  for (const { header } of marks)
    t.match(header, { epoch: 0n, flags: 0, entryCount: 0, firstMinor: 0n, producerId: 0n })
  t.end()
})

function oneChannel(): { disk: SimDisk; master: SimMaster } {
  const disk = new SimDisk()
  initMaster(disk, 1)
  return { disk, master: new SimMaster(disk) }
}

t.test('WAL-25: a major above the epoch is rejected, never written, and the next session is', (t) => {
  const { disk, master } = oneChannel()
  const log = master.logs[0]!
  const epoch = master.start.mastership.firstEpoch
  const outcomes: string[] = []
  const origin: Origin = {
    stored: (e, sequence) => outcomes.push(`${sequence} stored in ${e}`),
    propagated: () => undefined,
    rejected: (sequence: number, error: TravertineError) => outcomes.push(`${sequence} ${error.code}`),
  }
  for (const [i, major] of [epoch + 1n, epoch, (1n << 64n) - 1n].entries()) {
    const body = encodeBody([{ op: 'add_storage', storage: 1n, version: { major, minor: 0n } }])
    const header = {
      kind: FrameKind.ENTRIES,
      flags: FLAG_EXPLICIT_VERSIONS,
      entryCount: 1,
      termTag: 0,
      position: 0,
      epoch: 0n,
      term: 0n,
      firstMinor: 0n,
      producerId: 1n,
      producerSequence: i + 1,
    }
    const frame = encodeFrame(header, body, headerSeed(CLUSTER, channelId(0)))
    log.accept(frame, 0, frame.length, origin, {})
  }
  log.flush()
  t.same(outcomes, ['1 VERSION_ABOVE_EPOCH', '3 VERSION_ABOVE_EPOCH', `2 stored in ${epoch}`])
  const written = framesOf(disk, 0, endOf(disk, 0))
  t.same(
    written.map((f) => [f.header.kind, f.header.producerSequence]),
    [
      [FrameKind.ENTRIES, 2],
      [FrameKind.SEAL, 0],
    ],
  )
  t.end()
})

t.test('REP-22 REP-25: a client sends sessions only, and bodies that can be applied', (t) => {
  const { disk, master } = oneChannel()
  const accept = (frame: Buffer): void => master.logs[0]!.accept(frame, 0, frame.length, NOBODY, { peer: 'h:1' })
  const good = sessionFrame(0, 1, 10)
  const changes: [string, string, (frame: Buffer) => void][] = [
    ['FRAME_KIND_UNKNOWN', 'a SEAL', (f) => f.writeUInt8(FrameKind.SEAL, HeaderOffset.kind)],
    ['FRAME_KIND_UNKNOWN', 'a MARK', (f) => f.writeUInt8(FrameKind.MARK, HeaderOffset.kind)],
    ['ENTRY_MALFORMED', 'an entry of an unknown code', (f) => f.writeUInt8(2, FRAME_HEADER_BYTES)],
    ['ENTRY_MALFORMED', 'a count too low', (f) => f.writeUInt32LE(0, HeaderOffset.entryCount)],
    ['ENTRY_MALFORMED', 'a count too high', (f) => f.writeUInt32LE(2, HeaderOffset.entryCount)],
  ]
  for (const [code, what, change] of changes) {
    const frame = Buffer.from(good)
    change(frame)
    t.throws(() => accept(frame), { code, where: { peer: 'h:1' } }, what)
  }
  t.equal(master.logs[0]!.queuedBytes, 0, 'nothing of it is queued')
  accept(good)
  master.flush(0)
  t.equal(framesOf(disk, 0, endOf(disk, 0)).length, 2, 'a session and its seal')
  t.end()
})

t.test('REP-23: a replica appends a frame only where it belongs', (t) => {
  const history = [mastership(1, [0]), mastership(2, [500])]
  const disk = new SimDisk()
  initMaster(disk, 1)
  const log = (position: number): ReplicaLog => {
    const segments = new Segments({
      disk,
      directory: channelDirectory(DIRECTORY, 0),
      segmentBytes: SEGMENT_BYTES,
      access: 'write',
    })
    const writer = new ChannelWriter({ channel: 0, segments, position, onRecoveryPoint: () => undefined })
    return new ReplicaLog({ channel: 0, writer, history, whole: () => 0n })
  }
  const accept = (replica: ReplicaLog, frame: Buffer): string =>
    codeOf(() => replica.accept(frame, 0, frame.length, {}))
  const { bytes, ends } = frames([session(1n), seal(1n)], history[0])
  const first = bytes.subarray(0, ends[0])
  const replica = log(0)
  t.equal(accept(replica, bytes.subarray(ends[0])), 'POSITION_MISMATCH', 'a gap')
  t.equal(accept(replica, first), 'none')
  t.equal(accept(replica, first), 'POSITION_MISMATCH', 'the same again')
  t.equal(accept(replica, bytes.subarray(ends[0])), 'none')
  t.equal(
    accept(log(500), frames([session(2n)], history[0], 0, 500).bytes),
    'TERM_STALE',
    'the old master behind its end',
  )
  t.equal(accept(log(500), frames([session(2n)], history[1], 0, 500).bytes), 'none')
  t.equal(replica.receivedPosition, bytes.length)
  t.equal(replica.durablePosition, 0, 'received is not durable')
  replica.flush()
  t.equal(replica.durablePosition, bytes.length)
  t.end()
})

t.test(
  'WAL-53 WAL-54 WAL-55: positions in order, without gaps, flushed before anybody is answered; segments keep their size',
  (t) => {
    const { disk, master } = oneChannel()
    let next = 0
    const unflushed = new Set<string>()
    disk.onStep = ({ kind, path, offset, bytes }) => {
      if (!path.endsWith('.wal')) return
      if (kind === 'syncData') unflushed.delete(path)
      if (kind !== 'write') return
      const base = Number.parseInt(path.slice(-20, -4), 16)
      t.equal(base + offset!, next, 'where the last write ended')
      next += bytes!
      unflushed.add(path)
    }
    for (let id = 1; id <= 8; id++) {
      master.write(0, id, 30_000)
      master.flush(0)
      t.equal(unflushed.size, 0, 'every file that was written')
      t.equal(master.answered.size, id)
    }
    disk.onStep = undefined
    const directory = channelDirectory(DIRECTORY, 0)
    const bases = listSegments(disk, directory)
    t.ok(bases.length >= 4 && next > 3 * SEGMENT_BYTES)
    t.same(
      bases,
      bases.map((_, i) => i * SEGMENT_BYTES),
    )
    const sizes = bases.map((base) => {
      const file = disk.open(`${directory}/${base.toString(16).padStart(16, '0')}.wal`, 'read')
      const size = file.bytes()
      file.close()
      return size
    })
    t.same(new Set(sizes), new Set([SEGMENT_BYTES]))
    t.end()
  },
)

t.test('WAL-55: a failed write or flush poisons the channel', (t) => {
  for (const kind of ['write', 'syncData'] as const) {
    const { disk, master } = oneChannel()
    master.write(0, 1, 10)
    master.flush(0)
    disk.fail({ kind, path: '.wal' })
    master.write(0, 2, 10)
    t.throws(() => master.flush(0), { code: 'CHANNEL_POISONED' })
    const steps = disk.steps
    swallow(() => master.flush(0))
    t.equal(disk.steps, steps, 'it is not tried again')
    t.same([...master.answered.keys()], [1], 'and nobody is answered')
  }
  t.end()
})

function swallow(act: () => void): void {
  try {
    act()
  } catch {
    // a poisoned channel may refuse in any way, as long as it does nothing
  }
}
