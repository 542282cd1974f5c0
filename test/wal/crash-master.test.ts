/**
 * Crashes of a master at every disk operation of short lives: append, rotate, seal, mark, restart, again and again
 * (STYLE A.38). Every claim about STORED is shown here, on a disk that forgets what was not flushed.
 */
import t from 'tap'
import { joinPath, readWholeFile } from '../../wal/disk.ts'
import { readManifest } from '../../wal/manifest.ts'
import { listSegments, prepareSegment, segmentName } from '../../wal/segments.ts'
import { exploreCrashes } from '../sim/crash-explorer.ts'
import { Life, type LifeHistory, NO_HISTORY, parseActs, restartAndCheck } from '../sim/lives.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, SEGMENT_BYTES } from '../sim/sim-master.ts'

interface Scenario {
  readonly name: string
  readonly channels: number
  readonly script: string
  readonly sectorBytes: number
  readonly perKind: number
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'append and seal on one channel, sectors that tear frames',
    channels: 1,
    script: 'w0 f0 w0 w0 f0 m0 w0 f0',
    sectorBytes: 64,
    perKind: 16,
  },
  {
    name: 'two channels in one epoch and in turns',
    channels: 2,
    script: 'w0 w1 f0 f1 w1 f1 w0 w1 f1 f0 m1 w0 f0',
    sectorBytes: 128,
    perKind: 16,
  },
  {
    name: 'three channels, unequal',
    channels: 3,
    script: 'w0 w0 w1 w2 f2 f1 f0 w1 f1 w1 f1 w2 w0 f0 f2',
    sectorBytes: 512,
    perKind: 16,
  },
  {
    name: 'rotation: sessions across segment ends',
    channels: 1,
    script: 'w0:30000 f0 w0:30000 f0 w0:30000 f0 w0:50000 f0 w0 f0',
    sectorBytes: 4096,
    perKind: 16,
  },
  {
    name: 'rotation on two channels',
    channels: 2,
    script: 'w0:50000 w1:60000 f0 f1 w0:50000 f0 w1:60000 f1 w0 f0',
    sectorBytes: 8192,
    perKind: 16,
  },
]

function freshDisk(channels: number, sectorBytes: number): SimDisk {
  const disk = new SimDisk({ sectorBytes })
  initMaster(disk, channels)
  return disk.crash('none') // what init has left is durable
}

for (const scenario of SCENARIOS) {
  t.test(`crash at every operation: ${scenario.name}`, async (t) => {
    const disk = freshDisk(scenario.channels, scenario.sectorBytes)
    let promised: () => LifeHistory = () => NO_HISTORY
    const looked = exploreCrashes({
      disk,
      run: (running) => {
        const life = new Life(restartAndCheck(running, NO_HISTORY))
        promised = () => life.history()
        life.play(parseActs(scenario.script))
        t.equal(
          life.master.answered.size,
          scenario.script.split('w').length - 1,
          'every session is answered in the end',
        )
      },
      check: (point) => {
        restartAndCheck(point.disk, promised())
      },
      selection: { perKind: scenario.perKind, exhaustiveLimit: 256 },
    })
    t.comment(`${looked.moments} moments, ${looked.points} crashes`)
    t.ok(looked.points > 70, 'the exploration has looked at something')
  })
}

t.test('segments made ahead, with holes and without: one that has its name has its size', async (t) => {
  const made = [0, 1, 2, 3]
  const looked = exploreCrashes({
    disk: new SimDisk({ sectorBytes: 16_384 }),
    run: (disk) => {
      for (const index of made)
        prepareSegment(disk, '/', {
          base: index * SEGMENT_BYTES,
          bytes: SEGMENT_BYTES,
          mayLeaveHole: () => index !== 2,
        })
    },
    check: ({ disk }) => {
      for (const [index, base] of listSegments(disk, '/').entries()) {
        if (base !== index * SEGMENT_BYTES) throw new Error(`segment ${index} begins at ${base}`)
        const bytes = readWholeFile(disk, `/${segmentName(base)}`)
        if (!bytes.equals(Buffer.alloc(SEGMENT_BYTES))) throw new Error(`segment ${index} has ${bytes.length} bytes`)
      }
    },
    selection: { perKind: 16, exhaustiveLimit: 256 },
  })
  t.comment(`${looked.points} crashes`)
  t.ok(looked.points > 4 * made.length, 'the exploration has looked at something')
})

