/**
 * Crashes of a replica at every disk operation: while it follows a master, and while it adopts a history that cuts what
 * it holds. What was acknowledged as durable is there afterwards, byte for byte; what was cut is in divergent/.
 */
import t from 'tap'
import { byteOffset, epoch, termNumber } from '../../protocol/ids.ts'
import { joinPath, readWholeFile } from '../../wal/disk.ts'
import { divergentName } from '../../wal/divergent.ts'
import { readManifest } from '../../wal/manifest.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import { survivors } from '../sim/crash-choices.ts'
import { exploreCrashes } from '../sim/crash-explorer.ts'
import { Life, NO_HISTORY, parseActs, restartAndCheck } from '../sim/lives.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, NODE, SimMaster, scanAll } from '../sim/sim-master.ts'
import { initReplica, SimReplica } from '../sim/sim-replica.ts'

const CHANNELS = 2

/** A master's log: its bytes per channel, and its history. */
function masterLog(script: string): { bytes: Buffer[]; history: TermHistory } {
  const disk = new SimDisk({ sectorBytes: 512 })
  initMaster(disk, CHANNELS)
  const life = new Life(restartAndCheck(disk, NO_HISTORY))
  life.play(parseActs(script))
  const scans = scanAll(disk, readManifest(disk, DIRECTORY))
  return {
    bytes: scans.map((scan) => bytesOf(disk, scan.channel, 0, scan.end)),
    history: life.master.start.manifest.history,
  }
}

function bytesOf(disk: SimDisk, channel: number, from: number, to: number): Buffer {
  const segments = new Segments({
    disk,
    directory: channelDirectory(DIRECTORY, channel),
    segmentBytes: 0,
    access: 'read',
  })
  const bytes = Buffer.alloc(to - from)
  segments.read(from, bytes)
  segments.close()
  return bytes
}

function freshReplica(sectorBytes: number): SimDisk {
  const disk = new SimDisk({ sectorBytes })
  initReplica(disk, CHANNELS)
  return disk.crash('none')
}

t.test('crash at every operation while following: acknowledged bytes stay', async (t) => {
  for (const { script, sectorBytes } of [
    { script: 'w0 w1 f0 f1 w0 f0 w1 w1 f1 m0', sectorBytes: 64 },
    { script: 'w0:60000 w1 f0 f1 w0:60000 f0 w1 f1 w0 f0', sectorBytes: 4096 },
  ]) {
    const master = masterLog(script)
    const acknowledged = [0, 0]
    const looked = exploreCrashes({
      disk: freshReplica(sectorBytes),
      run: (disk) => {
        const replica = new SimReplica(disk)
        replica.adopt(master.history)
        for (const channel of [0, 1]) {
          const bytes = master.bytes[channel]!
          const half = frameBoundary(bytes, bytes.length / 2)
          for (const [from, to] of [
            [0, half],
            [half, bytes.length],
          ] as const) {
            replica.receive(channel, bytes.subarray(from, to))
            acknowledged[channel] = replica.flush(channel)
          }
        }
      },
      check: ({ disk }) => {
        const replica = new SimReplica(disk)
        for (const [channel, position] of acknowledged.entries()) {
          const end = replica.resume[channel]!
          if (end < position) throw new Error(`channel ${channel} ends at ${end}, acknowledged ${position}`)
          if (!bytesOf(disk, channel, 0, end).equals(master.bytes[channel]!.subarray(0, end)))
            throw new Error('other bytes than the master has')
        }
      },
      selection: { perKind: 8, exhaustiveLimit: 128 },
    })
    t.comment(`${looked.points} crashes`)
    t.ok(looked.points > 100)
    t.same(
      acknowledged,
      master.bytes.map((b) => b.length),
      'all of it was acknowledged in the end',
    )
  }
})

function frameBoundary(bytes: Buffer, near: number): number {
  let at = 0
  while (at < near) at += 72 + bytes.readUInt32LE(at + 8)
  return at
}

