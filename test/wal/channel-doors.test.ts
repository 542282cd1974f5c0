/**
 * The doors of a channel: what a master's channel log and a replica's log refuse, and how what they take gets to disk
 * (docs/PROTOCOL.md chapter 3, docs/WAL_FORMAT.md chapter 5).
 */
import t from 'tap'
import type { TravertineError } from '../../protocol/errors.ts'
import {
  encodeFrame,
  FLAG_EXPLICIT_VERSIONS,
  FRAME_HEADER_BYTES,
  FrameKind,
  HeaderOffset,
  headerSeed,
} from '../../protocol/frame.ts'
import { channelId } from '../../protocol/ids.ts'
import { runToEnd } from '../../wal/board-machine.ts'
import type { Origin } from '../../wal/channel-log.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import { plainTable } from '../../wal/producer-table.ts'
import { ReplicaLog } from '../../wal/replica-log.ts'
import { channelDirectory, listSegments, Segments } from '../../wal/segments.ts'
import { encodeBody } from '../protocol/codecs.ts'
import { codeOf } from '../protocol/damage.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { CLUSTER, DIRECTORY, initMaster, SEGMENT_BYTES, SimMaster, sessionFrame } from '../sim/sim-master.ts'
import { frames, mastership, seal, session } from './hand-made-log.ts'
import { readFrames } from './read-frames.ts'

const NOBODY: Origin = {
  isGone: false,
  stamped: () => undefined,
  stored: () => undefined,
  propagated: () => undefined,
  rejected: () => undefined,
}

function oneChannel(): { disk: SimDisk; master: SimMaster } {
  const disk = new SimDisk()
  initMaster(disk, 1)
  return { disk, master: new SimMaster(disk) }
}

t.test('WAL-25: a major above the epoch is rejected, never written, and the next session is', (t) => {
  const { disk, master } = oneChannel()
  const log = master.logs[0]!
  const epoch = master.start.mastership.firstEpoch + 1n // the first one holds the CONFIG
  const outcomes: string[] = []
  const origin: Origin = {
    isGone: false,
    stamped: () => undefined,
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
  runToEnd(log.beginFlush())
  t.same(outcomes, ['1 VERSION_ABOVE_EPOCH', '3 VERSION_ABOVE_EPOCH', `2 stored in ${epoch}`])
  const written = readFrames(disk, 0)
  t.same(
    written.map((f) => [f.header.kind, f.header.producerSequence]),
    [
      [FrameKind.CONFIG, 0],
      [FrameKind.SEAL, 0],
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
    ['FRAME_KIND_UNKNOWN', 'a CONFIG', (f) => f.writeUInt8(FrameKind.CONFIG, HeaderOffset.kind)],
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
  t.equal(readFrames(disk, 0).length, 4, 'a session and its seal, behind the CONFIG and its seal')
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
    const producers = plainTable()
    const writer = new ChannelWriter({ channel: 0, segments, position, producers, onRecoveryPoint: () => undefined })
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
    const last = readFrames(disk, 0).at(-1)!
    let next = last.header.position + FRAME_HEADER_BYTES + last.body.length
    const unflushed = new Set<string>()
    let filled = 0
    const zeros: { path: string; offset: number; bytes: number }[] = []
    disk.onStep = ({ kind, path, offset, bytes }) => {
      if (!path.endsWith('.wal')) return
      if (kind === 'syncData') unflushed.delete(path)
      if (kind !== 'write') return
      const base = Number.parseInt(path.slice(-20, -4), 16)
      unflushed.add(path)
      if (next === master.writers[0]!.appendedPosition) {
        zeros.push({ path, offset: offset!, bytes: bytes! })
        t.equal(base + offset!, next, 'all is written: what follows fills a hole behind it')
        return
      }
      t.equal(base + offset!, next, 'where the last write ended')
      next += bytes!
    }
    for (let id = 1; id <= 8; id++) {
      master.write(0, id, 30_000)
      master.flush(0)
      t.equal(unflushed.size, 0, 'every file that was written')
      t.equal(master.answered.size, id)
      for (const { path, offset, bytes } of zeros.splice(0)) {
        const read = Buffer.alloc(bytes, 1)
        disk.peek(path)!.read(read, offset)
        t.ok(read.equals(Buffer.alloc(bytes)), 'with zeros')
        filled++
      }
    }
    t.ok(filled > 0, 'there was a hole')
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
