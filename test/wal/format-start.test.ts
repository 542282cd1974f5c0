/** Start of a mastership and adoption of a history, on logs made by hand: docs/WAL_FORMAT.md chapter 7. */
import t from 'tap'
import { type AdoptOptions, type AdoptResult, completeAdoption, prepareAdoption } from '../../wal/adopt-history.ts'
import { readWholeFile } from '../../wal/disk.ts'
import { type Manifest, readManifest } from '../../wal/manifest.ts'
import { startMastership } from '../../wal/mastership.ts'
import { writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { codeOf } from '../protocol/damage.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import type { StepKind } from '../sim/sim-handle.ts'
import {
  DIRECTORY,
  emptyLog,
  frames,
  manifestOf,
  mark,
  mastership,
  OTHER,
  overwrite,
  recover,
  scanAll,
  seal,
  session,
} from './hand-made-log.ts'

const both = { participants: 0b11n }
const first = mastership(4, [0, 0])
const manifest: Manifest = {
  ...manifestOf(2, [first]),
  fence: { number: first.term.number, nodeId: first.term.nodeId, tag: first.term.tag },
}

/** Channel 0 holds epochs 1 and 2 and the begin of 3; channel 1 the session of 2, but not its seal. */
function interrupted(): { disk: SimDisk; log0: Buffer; log1: Buffer; start: number; ends: readonly number[] } {
  const zero = frames([session(1n), seal(1n), mark(0), session(2n), seal(2n, both), session(7n)], first)
  const one = frames([session(2n)], first, 1)
  const disk = emptyLog(manifest)
  overwrite(disk, 0, 0, zero.bytes)
  overwrite(disk, 1, 0, one.bytes)
  return { disk, log0: zero.bytes, log1: one.bytes, start: zero.ends[2]!, ends: [zero.ends[5]!, one.ends[0]!] }
}

const start = (disk: SimDisk, of = manifest): ReturnType<typeof startMastership> =>
  startMastership({ disk, directory: DIRECTORY, manifest: of, scans: scanAll(disk, of), tag: 99 })

t.test('WAL-71: term, epochs and starts of a new mastership', (t) => {
  const { disk, start: cut } = interrupted()
  const result = start(disk)
  t.match(result.mastership, {
    term: { number: 5n, nodeId: manifest.nodeId, tag: 99 },
    firstEpoch: 8n,
    baseEpoch: 1n,
    starts: [cut, 0],
  })
  t.match(result.manifest, { history: [first, result.mastership], fence: result.mastership.term })
  t.same(readManifest(disk.crash('none'), DIRECTORY), result.manifest, 'and it is durable')
  const fenced = { ...manifest, fence: { ...first.term, number: 40n as typeof first.term.number } } // a bigint is branded by the compiler only
  t.equal(start(interrupted().disk, fenced).mastership.term.number, 41n, 'above the fence')
  const empty = emptyLog(manifestOf(1, []))
  t.match(start(empty, manifestOf(1, [])).mastership, {
    term: { number: 1n },
    firstEpoch: 1n,
    baseEpoch: 0n,
    starts: [0],
  })
  t.end()
})

t.test('WAL-70 WAL-71: a restart is a new term, its first epoch above all epochs closed in vain', (t) => {
  const { disk } = interrupted()
  const again = start(disk).manifest
  const second = start(disk, again)
  t.match(second.mastership, { term: { number: 6n }, firstEpoch: 8n, baseEpoch: 1n, starts: again.history[1]!.starts })
  t.end()
})

t.test('WAL-72 WAL-73 WAL-74 WAL-75: the steps come in their order, and the manifest alone is the cut', (t) => {
  const { disk, log0, log1, start: cut, ends } = interrupted()
  const steps: { kind: StepKind; path: string }[] = []
  disk.onStep = ({ kind, path }) => steps.push({ kind, path: path.slice(DIRECTORY.length + 1) })
  const result = start(disk)
  disk.onStep = undefined
  const first = (kind: StepKind, path: string): number =>
    steps.findIndex((s) => s.kind === kind && s.path.startsWith(path))
  const last = (kind: StepKind, path: string): number =>
    steps.findLastIndex((s) => s.kind === kind && s.path.startsWith(path))
  const order = [
    first('rename', 'manifest.new'),
    first('write', 'channels/00'),
    last('syncData', 'channels/01'),
    first('create', 'divergent/'),
    last('syncData', 'divergent/'),
    last('rename', 'divergent/'),
    last('syncDirectory', 'divergent'),
    last('create', 'manifest.new'),
    last('rename', 'manifest.new'),
    last('syncDirectory', ''),
  ]
  t.notOk(order.includes(-1), 'every step was seen')
  t.same(
    order,
    [...order].sort((a, b) => a - b),
    'in this order',
  )
  t.equal(
    order.at(-1),
    steps.findLastIndex((s) => s.kind !== 'close'),
    'and nothing comes after them',
  )
  t.ok(first('rename', 'manifest.new') < last('rename', 'manifest.new'), 'the fence, then the mastership')

  for (const [channel, log] of [log0, log1].entries()) {
    const file = readWholeFile(disk, `${DIRECTORY}/channels/0${channel}/0000000000000000.wal`)
    t.same(file.subarray(0, log.length), log, 'the old bytes stand as they stood')
    t.ok(file.subarray(log.length).every((byte) => byte === 0))
  }
  const hex = cut.toString(16).padStart(16, '0')
  t.same(disk.crash('none').list(`${DIRECTORY}/divergent`), [
    `before-5-00-${hex}.wal`,
    'before-5-01-0000000000000000.wal',
  ])
  t.same(readWholeFile(disk, `${DIRECTORY}/divergent/before-5-00-${hex}.wal`), log0.subarray(cut))
  t.same(readWholeFile(disk, `${DIRECTORY}/divergent/before-5-01-0000000000000000.wal`), log1)
  t.same(result.divergentBytes, [ends[0]! - cut, ends[1]])
  t.match(recover(disk, result.manifest), { end: cut, tail: 'torn-tail' }, 'what was cut is not valid any more')
  t.end()
})

t.test('WAL-72: an epoch that was STORED and is not whole is refused, and nothing is changed', (t) => {
  const { bytes } = frames([session(1n), seal(1n), session(2n), seal(2n, both), mark(0, 2n)], first)
  const disk = emptyLog(manifest)
  overwrite(disk, 0, 0, bytes)
  const { changes } = disk
  for (const attempt of [1, 2]) {
    const refusal = { code: 'LOG_INCOMPLETE', where: { epoch: 2n, channel: 1 }, hint: /nothing was changed/ }
    t.throws(() => start(disk, readManifest(disk, DIRECTORY)), refusal)
    t.equal(disk.changes, changes, `nothing was changed, the fence neither, at attempt ${attempt}`)
  }
  t.same(readManifest(disk, DIRECTORY), manifest)
  const foreign = manifestOf(2, [mastership(4, [0, 0], 0n, OTHER)])
  t.equal(
    codeOf(() => start(disk, foreign)),
    'none',
    'another node knows what its own disk held',
  )
  t.end()
})

t.test(
  'WAL-48 WAL-66: a point of a forgotten term is not used: its epochs may have been given up, and the log been cut below it',
  (t) => {
    const old = mastership(1, [0])
    const before = frames([session(1n), seal(1n)], old) // epoch 2 was whole elsewhere, says the point, and is gone
    const end = before.ends[1]!
    const next = mastership(2, [end], 1n, OTHER)
    const behind = frames([session(3n), seal(3n, { prev: 1n })], next, 0, end)
    const own = mastership(3, [behind.ends[1]!], 3n)
    const stale = behind.ends[0]! - 1 // `next` has cut a log that went on to there, and has written other frames
    for (const [history, position] of [
      [[old, next, own], end],
      [[next, own], end],
      [[own], end],
      [[own], stale],
    ] as const) {
      const known = manifestOf(1, history)
      const disk = emptyLog(known)
      overwrite(disk, 0, 0, Buffer.concat([before.bytes, behind.bytes]))
      writeRecoveryPoint(disk, channelDirectory(DIRECTORY, 0), {
        channel: 0,
        position,
        epoch: 1n,
        stored: 2n,
        term: old.term.number,
        termTag: old.term.tag,
        sealPosition: position === end ? before.ends[0]! : end + 1,
        producers: { evictedEpoch: '0', producers: [] },
      })
      t.equal(recover(disk, known).from, history.length === 3 ? end : 0, 'used while its term is known')
      t.match(start(disk, known).mastership, { baseEpoch: 3n, starts: own.starts }, `${history.length} in the history`)
    }
    t.end()
  },
)

t.test('WAL-43 WAL-72: what was STORED and was given up by a later mastership is missed no more', (t) => {
  const { bytes, ends } = frames([session(1n), seal(1n), mark(0, 2n)], first) // epoch 2 was on channel 1 alone
  const other = { ...mastership(5, [ends[2]!, 0], 1n, OTHER), firstEpoch: 3n as typeof first.firstEpoch } // branded by the compiler only
  const returned = manifestOf(2, [first, other])
  const disk = emptyLog(returned)
  overwrite(disk, 0, 0, bytes)
  t.match(start(disk, returned).mastership, { term: { number: 6n }, baseEpoch: 1n, starts: [ends[2], 0] })
  t.end()
})

t.test(
  'WAL-79: a log that does not reach to where the newest mastership began is refused, and nothing is changed',
  (t) => {
    const old = mastership(4, [0, 0], 0n, OTHER)
    const written = frames([session(1n), seal(1n), session(2n), seal(2n, both), mark(0)], old)
    const other = frames([session(2n), seal(2n, both)], old, 1)
    const starts = [written.ends[4]!, other.ends[1]!]
    const next = mastership(5, starts, 2n, OTHER)
    const adopted = manifestOf(2, [old, next])
    const made = (zero: Buffer, one: Buffer, of = adopted): SimDisk => {
      const disk = emptyLog(of)
      overwrite(disk, 0, 0, zero)
      overwrite(disk, 1, 0, one)
      return disk
    }
    const epoch1 = written.ends[1]!
    const bad: [string, SimDisk, { epoch: bigint; channel: number; offset: number }][] = [
      ['it has received nothing', emptyLog(adopted), { epoch: 0n, channel: 0, offset: 0 }],
      [
        'an epoch is missing',
        made(written.bytes.subarray(0, epoch1), other.bytes),
        { epoch: 1n, channel: 0, offset: epoch1 },
      ],
      [
        'a seal is missing on the other channel',
        made(written.bytes, other.bytes.subarray(0, other.ends[0])),
        { epoch: 1n, channel: 1, offset: 0 },
      ],
      [
        'the MARK behind the last seal is missing',
        made(written.bytes.subarray(0, written.ends[3]), other.bytes),
        { epoch: 2n, channel: 0, offset: written.ends[3]! },
      ],
      [
        'the other channel is missing',
        made(written.bytes.subarray(0, epoch1), Buffer.alloc(0)),
        { epoch: 1n, channel: 0, offset: epoch1 },
      ],
    ]
    for (const [what, disk, where] of bad) {
      const { changes } = disk
      for (const attempt of [1, 2]) {
        t.throws(() => start(disk, adopted), { code: 'LOG_INCOMPLETE', where, hint: /nothing was changed/ }, what)
        t.equal(disk.changes, changes, `${what}: nothing was changed, the fence neither, at attempt ${attempt}`)
      }
    }
    const alone = manifestOf(2, [old, mastership(5, [epoch1, other.ends[1]!], 1n, OTHER)])
    t.throws(
      () => start(made(written.bytes.subarray(0, epoch1), Buffer.alloc(0), alone), alone),
      { code: 'LOG_INCOMPLETE', where: { epoch: 1n, channel: 1, offset: 0 } },
      'a channel that lacks something is named, not the first one',
    )
    const above = manifestOf(2, [old, mastership(5, starts, 3n, OTHER)])
    t.throws(
      () => start(made(written.bytes, other.bytes, above), above),
      { code: 'LOG_INCOMPLETE', where: { epoch: 2n } },
      'positions alone are not enough',
    )
    const own = manifestOf(2, [old, mastership(5, starts, 2n)])
    t.throws(
      () => start(made(written.bytes.subarray(0, epoch1), other.bytes, own), own),
      { code: 'LOG_DAMAGED', where: { channel: 0, offset: epoch1 } },
      'where it was its own mastership, durable bytes are gone',
    )
    const good: [string, SimDisk, Manifest][] = [
      ['it reaches exactly there', made(written.bytes, other.bytes), adopted],
      ['a master again, right after its start', made(written.bytes, other.bytes, own), own],
      [
        'what has come beyond is no whole epoch',
        made(Buffer.concat([written.bytes, frames([session(3n)], next, 0, starts[0]).bytes]), other.bytes),
        adopted,
      ],
    ]
    for (const [what, disk, of] of good)
      t.match(start(disk, of).mastership, { term: { number: 6n }, baseEpoch: 2n, starts }, what)
    t.end()
  },
)

function adoptHistory(options: AdoptOptions): AdoptResult {
  const prepared = prepareAdoption(options)
  completeAdoption(options, prepared)
  return prepared
}

t.test('WAL-76: a replica goes on at the end of its channel, in the middle of an epoch too', (t) => {
  const replica = manifestOf(2, [mastership(4, [0, 0], 0n, OTHER)], 'replica')
  const { bytes, ends } = frames([session(1n), seal(1n, both), session(2n)], first)
  const disk = emptyLog(replica)
  overwrite(disk, 0, 0, bytes)
  overwrite(disk, 0, bytes.length, Buffer.from('half a frame'))
  const channelEnds = scanAll(disk, replica).map((scan) => scan.end)
  t.same(channelEnds, [ends[2], 0])
  const same = adoptHistory({
    disk,
    directory: DIRECTORY,
    manifest: replica,
    ends: channelEnds,
    history: replica.history,
  })
  const commonEpoch = 2n ** 64n - 1n // they do not part
  t.same(same, { manifest: replica, resume: channelEnds, divergentBytes: [0, 0], commonEpoch, producers: [] })
  t.end()
})

t.test('WAL-77: a new history is durable before it is followed, and what parts from it is kept', (t) => {
  const old = mastership(4, [0, 0], 0n, OTHER)
  const replica = manifestOf(2, [old], 'replica')
  const { bytes, ends } = frames([session(1n), seal(1n), session(2n), seal(2n)], first)
  const adopt = (disk: SimDisk, history: Manifest['history']): AdoptResult =>
    adoptHistory({ disk, directory: DIRECTORY, manifest: replica, ends: [ends[3]!, 0], history })
  const disk = emptyLog(replica)
  overwrite(disk, 0, 0, bytes)
  const history = [old, mastership(5, [ends[1]!, 700], 1n, OTHER)]
  const adopted = adopt(disk, history)
  t.match(adopted, { resume: [ends[1], 0], divergentBytes: [ends[3]! - ends[1]!, 0] })
  const after = disk.crash('none')
  t.same(readManifest(after, DIRECTORY), { ...replica, history, fence: history[1]!.term })
  const name = `before-5-00-${ends[1]!.toString(16).padStart(16, '0')}.wal`
  t.same(readWholeFile(after, `${DIRECTORY}/divergent/${name}`), bytes.subarray(ends[1]))

  const bad: [string, string, Manifest['history']][] = [
    [
      'other starts of a shared term',
      'HISTORY_DIVERGED',
      [mastership(4, [0, 72], 0n, OTHER), mastership(5, [0, 72], 0n, OTHER)],
    ],
    ['starts that go back', 'HISTORY_DIVERGED', [old, mastership(5, [500, 0]), mastership(6, [400, 0])]],
    ['numbers that do not ascend', 'HISTORY_DIVERGED', [mastership(5, [0, 0]), mastership(5, [0, 0])]],
    ['too few starts', 'HISTORY_DIVERGED', [old, mastership(5, [0])]],
    ['no term at all', 'HISTORY_DIVERGED', []],
    ['an older term', 'TERM_STALE', [mastership(3, [0, 0])]],
    ['another term of the same number', 'TERM_CONFLICT', [mastership(4, [0, 0])]],
  ]
  for (const [what, code, history] of bad) {
    const untouched = emptyLog(replica)
    overwrite(untouched, 0, 0, bytes)
    t.equal(
      codeOf(() => adopt(untouched, history)),
      code,
      what,
    )
    t.same(readManifest(untouched, DIRECTORY), replica, `${what}: nothing is changed`)
    t.notOk(untouched.exists(`${DIRECTORY}/divergent`))
  }
  t.end()
})
