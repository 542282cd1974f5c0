/**
 * The config of the cluster survives whatever the log survives: a change that is STORED counts at the next start, also
 * where the machine went down before the manifest was written, and wherever recovery begins (WAL-39, WAL-78).
 */
import t from 'tap'
import { type ClusterConfig, decodeConfig, EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { FrameKind } from '../../protocol/frame.ts'
import { type Manifest, readManifest, writeManifest } from '../../wal/manifest.ts'
import { readRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, SimMaster } from '../sim/sim-master.ts'
import { readFrames } from './read-frames.ts'

const member = { row: 1, address: '10.0.0.2:7400', inSync: true, via: 0 }
const changed = (number: number): ClusterConfig => ({ ...EMPTY_CONFIG, number, quorum: 1, members: [member] })

function twoChannels(): SimDisk {
  const disk = new SimDisk()
  initMaster(disk, 2)
  return disk
}

/** A start on what a power cut leaves; says which config holds from then on. */
const startAgain = (disk: SimDisk): Manifest => new SimMaster(disk.crash('none')).start.manifest

t.test('WAL-39: the first epoch of every mastership holds one CONFIG and nothing else', (t) => {
  const disk = twoChannels()
  for (let life = 0; life < 3; life++) {
    const master = new SimMaster(disk)
    const { firstEpoch, term } = master.start.mastership
    master.write(0, life + 1, 10)
    master.write(1, life + 101, 10)
    master.flush(1)
    master.flush(0)
    const own = [0, 1].map((channel) => readFrames(disk, channel).filter((f) => f.header.term === term.number))
    t.same(
      own[0]!.slice(0, 2).map((f) => [f.header.kind, f.header.epoch, f.header.firstMinor]),
      [
        [FrameKind.CONFIG, firstEpoch, 0n],
        [FrameKind.SEAL, firstEpoch, 0n],
      ],
    )
    t.ok(own[1]!.every((f) => f.header.epoch > firstEpoch))
    t.match(decodeConfig(own[0]![0]!.body, {}), { masterAddress: '127.0.0.1:7400', config: { number: 1 } })
  }
  t.end()
})

t.test('WAL-39: a CONFIG among sessions is stamped with them, and takes no minor version', (t) => {
  const disk = twoChannels()
  const master = new SimMaster(disk)
  const log = master.logs[0]!
  master.write(0, 1, 10)
  log.acceptConfig(
    { masterId: master.start.mastership.term.nodeId, masterAddress: 'a:1', config: changed(2) },
    () => {},
  )
  master.write(0, 2, 10)
  master.flush(0)
  const [one, config, two, seal] = readFrames(disk, 0).slice(2)
  t.same(
    [one, config, two, seal].map((f) => [f!.header.kind, f!.header.epoch, f!.header.firstMinor]),
    [
      [FrameKind.ENTRIES, 2n, 0n],
      [FrameKind.CONFIG, 2n, 0n],
      [FrameKind.ENTRIES, 2n, 1n],
      [FrameKind.SEAL, 2n, 0n],
    ],
  )
  t.end()
})

t.test('WAL-78: a change that was STORED counts, though the manifest does not know it', (t) => {
  const disk = twoChannels()
  const master = new SimMaster(disk)
  t.ok(master.changeConfig(changed(2)), 'STORED')
  t.equal(readManifest(disk, DIRECTORY).config.number, 1)
  t.same(startAgain(disk).config, changed(2))
  t.end()
})

t.test('WAL-78: also from a recovery point behind it', (t) => {
  const disk = twoChannels()
  const master = new SimMaster(disk)
  master.changeConfig(changed(2))
  const last = readFrames(disk, 0).at(-1)!.header.position
  for (let id = 1; id <= 6; id++) {
    master.write(0, id, 30_000)
    master.flush(0)
  }
  const { history } = readManifest(disk, DIRECTORY)
  const point = readRecoveryPoint(disk, channelDirectory(DIRECTORY, 0), 0, history)
  t.ok(point !== undefined && point.position > last, 'recovery begins behind the change')
  t.match(point?.config, { config: { number: 2 } })
  t.same(startAgain(disk).config, changed(2))

  master.changeConfig(changed(3)) // the point is older than this one
  t.same(startAgain(disk).config, changed(3))
  t.end()
})

t.test('WAL-78: a change in an epoch that is cut is none', (t) => {
  const disk = twoChannels()
  const master = new SimMaster(disk)
  master.changeConfig(changed(2))
  master.changeConfig(changed(3))
  const frames = readFrames(disk, 0)
  const seal = frames.at(-1)!
  const file = disk.open(`${channelDirectory(DIRECTORY, 0)}/0000000000000000.wal`, 'write')
  file.write([Buffer.alloc(112)], seal.header.position) // as a crash before its fdatasync could
  file.syncData()
  file.close()
  t.same(startAgain(disk).config, changed(2))
  t.end()
})

t.test('WAL-78: a manifest that knows a newer one goes before the log', (t) => {
  const disk = twoChannels()
  new SimMaster(disk).changeConfig(changed(2))
  writeManifest(disk, DIRECTORY, { ...readManifest(disk, DIRECTORY), config: changed(7) })
  t.same(startAgain(disk).config, changed(7))
  t.end()
})