t.test('an initialised directory survives a crash right after init', async (t) => {
  const disk = new SimDisk({ sectorBytes: 512 })
  initMaster(disk, 2)
  for (const choice of ['none', 'all'] as const) restartAndCheck(disk.crash(choice), NO_HISTORY)
  t.equal(disk.units().length, 0, 'init leaves nothing that a crash could take')
})

t.test(
  'a crash inside init: a directory that has a manifest is complete, and one that has none is not opened',
  async (t) => {
    let [complete, refused] = [0, 0]
    const looked = exploreCrashes({
      disk: new SimDisk({ sectorBytes: 4096 }),
      run: (running) => initMaster(running, 2),
      check: ({ disk }) => {
        if (disk.exists(joinPath(DIRECTORY, 'manifest'))) {
          restartAndCheck(disk, NO_HISTORY)
          complete++
          return
        }
        t.throws(() => readManifest(disk, DIRECTORY), { code: /^DIRECTORY_(MISSING|NOT_INITIALISED)$/ })
        refused++
      },
      selection: { perKind: 8, exhaustiveLimit: 64 },
    })
    t.comment(`${looked.moments} moments: ${complete} complete, ${refused} refused`)
    t.ok(complete > 1 && refused > 20, 'both were seen')
  },
)

t.test('repeated crashes with equal frames on a disk that is not erased', async (t) => {
  const acts = parseActs('w0 f0 w0 w1 f0 f1 w1')
  let looked = 0
  const lives = (disk: SimDisk, history: LifeHistory, depth: number): void => {
    const start = disk.fork()
    let promised: () => LifeHistory = () => history
    exploreCrashes({
      disk: start,
      run: (running) => {
        const life = new Life(restartAndCheck(running, history))
        promised = () => life.history()
        life.play(acts)
      },
      check: (point) => {
        looked++
        const next = promised()
        // every 31st outcome lives on: enough to mix many pasts, few enough to end
        if (depth > 1 && looked % 31 === 0) lives(point.disk, next, depth - 1)
        else restartAndCheck(point.disk, next)
      },
      selection: { perKind: 2, exhaustiveLimit: 4, seed: depth },
    })
  }
  lives(freshDisk(2, 128), NO_HISTORY, 3)
  t.comment(`${looked} crashes in lives after lives`)
  t.ok(looked > 1000)
})

t.test('crashes inside recovery and the start of a mastership', async (t) => {
  const disk = freshDisk(2, 128)
  const life = new Life(restartAndCheck(disk, NO_HISTORY))
  life.play(parseActs('w0 w1 f0 f1 w0 f0 w1 f1 w0 w1 f1'))
  const promised = life.history()
  let points = 0
  // the machine goes down, in several ways, with unanswered bytes in the files; then it goes down again while it starts
  const choices = [disk.killProcess(), disk.crash('none'), disk.crash('all'), ...halves(disk)]
  for (const survivor of choices) {
    const looked = exploreCrashes({
      disk: survivor,
      run: (running) => void restartAndCheck(running, promised),
      check: (point) => void restartAndCheck(point.disk, promised),
      selection: { perKind: 4, exhaustiveLimit: 64 },
    })
    points += looked.points
  }
  t.comment(`${points} crashes in ${choices.length} starts`)
  t.ok(points > 200)
})

/** Every second uncertain thing kept, and the others. */
function halves(disk: SimDisk): SimDisk[] {
  const units = disk.units()
  return [0, 1].map((parity) => disk.crash(units.map((unit, i) => (i % 2 === parity ? unit.latest : 0))))
}

t.test('a failed fdatasync: the page cache lies, the restart does not believe it', async (t) => {
  for (const nth of [1, 2, 3]) {
    const disk = freshDisk(2, 128)
    const life = new Life(restartAndCheck(disk, NO_HISTORY))
    life.play(parseActs('w0 f0 w1 f1 w0 w1'))
    disk.fail({ kind: 'syncData', nth, path: '.wal' })
    t.throws(() => life.play(parseActs('f0 f1 w0 f0 w1 f1')), { code: 'CHANNEL_POISONED' }, 'the channel is poisoned')
    t.throws(() => life.play(parseActs('w0 f0 w1 f1')), 'and takes nothing more')
    // the process restarts on the same page cache; then the power fails, with the worst outcome
    const restarted = restartAndCheck(disk.killProcess(), life.history())
    const after = restarted.master.disk as SimDisk // SimMaster was given one
    restartAndCheck(after.crash('none'), restarted.history)
  }
})
