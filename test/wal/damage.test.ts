/**
 * Damage of flushed bytes: it is never taken for a torn tail. A flipped bit, zeros or an older content in any sector of a
 * log: the node refuses with file and position and changes nothing, or, only for the very last batch where nothing
 * written later proves it (DESIGN 4b), starts without that batch alone.
 */
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { nodeId } from '../../protocol/ids.ts'
import { readWholeFile } from '../../wal/disk.ts'
import { readManifest, writeManifest } from '../../wal/manifest.ts'
import { channelDirectory, segmentName } from '../../wal/segments.ts'
import { Life, type LifeHistory, NO_HISTORY, parseActs, restartAndCheck } from '../sim/lives.ts'
import { committedBodies, readNaively } from '../sim/naive-reader.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, readSessionId, SimMaster } from '../sim/sim-master.ts'
import { SimReplica } from '../sim/sim-replica.ts'

const SECTOR_BYTES = 64
const REPLICA = nodeId('0ccccccc-0000-4000-8000-000000000001')

interface Lived {
  readonly disk: SimDisk
  readonly history: LifeHistory
  /** End of the log per channel. */
  readonly ends: readonly number[]
}

function live(script: string, channels: number): Lived {
  const disk = new SimDisk({ sectorBytes: SECTOR_BYTES })
  initMaster(disk, channels)
  const life = new Life(restartAndCheck(disk.crash('none'), NO_HISTORY))
  life.play(parseActs(script))
  const durable = (life.master.disk as SimDisk).crash('none') // SimMaster was given one
  const ends = readNaively(durable, DIRECTORY).frames.map((frames) => {
    const last = frames.at(-1)
    return last === undefined ? 0 : last.position + 72 + last.body.length
  })
  return { disk: durable, history: life.history(), ends }
}

type Damage = 'flipBit' | 'zeroSector'

function damage(disk: SimDisk, kind: Damage, path: string, offset: number): void {
  if (kind === 'flipBit') disk.flipBit(path, offset, 3)
  else disk.zeroSector(path, offset)
}

/** What became of a start on a damaged disk. */
function outcome(lived: Lived, kind: Damage, channel: number, offset: number): 'refused' | 'started' {
  const disk = lived.disk.fork()
  const path = `${channelDirectory(DIRECTORY, channel)}/${segmentName(0)}`
  damage(disk, kind, path, offset)
  const { changes } = disk
  try {
    new SimMaster(disk)
    return 'started'
  } catch (thrown) {
    if (!(thrown instanceof TravertineError)) throw thrown
    if (thrown.code !== 'LOG_DAMAGED' && thrown.code !== 'LOG_INCOMPLETE') throw thrown
    if (thrown.hint === '') throw new Error('a refusal says what to do')
    if (thrown.code === 'LOG_INCOMPLETE' && thrown.where.epoch === undefined)
      throw new Error('an incomplete log names the epoch')
    if (thrown.code === 'LOG_DAMAGED' && (thrown.where.file !== path || thrown.where.offset === undefined))
      throw new Error('damage has a place')
    if (disk.changes !== changes) throw new Error('a refusal changes nothing, the fence neither')
    return 'refused'
  }
}

