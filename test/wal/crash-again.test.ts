/**
 * Crashes in what a crash has left: a replica that dies while it adopts a history, and again while it adopts the next
 * one; a master that dies in a start that cuts, and again in the start after it; nodes that change segments and write
 * recovery points, life after life. What was acknowledged stays, and whatever a log had and has no more is in divergent/.
 */
import t from 'tap'
import { byteOffset, epoch, termNumber } from '../../protocol/ids.ts'
import { joinPath, readWholeFile } from '../../wal/disk.ts'
import { readManifest } from '../../wal/manifest.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { type SelectionOptions, survivors } from '../sim/crash-choices.ts'
import { exploreCrashes } from '../sim/crash-explorer.ts'
import { Life, type LifeHistory, NO_HISTORY, parseActs, restartAndCheck } from '../sim/lives.ts'
import { type NaiveFrame, type NaiveLog, readNaively } from '../sim/naive-reader.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, NODE, SimMaster, scanAll } from '../sim/sim-master.ts'
import { initReplica, SimReplica } from '../sim/sim-replica.ts'

const CHANNELS = 2
const FEW: SelectionOptions = { perKind: 2, exhaustiveLimit: 8 }

interface Lives<T> {
  readonly disk: SimDisk
  /** What is known before the first life. */
  readonly before: T
  /** One life; `told` is called with what is known from then on. Lives count from 0. */
  readonly live: (disk: SimDisk, before: T, told: (known: T) => void, life: number) => void
  readonly check: (disk: SimDisk, known: T) => void
  /** One outcome of so many lives on, per life but the last. */
  readonly oneOf: readonly number[]
}

/** @returns crashes that were looked at, per life */
function liveAgain<T>({ disk, before, live, check, oneOf }: Lives<T>): number[] {
  const looked = new Array<number>(oneOf.length + 1).fill(0)
  const explore = (start: SimDisk, known: T, life: number): void => {
    let now = known
    exploreCrashes({
      disk: start,
      run: (running) => live(running, known, (next) => (now = next), life),
      check: (point) => {
        looked[life]! += 1
        const left = point.disk.fork()
        check(point.disk, now)
        const livesOn = oneOf[life] // undefined in the last one
        if (livesOn !== undefined && looked[life]! % livesOn === 0) explore(left, now, life + 1)
      },
      selection: { ...FEW, seed: life + 1 },
    })
  }
  explore(disk, before, 0)
  return looked
}

/**
 * The process is killed at every operation of a life, the next one lives to its end, and after each thing that it tells
 * the power goes, with everything that was not flushed. @returns how often it went
 */
function killThenPower<T>({ disk, before, live, check }: Omit<Lives<T>, 'oneOf'>): number {
  const running = disk.fork()
  let now = before
  let seen = -1
  const killed: { readonly disk: SimDisk; readonly known: T }[] = []
  running.onStep = () => {
    if (running.changes === seen) return
    seen = running.changes
    killed.push({ disk: running.killProcess(), known: now })
  }
  live(running, before, (next) => (now = next), 0)
  let losses = 0
  for (const { disk: left, known } of killed) {
    live(
      left,
      known,
      (next) => {
        losses += 1
        check(left.crash('none'), next)
      },
      1,
    )
  }
  return losses
}

/** Frames that a log had and has no more must be in divergent/, byte by byte. */
function mustKeep(had: NaiveLog, disk: SimDisk): number {
  const has = readNaively(disk, DIRECTORY)
  const gone = had.frames.flat().filter((frame) => !has.frames[frame.channel]!.some((other) => isSame(frame, other)))
  const files = gone.length === 0 ? [] : divergentFiles(disk)
  for (const frame of gone) {
    const kept = files.some(({ channel, from, bytes }) => {
      const at = frame.position - from
      return channel === frame.channel && at >= 0 && bytes.subarray(at, at + frame.bytes.length).equals(frame.bytes)
    })
    if (!kept) throw new Error(`channel ${frame.channel}, position ${frame.position} is gone, and not in divergent/`)
  }
  return gone.length
}

const isSame = (a: NaiveFrame, b: NaiveFrame): boolean => a.position === b.position && a.bytes.equals(b.bytes)

