/** What the channel log writes, read back frame by frame: docs/WAL_FORMAT.md chapters 1 to 3, from its side. */
import t from 'tap'
import { FRAME_HEADER_BYTES, type FrameHeader, FrameKind } from '../../protocol/frame.ts'
import { decodeMark, decodeSeal, type Seal } from '../../protocol/seal.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, readSessionId, SimMaster, sessionFrame } from '../sim/sim-master.ts'
import { readFrames, type WrittenFrame } from './read-frames.ts'

const CHANNELS = 3

interface Played {
  readonly channels: readonly (readonly WrittenFrame[])[]
  /** Id -> body, of all sessions that must be there. */
  readonly sessions: ReadonlyMap<number, Buffer>
  /** First epoch and base epoch of each life. */
  readonly starts: readonly (readonly [bigint, bigint])[]
}

/** Two lives of a master, all channels in many mixtures; between them the disk loses the very last seal. */
function play(): Played {
  const disk = new SimDisk()
  initMaster(disk, CHANNELS)
  const sessions = new Map<number, Buffer>()
  const starts: [bigint, bigint][] = []
  let id = 0
  for (const life of [0, 1]) {
    const master = new SimMaster(disk)
    starts.push([master.start.mastership.firstEpoch, master.start.mastership.baseEpoch])
    for (let round = 0; round < 40; round++) {
      for (let channel = 0; channel < CHANNELS; channel++) {
        for (let n = (round * (channel + 3) + channel + life) % 4; n > 0; n--) {
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
    if (life === 0) for (const lost of loseLastSeal(disk)) sessions.delete(lost)
  }
  const channels = Array.from({ length: CHANNELS }, (_, channel) => readFrames(disk, channel))
  return { channels, sessions, starts }
}

/** As a crash can before fdatasync has returned. Returns the sessions of that epoch: the next start cuts them. */
function loseLastSeal(disk: SimDisk): number[] {
  const all = Array.from({ length: CHANNELS }, (_, channel) => readFrames(disk, channel))
  const lasts = all.map((frames) => frames.at(-1)!)
  const last = lasts.reduce((a, b) => (a.header.epoch > b.header.epoch ? a : b))
  const channel = lasts.indexOf(last)
  const file = disk.open(`${channelDirectory(DIRECTORY, channel)}/0000000000000000.wal`, 'write')
  file.write([Buffer.alloc(FRAME_HEADER_BYTES + last.body.length)], last.header.position)
  file.close()
  const cut = all[channel]!.filter((f) => f.header.kind === FrameKind.ENTRIES && f.header.epoch === last.header.epoch)
  return cut.map((f) => readSessionId(f.body))
}

const { channels, sessions, starts } = play()
const sealsOf = (written: readonly WrittenFrame[]): { header: FrameHeader; seal: Seal }[] =>
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
  t.ok(starts[1]![1] < starts[1]![0] - 1n, 'an epoch was lost between the two')
  t.equal(prevOf.get(starts[1]![0]!), starts[1]![1], 'the first epoch of a mastership follows on its base')
  t.end()
})

t.test('WAL-33 WAL-35: durable positions are begins or ends of what was flushed before, never ahead', (t) => {
  for (const written of channels) {
    const ends = new Set([0, ...written.map((f) => f.header.position)])
    let last = 0
    for (const { header, body } of written) {
      if (header.kind === FrameKind.ENTRIES || header.kind === FrameKind.CONFIG) continue
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