t.test('crash at every operation while adopting a history that cuts', async (t) => {
  const master = masterLog('w0 w1 f0 f1 w0 f0 w1 f1')
  const disk = freshReplica(64)
  const replica = new SimReplica(disk)
  replica.adopt(master.history)
  for (const channel of [0, 1]) {
    replica.receive(channel, master.bytes[channel]!)
    replica.flush(channel)
  }
  // the master lost its last frames, started again, and its new term begins in the middle of what the replica holds
  const cut = master.bytes.map((bytes) => frameBoundary(bytes, 1))
  const old = master.history[0]!
  const history: TermHistory = [
    old,
    {
      term: { number: termNumber(2n), nodeId: NODE, tag: 77 },
      firstEpoch: epoch(9n),
      baseEpoch: epoch(0n),
      starts: cut.map(byteOffset),
    },
  ]
  let adoptedSeen = 0
  const looked = exploreCrashes({
    disk,
    run: (running) => new SimReplica(running).adopt(history),
    check: (point) => {
      const after = new SimReplica(point.disk)
      const adopted = after.manifest.history.length === 2
      for (const channel of [0, 1]) {
        const bytes = master.bytes[channel]!
        if (!adopted) {
          if (after.resume[channel] !== bytes.length) throw new Error('the old history has lost bytes')
          continue
        }
        adoptedSeen++
        if (after.resume[channel] !== cut[channel])
          throw new Error(`the cut is at ${after.resume[channel]}, expected ${cut[channel]}`)
        const name = divergentName({ channel, from: cut[channel]!, to: bytes.length, before: 2n })
        const kept = readWholeFile(point.disk, joinPath(DIRECTORY, 'divergent', name))
        if (!kept.equals(bytes.subarray(cut[channel]!))) throw new Error('divergent/ does not hold what was cut')
      }
      after.adopt(history) // and it can be repeated
    },
    selection: { perKind: 8, exhaustiveLimit: 128 },
  })
  t.comment(`${looked.points} crashes, ${adoptedSeen} with the new history`)
  t.ok(adoptedSeen > 4)
})

t.test('crash at every operation of a start that cuts: divergent/ is complete before the cut counts', async (t) => {
  const disk = new SimDisk({ sectorBytes: 64 })
  initMaster(disk, CHANNELS)
  const life = new Life(restartAndCheck(disk, NO_HISTORY))
  life.play(parseActs('w0 w1 f0 f1'))
  // a batch whose flush fails: a power loss may keep its sessions and lose its seal
  life.play(parseActs('w0 w0 w0'))
  disk.fail({ kind: 'syncData', path: '.wal' })
  disk.onStep = (step) => {
    if (step.kind === 'syncData') inFlight = disk.fork()
  }
  let inFlight = disk
  t.throws(() => life.play(parseActs('f0')), { code: 'CHANNEL_POISONED' })
  const survivor = [...survivors(inFlight, { exhaustiveLimit: 4096 })].find(
    (s) => new SimMaster(s.disk.fork()).start.divergentBytes[0]! > 0,
  )?.disk
  if (survivor === undefined) throw new Error('no outcome keeps sessions without their seal')
  const expected = new SimMaster(survivor.fork()).start
  const [start] = expected.mastership.starts
  const before = survivor.fork()
  let cutSeen = 0
  exploreCrashes({
    disk: survivor,
    run: (running) => new SimMaster(running),
    check: (point) => {
      const manifest = readManifest(point.disk, DIRECTORY)
      const mastership = manifest.history.at(-1)
      if (manifest.history.length < 2 || mastership === undefined) return
      cutSeen++
      const name = divergentName({
        channel: 0,
        from: start!,
        to: start! + expected.divergentBytes[0]!,
        before: mastership.term.number,
      })
      const kept = readWholeFile(point.disk, joinPath(DIRECTORY, 'divergent', name))
      if (!kept.equals(bytesOf(before, 0, start!, start! + kept.length)))
        throw new Error('divergent/ does not hold what was cut')
    },
    selection: { perKind: 8, exhaustiveLimit: 128 },
  })
  t.comment(`${cutSeen} crashes after the cut; ${expected.divergentBytes[0]} bytes cut`)
  t.ok(cutSeen > 2)
})