function divergentFiles(disk: SimDisk): { channel: number; from: number; bytes: Buffer }[] {
  const folder = joinPath(DIRECTORY, 'divergent')
  if (!disk.exists(folder)) return []
  return disk.list(folder).flatMap((name) => {
    const match = /^before-\d+-(\d\d)-([0-9a-f]{16})\.wal$/.exec(name)
    if (match === null) return []
    const bytes = readWholeFile(disk, joinPath(folder, name))
    return [{ channel: Number(match[1]), from: Number(`0x${match[2]}`), bytes }]
  })
}

/** A master's log: its bytes per channel, and its history. */
function masterLog(script: string): { bytes: Buffer[]; history: TermHistory } {
  const disk = new SimDisk({ sectorBytes: 512 })
  initMaster(disk, CHANNELS)
  const life = new Life(restartAndCheck(disk, NO_HISTORY))
  life.play(parseActs(script))
  const { history } = readManifest(disk, DIRECTORY)
  const bytes = scanAll(disk, readManifest(disk, DIRECTORY)).map(({ channel, end }) => bytesOf(disk, channel, end))
  return { bytes, history }
}

function bytesOf(disk: SimDisk, channel: number, end: number): Buffer {
  const directory = channelDirectory(DIRECTORY, channel)
  const segments = new Segments({ disk, directory, segmentBytes: 0, access: 'read' })
  const bytes = Buffer.alloc(end)
  segments.read(0, bytes)
  segments.close()
  return bytes
}

/** Where the frames of a channel end. */
function frameEnds(bytes: Buffer): number[] {
  const ends: number[] = []
  for (let at = 0; at < bytes.length; ) {
    at += 72 + bytes.readUInt32LE(at + 8)
    ends.push(at)
  }
  return ends
}

function replicaOf(master: { bytes: Buffer[]; history: TermHistory }, sectorBytes: number): SimDisk {
  const disk = new SimDisk({ sectorBytes })
  initReplica(disk, CHANNELS)
  const replica = new SimReplica(disk)
  replica.adopt(master.history)
  for (const [channel, bytes] of master.bytes.entries()) {
    replica.receive(channel, bytes)
    replica.flush(channel)
  }
  return disk.crash('none')
}

t.test('a replica that dies while it adopts a history, and again while it adopts the next one', async (t) => {
  const master = masterLog('w0 w1 f0 f1 w0 f0 w1 f1 w0 w0 f0')
  const ends = master.bytes.map(frameEnds)
  const next = (number: bigint, starts: readonly number[]): TermHistory => [
    master.history[0]!,
    {
      term: { number: termNumber(number), nodeId: NODE, tag: 70 + Number(number) },
      firstEpoch: epoch(8n + number),
      baseEpoch: epoch(0n),
      starts: starts.map(byteOffset),
    },
  ]
  // masters that have not met each other: each cuts elsewhere, and less of one channel than the one before
  const histories = [
    next(2n, [ends[0]![2]!, ends[1]![2]!]),
    next(3n, [ends[0]![4]!, ends[1]![0]!]),
    next(4n, [ends[0]![0]!, ends[1]![1]!]),
  ]
  const disk = replicaOf(master, 64)
  const had = readNaively(disk, DIRECTORY)
  let gone = 0
  const looked = liveAgain({
    disk,
    before: undefined,
    live: (running, _, __, life) => new SimReplica(running).adopt(histories[life]!),
    check: (left) => {
      gone += mustKeep(had, left)
      const number = readManifest(left, DIRECTORY).history.at(-1)?.term.number ?? 0n
      // whoever comes next is met as by a replica that never died
      const history = histories.find((h) => h[1]!.term.number > number) ?? histories.at(-1)!
      new SimReplica(left).adopt(history)
      gone += mustKeep(had, left)
      const { resume } = new SimReplica(left)
      for (const [channel, end] of resume.entries())
        if (end > history[1]!.starts[channel]!) throw new Error(`channel ${channel} ends at ${end}, not cut`)
    },
    oneOf: [13, 157],
  })
  t.comment(`${looked.join(', ')} crashes, ${gone} frames gone and kept`)
  t.ok(looked.every((crashes) => crashes > 50) && gone > 1_000)
})