for (const kind of ['flipBit', 'zeroSector'] as const) {
  t.test(`${kind} in every sector, with a MARK behind the last batch: always refused`, async (t) => {
    const lived = live('w0 w1 f0 f1 w0 w0 f0 w1 f1 w0 f0 m0 m1', 2)
    let places = 0
    for (const [channel, end] of lived.ends.entries()) {
      const markFrom = end - 72 - 16 // the MARK itself is the one frame that nothing later proves
      for (let offset = 0; offset < markFrom; offset += SECTOR_BYTES / 2) {
        places++
        if (outcome(lived, kind, channel, offset) !== 'refused')
          t.fail(`channel ${channel}, byte ${offset} of ${end}: started`)
      }
    }
    t.comment(`${places} places`)
    t.ok(places > 40)
  })

  t.test(`${kind} in every sector, last batch not proven: nothing but that batch can be lost`, async (t) => {
    const lived = live('w0 f0 w0 f0 w0 w0 f0', 1)
    const lastEpoch = [...lived.history.answered.values()].reduce((a, b) => (a > b ? a : b))
    let started = 0
    let refused = 0
    for (let offset = 0; offset < lived.ends[0]!; offset += SECTOR_BYTES / 2) {
      if (outcome(lived, kind, 0, offset) === 'refused') {
        refused++
        continue
      }
      started++
      const disk = lived.disk.fork()
      damage(disk, kind, `${channelDirectory(DIRECTORY, 0)}/${segmentName(0)}`, offset)
      new SimMaster(disk)
      const found = new Set(committedBodies(readNaively(disk, DIRECTORY)).map((c) => readSessionId(c.body)))
      for (const [id, epoch] of lived.history.answered) {
        if (!found.has(id) && epoch !== lastEpoch)
          t.fail(`byte ${offset}: session ${id} of epoch ${epoch} is gone without a word`)
      }
    }
    t.comment(`${refused} refused, ${started} started without the last batch`)
    t.ok(refused > 5 && started > 3)
  })
}

t.test('an untouched disk starts: the refusals above are not the rule', async (t) => {
  const lived = live('w0 w1 f0 f1 m0 m1', 2)
  t.equal(restartAndCheck(lived.disk.fork(), lived.history).history.answered.size, 2)
})

t.test('a segment that is missing, or cut, in the middle is damage with its place', async (t) => {
  const lived = live('w0:60000 f0 w0:60000 f0 w0:60000 f0 m0', 1)
  const folder = channelDirectory(DIRECTORY, 0)
  const disk = lived.disk.fork()
  disk.unlink(`${folder}/recovery.point`)
  disk.unlink(`${folder}/${segmentName(65_536)}`)
  disk.syncDirectory(folder)
  t.throws(() => new SimMaster(disk), { code: 'LOG_DAMAGED', where: { file: `${folder}/${segmentName(0)}` } })
})

/** The log of a master of two channels, and as it is when the second one has lost all that it had. */
function liveAndLose(): { whole: SimDisk; lost: SimDisk } {
  // channel 0 goes on alone after epochs with channel 1
  const { disk: whole, ends } = live('w0 w1 f0 f1 w1 f1 w0 f0 w0 f0 m0', 2)
  const lost = whole.fork()
  for (let offset = 0; offset < ends[1]!; offset += SECTOR_BYTES)
    lost.zeroSector(`${channelDirectory(DIRECTORY, 1)}/${segmentName(0)}`, offset)
  return { whole, lost }
}

t.test('all seals of an epoch that was answered are gone from one channel: refused by the other one', async (t) => {
  t.throws(() => new SimMaster(liveAndLose().lost), { code: 'LOG_INCOMPLETE', where: { epoch: 2n } })
})

for (const attempts of [0, 1, 3]) {
  t.test(`refused as a master ${attempts} times, a node follows the replica that has taken over`, async (t) => {
    const { whole, lost } = liveAndLose()
    for (let i = 0; i < attempts; i++) t.throws(() => new SimMaster(lost), { code: 'LOG_INCOMPLETE' })

    writeManifest(whole, DIRECTORY, { ...readManifest(whole, DIRECTORY), nodeId: REPLICA }) // it holds all that the master had
    const master = new SimMaster(whole)
    const { term } = master.start.mastership
    t.match(term, { nodeId: REPLICA, number: readManifest(lost, DIRECTORY).history.at(-1)!.term.number + 1n })

    writeManifest(lost, DIRECTORY, { ...readManifest(lost, DIRECTORY), role: 'replica' })
    const returned = new SimReplica(lost)
    returned.adopt(master.start.manifest.history)
    for (const [channel, { durablePosition }] of master.writers.entries()) {
      const log = readWholeFile(whole, `${channelDirectory(DIRECTORY, channel)}/${segmentName(0)}`)
      returned.receive(channel, log.subarray(returned.resume[channel], durablePosition))
      t.equal(returned.flush(channel), durablePosition, `channel ${channel} has all that the new master holds`)
    }
    t.same(readManifest(lost, DIRECTORY).fence, term)
  })
}
