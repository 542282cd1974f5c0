/**
 * The judge is judged: histories and files that it must reject, one per rule, and the sound ones that they are made of.
 */
import t from 'tap'
import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { type Entry, entryBytes } from '../../protocol/entry.ts'
import { encodeEntry } from '../../protocol/entry-encoder.ts'
import { encodeFrame, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { byteOffset, channelId, clusterId, epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import { encodeSeal } from '../../protocol/seal.ts'
import { keepDivergent } from '../../wal/divergent.ts'
import { initDirectory } from '../../wal/init-directory.ts'
import { readManifest, writeManifest } from '../../wal/manifest.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { Checkers } from './checkers.ts'
import { ClientHistory, type Session } from './history.ts'
import { folderOf, termName } from './log-view.ts'
import { DIRECTORY } from './sim-node.ts'
import { Violation } from './violation.ts'

const CLUSTER = clusterId('0aaaaaaa-0000-4000-8000-000000000001')
const MASTER = nodeId('11111111-0000-4000-8000-000000000000')
const REPLICA = nodeId('22222222-0000-4000-8000-000000000000')
const LEAF = nodeId('33333333-0000-4000-8000-000000000000')
const TERM = { number: termNumber(1n), nodeId: MASTER, tag: 77 }

/** Two nodes with hand-made files, and one client. */
class Court {
  readonly history = new ClientHistory()
  readonly checkers = new Checkers(this.history)
  readonly master = this.#node('127.0.1.1', MASTER, true)
  readonly replica = this.#node('127.0.1.2', REPLICA, false)
  #ids = 0

  /** One more node, which the replica feeds. */
  leaf() {
    return this.#node('127.0.1.3', LEAF, false)
  }

  #node(name: string, id: string, isMaster: boolean) {
    const disk = new SimDisk()
    initDirectory(disk, DIRECTORY, {
      clusterId: CLUSTER,
      nodeId: nodeId(id),
      role: isMaster ? 'master' : 'replica',
      channels: 2,
      segmentBytes: 64 * 1024,
      config: EMPTY_CONFIG,
      history: [{ term: TERM, firstEpoch: epoch(1n), baseEpoch: epoch(0n), starts: [byteOffset(0), byteOffset(0)] }],
      fence: undefined,
    })
    const node = { name, nodeId: id, disk, isMaster, isLeaf: id === LEAF, ends: [0, 0] }
    this.checkers.watch(node, 0)
    return node
  }

  sent(channel = 0): Session {
    const id = ++this.#ids
    return this.history.sent({ id, client: 'c', channel, sentAt: id })
  }

  stored(session: Session, at: number): void {
    this.history.stored(session, { term: termName(TERM), epoch: at })
    this.checkers.answeredStored(session, session.stored!) // set on the line above
  }

  propagated(session: Session, at: number): void {
    this.history.propagated(session, { term: termName(TERM), epoch: at })
    this.checkers.answeredPropagated(session, session.propagated!) // set on the line above
  }

  session(session: Session, at: number, to: readonly Node[], flushed = true, id = session.id): void {
    const key = Buffer.alloc(8)
    key.writeDoubleLE(id)
    const entry: Entry = { op: 'put', storage: 1n, key, value: Buffer.alloc(10) }
    const body = Buffer.alloc(entryBytes(entry))
    encodeEntry(body, 0, entry)
    for (const node of to) append(node, session.channel, FrameKind.ENTRIES, at, body, flushed)
  }

  seal(channel: number, at: number, participants: bigint, to: readonly Node[], flushed = true): void {
    const seal = { prev: BigInt(at - 1), participants, stored: 0n, durablePosition: 0, wallClockMs: 0 }
    for (const node of to) append(node, channel, FrameKind.SEAL, at, encodeSeal(seal), flushed)
  }
}

interface Node {
  readonly disk: SimDisk
  readonly ends: number[]
}

function append(node: Node, channel: number, kind: number, at: number, body: Buffer, flushed: boolean): void {
  const position = node.ends[channel]!
  const frame = encodeFrame(
    {
      kind,
      flags: 0,
      entryCount: kind === FrameKind.ENTRIES ? 1 : 0,
      termTag: TERM.tag,
      position,
      epoch: BigInt(at),
      term: TERM.number,
      firstMinor: 0n,
      producerId: 1n,
      producerSequence: 1,
    },
    body,
    headerSeed(CLUSTER, channelId(channel)),
  )
  const file = node.disk.open(`${folderOf(channel)}/0000000000000000.wal`, 'write')
  file.write([frame], position)
  if (flushed) file.syncData()
  file.close()
  node.ends[channel] = position + frame.length
}

function rejects(test: Pick<typeof t, 'ok' | 'equal' | 'fail'>, rule: string, act: () => void): void {
  try {
    act()
    test.fail(`${rule}: nothing was found`)
  } catch (error) {
    test.ok(error instanceof Violation, String(error))
    test.equal(error instanceof Violation ? error.rule : undefined, rule, String(error))
  }
}

t.test('what is sound is accepted', async (t) => {
  const court = new Court()
  const both = [court.master, court.replica]
  const session = court.sent()
  court.session(session, 1, both)
  court.seal(0, 1, 1n, both)
  court.stored(session, 1)
  court.propagated(session, 1)
  court.checkers.look()
  court.checkers.recoveredMaster(court.master.name)
  court.checkers.recovered(court.replica.name)
  court.checkers.atEnd()
  t.pass('no rule is broken')
})

t.test('stored', async (t) => {
  const missing = new Court()
  rejects(t, 'stored', () => missing.stored(missing.sent(), 1))

  const notWhole = new Court()
  const session = notWhole.sent()
  notWhole.session(session, 1, [notWhole.master])
  rejects(t, 'stored', () => notWhole.stored(session, 1))

  const otherChannel = new Court()
  const half = otherChannel.sent()
  otherChannel.session(half, 1, [otherChannel.master])
  otherChannel.seal(0, 1, 3n, [otherChannel.master])
  rejects(t, 'stored', () => otherChannel.stored(half, 1))

  const notFlushed = new Court()
  const early = notFlushed.sent()
  notFlushed.session(early, 1, [notFlushed.master])
  notFlushed.seal(0, 1, 1n, [notFlushed.master], false)
  rejects(t, 'stored', () => notFlushed.stored(early, 1))

  const lost = new Court()
  const gone = lost.sent()
  lost.session(gone, 1, [lost.master])
  lost.seal(0, 1, 1n, [lost.master])
  lost.stored(gone, 1)
  const manifest = readManifest(lost.master.disk, DIRECTORY)
  const cut = { ...manifest.history[0]!, term: { ...TERM, number: termNumber(2n) } }
  writeManifest(lost.master.disk, DIRECTORY, { ...manifest, history: [...manifest.history, cut] })
  rejects(t, 'stored', () => lost.checkers.recoveredMaster(lost.master.name))
})

t.test('propagated', async (t) => {
  const court = new Court()
  const session = court.sent()
  court.session(session, 1, [court.master])
  court.seal(0, 1, 1n, [court.master])
  court.stored(session, 1)
  rejects(t, 'propagated', () => court.propagated(session, 1))

  const notFlushed = new Court()
  const early = notFlushed.sent()
  notFlushed.session(early, 1, [notFlushed.master])
  notFlushed.seal(0, 1, 1n, [notFlushed.master])
  notFlushed.session(early, 1, [notFlushed.replica], false)
  notFlushed.seal(0, 1, 1n, [notFlushed.replica], false)
  rejects(t, 'propagated', () => notFlushed.propagated(early, 1))
})

t.test('fed', async (t) => {
  const sound = new Court()
  const leaf = sound.leaf()
  const session = sound.sent()
  const both = [sound.master, sound.replica]
  sound.session(session, 1, both)
  sound.seal(0, 1, 1n, both)
  sound.propagated(session, 1)
  sound.checkers.recovered(leaf.name)
  sound.checkers.recovered(sound.replica.name)
  t.pass('a leaf may lack anything, what is PROPAGATED too')

  const early = () => {
    const court = new Court()
    const below = court.leaf()
    const fed = court.sent()
    court.session(fed, 1, [court.master, below])
    court.session(fed, 1, [court.replica], false)
    court.checkers.look()
    court.replica.disk = court.replica.disk.crash('none')
    return court
  }
  const broken = early()
  rejects(t, 'fed', () => broken.checkers.recovered(broken.replica.name))
  const replaced = early()
  replaced.checkers.replaced(replaced.replica.name, 10)
  replaced.checkers.recovered(replaced.replica.name)
  t.pass('another disk may lack anything')
})

t.test('whole epochs', async (t) => {
  const loose = new Court()
  loose.session(loose.sent(), 1, [loose.master])
  rejects(t, 'whole epochs', () => loose.checkers.recoveredMaster(loose.master.name))

  const half = new Court()
  const both = [half.master, half.replica]
  half.session(half.sent(0), 1, both)
  half.seal(0, 1, 3n, both)
  half.seal(1, 1, 3n, both)
  half.session(half.sent(1), 1, [half.replica])
  half.checkers.look()
  rejects(t, 'whole epochs', () => half.checkers.recoveredMaster(half.master.name))
})

t.test('named', async (t) => {
  const court = new Court()
  court.session(court.sent(0), 1, [court.master])
  court.session(court.sent(1), 1, [court.master])
  court.seal(0, 1, 3n, [court.master])
  court.checkers.look()
  court.seal(1, 1, 2n, [court.master]) // does not name the other channel
  rejects(t, 'named', () => court.checkers.look())
})

t.test('kept', async (t) => {
  const court = new Court()
  const { disk, name } = court.replica
  court.session(court.sent(), 1, [court.replica])
  court.checkers.recovered(name)
  const manifest = readManifest(disk, DIRECTORY)
  const next = { ...manifest.history[0]!, term: { ...TERM, number: termNumber(2n) } }
  const surplus = { channel: 0, from: 0, to: court.replica.ends[0]!, before: 2n }
  keepDivergent(disk, DIRECTORY, surplus)
  writeManifest(disk, DIRECTORY, { ...manifest, history: [...manifest.history, next] })
  court.checkers.look()
  t.pass('what was cut off is in divergent/')

  const loser = new Court()
  loser.session(loser.sent(), 1, [loser.replica])
  loser.checkers.recovered(name)
  writeManifest(loser.replica.disk, DIRECTORY, readManifest(disk, DIRECTORY))
  rejects(t, 'kept', () => loser.checkers.look())
})

t.test('order', async (t) => {
  const court = new Court()
  const first = court.sent(0)
  court.session(first, 1, [court.master])
  court.seal(0, 1, 3n, [court.master])
  court.seal(1, 1, 3n, [court.master])
  const second = court.sent(0)
  court.session(second, 2, [court.master])
  court.seal(0, 2, 1n, [court.master])
  court.stored(first, 1)
  court.stored(second, 2)
  const late = court.sent(1)
  court.session(late, 1, [court.master])
  rejects(t, 'order', () => court.stored(late, 1))
})

t.test('one history', async (t) => {
  const court = new Court()
  court.session(court.sent(), 1, [court.master])
  court.session(court.sent(), 1, [court.replica])
  rejects(t, 'one history', () => court.checkers.look())
})

t.test('once', async (t) => {
  const court = new Court()
  const session = court.sent()
  court.session(session, 1, [court.master])
  court.session(session, 1, [court.master])
  rejects(t, 'once', () => court.checkers.look())
})

t.test('not applied', async (t) => {
  const court = new Court()
  const session = court.sent()
  session.outcome = 'not-applied'
  court.session(session, 1, [court.master])
  court.seal(0, 1, 1n, [court.master])
  rejects(t, 'not applied', () => court.checkers.atEnd())
})

t.test('dropped', async (t) => {
  const court = new Court()
  const { disk } = court.master
  court.session(court.sent(), 1, [court.master])
  court.checkers.look()
  const file = disk.open(`${folderOf(0)}/0000000000000000.wal`, 'write')
  const frame = Buffer.alloc(court.master.ends[0]!)
  file.read(frame, 0)
  file.write([Buffer.alloc(frame.length)], 0)
  court.checkers.recoveredMaster(court.master.name)
  file.write([frame], 0)
  rejects(t, 'dropped', () => court.checkers.look())
})

t.test('an answer of a master whose disk was replaced since', async (t) => {
  const court = new Court()
  const session = court.sent()
  court.session(session, 1, [court.master])
  court.seal(0, 1, 1n, [court.master])
  court.checkers.recoveredMaster(court.master.name)
  court.master.nodeId = '33333333-0000-4000-8000-000000000000'
  court.stored(session, 1)
  t.pass('it may come late')
})

t.test('what was told lost may be back with a master that never met the history which lost it', async (t) => {
  const court = new Court()
  const session = court.sent()
  session.outcome = 'lost'
  court.session(session, 1, [court.master])
  court.seal(0, 1, 1n, [court.master])
  court.session(session, 1, [court.replica])
  court.seal(0, 1, 1n, [court.replica])
  rejects(t, 'not applied', () => court.checkers.atEnd())
  court.checkers.changedMaster()
  court.checkers.recoveredMaster(court.master.name)
  court.checkers.atEnd()
  t.pass('after a change of master')
})

t.test('liveness: logs of different length', async (t) => {
  const court = new Court()
  court.session(court.sent(), 1, [court.master])
  court.seal(0, 1, 1n, [court.master])
  rejects(t, 'liveness', () => court.checkers.atEnd())
})

t.test('watermarks', async (t) => {
  const status = {
    role: 'master',
    nodeId: MASTER,
    clusterId: CLUSTER,
    channels: 2,
    term: 1n,
    open: 5n,
    closed: 4n,
    stored: 3n,
    propagated: 2n,
    whole: 0n,
    masterAddress: '',
    following: false,
    clients: 0,
    replicas: [],
    diskLow: false,
  } as const
  const court = new Court()
  type Status = Parameters<Checkers['watermarks']>[1]
  const see = (change: Partial<Status>): void =>
    court.checkers.watermarks(court.master.name, { ...status, ...change } as Status) // the tests change numbers only
  see({})
  see({ open: 6n, closed: 5n })
  rejects(t, 'watermarks', () => see({ open: 6n, closed: 5n, stored: 2n }))
  rejects(t, 'watermarks', () => see({ propagated: 4n }))
  rejects(t, 'watermarks', () => see({ stored: 5n }))
  rejects(t, 'watermarks', () => see({ closed: 5n }))
})