t.test('a master that dies in a start that cuts, and again in the start after it', async (t) => {
  const disk = new SimDisk({ sectorBytes: 64 })
  initMaster(disk, CHANNELS)
  const life = new Life(restartAndCheck(disk, NO_HISTORY))
  life.play(parseActs('w0 w1 f0 f1 w0 w0 w0'))
  // a batch whose flush fails: a power loss may keep its sessions and lose its seal
  let inFlight = disk
  disk.fail({ kind: 'syncData', path: '.wal' })
  disk.onStep = (step) => {
    if (step.kind === 'syncData') inFlight = disk.fork()
  }
  t.throws(() => life.play(parseActs('f0')), { code: 'CHANNEL_POISONED' })
  const cuts = [...survivors(inFlight, { exhaustiveLimit: 4096 })].find(
    (survivor) => new SimMaster(survivor.disk.fork()).start.divergentBytes[0]! > 100,
  )?.disk
  if (cuts === undefined) throw new Error('no outcome keeps sessions without their seal')
  const had = readNaively(cuts, DIRECTORY)
  let gone = 0
  const looked = liveAgain<LifeHistory>({
    disk: cuts,
    before: life.history(),
    live: (running, before, told) => {
      const again = new Life(restartAndCheck(running, before))
      told(again.history())
      for (const act of parseActs('w0 w1 f0 f1')) {
        again.play([act])
        told(again.history())
      }
    },
    check: (left, known) => {
      gone += mustKeep(had, left)
      restartAndCheck(left, known)
      gone += mustKeep(had, left)
    },
    oneOf: [17, 101],
  })
  t.comment(`${looked.join(', ')} crashes, ${gone} frames gone and kept`)
  t.ok(looked.every((crashes) => crashes > 50) && gone > 1_000)
})

t.test('a master that changes segments and writes recovery points, life after life', async (t) => {
  const disk = new SimDisk({ sectorBytes: 8192 })
  initMaster(disk, CHANNELS)
  const lives: Lives<LifeHistory> = {
    disk: disk.crash('none'),
    before: NO_HISTORY,
    live: (running, before, told) => {
      const life = new Life(restartAndCheck(running, before))
      for (const act of parseActs('w0:40000 w1:60000 f0 f1 w0:40000 f0 w1 f1')) {
        life.play([act])
        told(life.history())
      }
    },
    check: (left, known) => void restartAndCheck(left, known),
    oneOf: [37, 211],
  }
  const looked = liveAgain(lives)
  const losses = killThenPower(lives)
  t.comment(`${looked.join(', ')} crashes, ${losses} after the process was killed`)
  t.ok([...looked, losses].every((crashes) => crashes > 50))
})

t.test('a replica that changes segments and writes recovery points, life after life', async (t) => {
  const master = masterLog('w0:40000 w1:60000 f0 f1 w0:40000 f0 w1:60000 f1 w0:40000 f0 w1 f1 w0 f0')
  const ends = master.bytes.map(frameEnds)
  const empty = new SimDisk({ sectorBytes: 8192 })
  initReplica(empty, CHANNELS)
  const lives: Lives<readonly number[]> = {
    disk: empty.crash('none'),
    before: [0, 0],
    live: (running, before, told) => {
      const acknowledged = [...before]
      const replica = new SimReplica(running)
      replica.adopt(master.history)
      for (let turn = 0; turn < 4; turn++) {
        for (const [channel, bytes] of master.bytes.entries()) {
          const from = replica.received(channel)
          const to = ends[channel]!.filter((end) => end > from)[1] ?? bytes.length
          replica.receive(channel, bytes.subarray(from, to))
          acknowledged[channel] = Math.max(acknowledged[channel]!, replica.flush(channel))
          told([...acknowledged])
        }
      }
    },
    check: (left, acknowledged) => {
      const { resume } = new SimReplica(left)
      for (const [channel, end] of resume.entries()) {
        if (end < acknowledged[channel]!) throw new Error(`channel ${channel} ends at ${end}: ${acknowledged}`)
        if (!bytesOf(left, channel, end).equals(master.bytes[channel]!.subarray(0, end)))
          throw new Error(`channel ${channel} has other bytes than the master`)
      }
    },
    oneOf: [37, 211],
  }
  const looked = liveAgain(lives)
  const losses = killThenPower(lives)
  t.comment(`${looked.join(', ')} crashes, ${losses} after the process was killed`)
  t.ok([...looked, losses].every((crashes) => crashes > 50))
})
