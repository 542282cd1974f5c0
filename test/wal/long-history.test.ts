/**
 * A history has a limit, and a cluster may be restarted more often than that (WAL-48): the master forgets its oldest terms,
 * goes on, and brings up new replicas; who was away may have to be replaced, and never takes a wrong byte for a right one.
 */
import t from 'tap'
import { toWireHistory } from '../../daemon/core/wire-history.ts'
import { encodeMessage } from '../../protocol/control-message.ts'
import { TERM_HISTORY_LIMIT } from '../../protocol/limits.ts'
import { readManifest } from '../../wal/manifest.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { commonEnds, forgetOldest, joinHistories, type TermHistory, termMayStandAt } from '../../wal/term-history.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, SimMaster, scanAll } from '../sim/sim-master.ts'
import { initReplica, SimReplica } from '../sim/sim-replica.ts'
import { mastership } from './hand-made-log.ts'

/** As a node has it in TERM_HISTORY_LIMIT; fewer lives show the same sooner. */
const LIMIT = 40

function bytesOf(disk: SimDisk): Buffer {
  const { end } = scanAll(disk, readManifest(disk, DIRECTORY))[0]! // it has one channel
  const segments = new Segments({ disk, directory: channelDirectory(DIRECTORY, 0), segmentBytes: 0, access: 'read' })
  const bytes = Buffer.alloc(end)
  for (let at = 0; at < end; ) at += segments.read(at, bytes.subarray(at))
  segments.close()
  return bytes
}

function freshReplica(): SimDisk {
  const disk = new SimDisk()
  initReplica(disk, 1)
  return disk
}

t.test('WAL-48: more restarts than a history may hold', (t) => {
  const disk = new SimDisk()
  initMaster(disk, 1)
  let early: TermHistory = []
  let earlyBytes: Buffer = Buffer.alloc(0)
  for (let life = 1; life <= LIMIT + 20; life++) {
    const master = new SimMaster(disk, LIMIT)
    if (life % 5 === 0) {
      master.write(0, life, 10)
      master.flush(0)
    }
    if (life !== 10) continue
    early = master.start.manifest.history
    earlyBytes = bytesOf(disk)
  }
  const { history } = readManifest(disk, DIRECTORY)
  t.equal(history.length, LIMIT)
  t.equal(history.at(-1)?.term.number, BigInt(LIMIT + 20))
  const log = bytesOf(disk)
  t.ok(log.length > 10_000 && history[0]!.starts[0]! > 0)
  const lagged = Array.from({ length: TERM_HISTORY_LIMIT + 20 }, (_, i) => mastership(i + 1, [i * 100]))
  t.doesNotThrow(() => encodeMessage({ type: 'session_begin', ...begin(lagged) }), 'a longer one can be sent')

  const fresh = freshReplica()
  const replica = new SimReplica(fresh)
  replica.adopt(history)
  t.same(replica.resume, [0])
  replica.receive(0, log)
  replica.flush(0)
  t.ok(bytesOf(fresh).equals(log), 'a new replica holds every byte, and finds them valid when it starts again')

  const late = freshReplica()
  const lagging = new SimReplica(late)
  lagging.adopt(early)
  lagging.receive(0, earlyBytes)
  lagging.flush(0)
  t.throws(() => lagging.adopt(history), { code: 'LOG_DROPPED' }, 'who knows only what is forgotten is refused')
  t.ok(bytesOf(late).equals(earlyBytes), 'and keeps what it has')
  t.end()
})

function begin(history: TermHistory) {
  const { number, nodeId, tag } = history.at(-1)!.term
  const clusterId = '00000000-0000-4000-8000-000000000001'
  const fields = { versionMin: 1, versionMax: 1, clusterId, nodeId, address: 'a:1', channels: 1, ends: [0], via: [] }
  return { ...fields, term: { number, nodeId, tag }, history: toWireHistory(history) }
}

t.test('WAL-48: what is forgotten, joined, and where histories part', (t) => {
  const all = [1, 2, 3, 4, 5].map((n) => mastership(n, [(n - 1) * 100]))
  const tail = all.slice(2)
  t.same(forgetOldest(all, [200], 3), tail, 'the log reaches beyond')
  t.same(forgetOldest(all, [199], 3), all, 'it does not')
  t.same(forgetOldest(all, [0], 5), all)
  const may = (position: number, term: bigint, termTag: number): boolean =>
    termMayStandAt(tail, { channel: 0, position, term, termTag })
  t.same([may(0, 1n, 99), may(150, 2n, 14), may(150, 3n, 21), may(200, 2n, 14)], [true, true, false, false])
  t.equal(termMayStandAt([], { channel: 0, position: 0, term: 1n, termTag: 7 }), false)

  const lagging = all.slice(0, 4)
  t.same(joinHistories(lagging, tail), all, 'it keeps what only it knows')
  t.same(joinHistories(all.slice(0, 2), tail), tail, 'none shared')
  t.same(joinHistories([], tail), tail)
  t.same(commonEnds(lagging, tail, 1), [400])
  t.same(commonEnds(all.slice(0, 2), tail, 1), [0])
  t.same(commonEnds(all, tail, 1), [Number.MAX_SAFE_INTEGER])
  const other = [...all.slice(0, 4), mastership(6, [250])]
  t.same(commonEnds(other, tail, 1), [250], 'the lower start of the two that follow')
  t.throws(() => commonEnds([mastership(2, [100]), mastership(3, [201])], tail, 1), { code: 'HISTORY_DIVERGED' })
  t.end()
})
