/** The rule about rot is judged: a node that refuses as it must, and the ways of not doing so that it must reject. */
import t, { type Test } from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { termNumber } from '../../protocol/ids.ts'
import { readManifest, writeManifest } from '../../wal/manifest.ts'
import { Life, NO_HISTORY, parseActs, restartAndCheck } from '../sim/lives.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { initMaster, NODE, SimMaster } from '../sim/sim-master.ts'
import { LogView } from './log-view.ts'
import { ROT_KINDS, Rot, type RotKind } from './rot.ts'
import { RecordRot, type RotRecord } from './rot-record.ts'
import { ReplicaRot } from './rot-replica.ts'
import { Violation } from './violation.ts'

interface Rotten {
  readonly disk: SimDisk
  readonly rot: Rot
  /** What the shipped recovery says to it. */
  readonly refusal: TravertineError
}

/** A master's disk after some sessions, with a recovery point where segments were filled. */
function written(script: string): SimDisk {
  const running = new SimDisk({ sectorBytes: 64 })
  initMaster(running, 2)
  const life = new Life(restartAndCheck(running, NO_HISTORY))
  life.play(parseActs(script))
  return running.crash('all')
}

function rotten(kind: RotKind, seed: number): Rotten {
  const disk = written('w0 w1 f0 f1 w0 f0 w1 f1 w0 w0 f0 m0 m1 f0 f1')
  const view = new LogView(
    () => disk,
    () => undefined,
  )
  view.advance()
  const rot = Rot.of({ name: 'm', nodeId: NODE, disk }, view, kind, new SeededRandom(seed))
  if (rot === undefined) throw new Error('nothing to damage')
  try {
    new SimMaster(disk.fork())
  } catch (error) {
    if (error instanceof TravertineError) return { disk, rot, refusal: error }
    throw error
  }
  throw new Error(`${rot.describe()}, and it was not noticed`)
}

const SEEDS = [1, 2, 3, 4, 5]

for (const kind of ROT_KINDS) {
  t.test(`a node that refuses: ${kind}`, (t) => {
    for (const seed of SEEDS) {
      const { rot, refusal } = rotten(kind, seed)
      t.doesNotThrow(() => rot.judge(refusal), refusal.message)
    }
    t.end()
  })
}

function rejects(t: Pick<Test, 'fail' | 'equal'>, what: string, act: () => void): void {
  try {
    act()
    t.fail(`${what}: nothing was found`)
  } catch (error) {
    t.equal(error instanceof Violation ? error.rule : String(error), 'rot', what)
  }
}

t.test('what must be rejected', (t) => {
  const { disk, rot, refusal } = rotten('flipped bit', 1)
  const { message, where } = refusal
  const said = (code: 'LOG_DAMAGED' | 'LOG_INCOMPLETE', at: TravertineError['where']): TravertineError =>
    new TravertineError(code, message, { where: at })
  rejects(t, 'it starts', () => rot.recovered())
  rejects(t, 'it ends without a word', () => rot.judge(undefined))
  rejects(t, 'it falls over it', () => rot.judge(new RangeError('the offset is out of range')))
  rejects(t, 'it refuses for another reason', () => rot.judge(said('LOG_INCOMPLETE', { ...where, epoch: 3n })))
  rejects(t, 'it names no place', () => rot.judge(said('LOG_DAMAGED', {})))
  rejects(t, 'it names another position', () => rot.judge(said('LOG_DAMAGED', { ...where, offset: 7 })))
  rejects(t, 'it names another channel', () => rot.judge(said('LOG_DAMAGED', { ...where, channel: 5 })))
  rot.judge(refusal)
  const [path] = disk.peekNames('/data/channels/00').filter((name) => name.endsWith('.wal'))
  disk.zeroSector(`/data/channels/00/${path}`, 0)
  rejects(t, 'it has changed its files', () => rot.judge(refusal))
  const promising = rotten('flipped bit', 1)
  const manifest = readManifest(promising.disk, '/data')
  const fence = { ...manifest.history.at(-1)!.term, number: termNumber(99n) }
  writeManifest(promising.disk, '/data', { ...manifest, fence })
  rejects(t, 'it has promised a term', () => promising.rot.judge(promising.refusal))
  t.end()
})

/** Undefined: it starts. */
function refusalOf(disk: SimDisk): Error | undefined {
  try {
    new SimMaster(disk.fork())
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function rottenRecord(record: RotRecord, kind: RotKind, seed: number): { disk: SimDisk; rot: RecordRot } {
  const disk = written('w0:60000 f0 w1:60000 f1 w0:60000 f0 w1:60000 f1 w0 f0')
  for (let i = 0; i < 20; i++) {
    const rot = RecordRot.of({ name: 'm', nodeId: NODE, disk }, record, kind, new SeededRandom(100 * seed + i))
    if (rot !== undefined) return { disk, rot }
  }
  throw new Error('nothing to damage')
}

t.test('a manifest: the node refuses and names it', (t) => {
  for (const kind of ROT_KINDS) {
    for (const seed of SEEDS) {
      const { disk, rot } = rottenRecord('manifest', kind, seed)
      const refusal = refusalOf(disk)
      t.doesNotThrow(() => rot.judge(refusal), refusal?.message ?? 'it started')
    }
  }
  const { disk, rot } = rottenRecord('manifest', 'flipped bit', 1)
  const refusal = refusalOf(disk)
  rejects(t, 'it starts', () => rot.recovered())
  rejects(t, 'it ends without a word', () => rot.judge(undefined))
  rejects(t, 'it names no file', () => rot.judge(new TravertineError('MANIFEST_CORRUPT', 'Cannot read a manifest')))
  rot.judge(refusal)
  disk.zeroSector('/data/channels/00/0000000000000000.wal', 0)
  rejects(t, 'it has changed its files', () => rot.judge(refusal))
  t.end()
})

t.test('a recovery point: the node starts all the same', (t) => {
  for (const kind of ROT_KINDS) {
    for (const seed of SEEDS) {
      const { disk, rot } = rottenRecord('recovery point', kind, seed)
      t.equal(refusalOf(disk), undefined, rot.describe())
      rot.recovered()
    }
  }
  const { rot } = rottenRecord('recovery point', 'flipped bit', 1)
  rejects(t, 'it refuses', () => rot.judge(new TravertineError('LOG_DAMAGED', 'Cannot read a recovery point')))
  t.end()
})

t.test('a replica: it may start, and then holds what its master holds, or it names the place', (t) => {
  const master = written('w0 w1 f0 f1 w0 f0 w1 f1 w0 w0 f0 m0 m1 f0 f1')
  for (const kind of ROT_KINDS) {
    for (const seed of SEEDS) {
      const node = { name: 'r', nodeId: NODE, disk: master.fork() }
      const view = new LogView(
        () => node.disk,
        () => undefined,
      )
      view.advance()
      const rot = ReplicaRot.of(node, view, kind, new SeededRandom(seed))
      if (rot === undefined) continue
      t.notOk(rot.isMended(master), rot.describe())
      const channel = Number(/channels\/(\d+)/.exec(rot.describe())?.[1])
      rot.judge(new TravertineError('LOG_DAMAGED', 'Cannot recover', { where: { channel, file: 'x' } }))
      rejects(t, 'it ends without a word', () => rot.judge(undefined))
      rejects(t, 'it names no place', () => rot.judge(new TravertineError('LOG_DAMAGED', 'Cannot recover')))
      node.disk = master.fork()
      t.ok(rot.isMended(master), 'mended by its master')
    }
  }
  t.end()
})
