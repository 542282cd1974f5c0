/** Small records, manifest and recovery points against docs/WAL_FORMAT.md chapter 6, on damaged and newer bytes. */
import t from 'tap'
import { termNumber } from '../../protocol/ids.ts'
import { replaceFile } from '../../wal/disk.ts'
import { decodeManifest, encodeManifest, type Manifest, readManifest, writeManifest } from '../../wal/manifest.ts'
import { NO_PRODUCERS, type ProducerRow, type ProducerTableState } from '../../wal/producer-table.ts'
import { type RecoveryPoint, readRecoveryPoint, writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { encodeSmallRecord } from '../../wal/small-record.ts'
import { checkMasterTerm } from '../../wal/term-history.ts'
import { codeOf, flips, prefixes, valueOrCode } from '../protocol/damage.ts'
import { naiveCrc32 } from '../protocol/naive-crc32.ts'
import {
  DIRECTORY,
  emptyLog,
  frames,
  manifestOf,
  mark,
  mastership,
  OTHER,
  OWN,
  overwrite,
  recover,
  seal,
  session,
} from './hand-made-log.ts'

const MEMBER = { row: 1, address: '10.0.0.2:7400', inSync: true, via: 0 }
const CHILD = { row: 3, address: '10.0.0.3:7400', inSync: false, via: 1 }

const full: Manifest = {
  ...manifestOf(2, [mastership(1, [0, 0]), mastership(3, [4096, 2 ** 53 - 1], (1n << 64n) - 2n, OTHER)]),
  config: { number: 5, loosened: 2, formatLevel: 1, quorum: 1, members: [MEMBER, CHILD] },
  fence: { number: termNumber((1n << 64n) - 1n), nodeId: OTHER, tag: 2 ** 32 - 1 },
}

/** A record whose CRC is right, whatever stands in it. */
function record(head: string, json: string): Buffer {
  return Buffer.from(`${head} ${naiveCrc32(Buffer.from(json)).toString(16).padStart(8, '0')}\n${json}\n`)
}

t.test('WAL-60 WAL-63: two lines, the CRC of the second in the first', (t) => {
  const text = encodeManifest(full).toString()
  const [first, second, rest] = text.split('\n')
  t.equal(first, `travertine manifest 1 ${naiveCrc32(Buffer.from(second!)).toString(16).padStart(8, '0')}`)
  t.equal(rest, '')
  t.same(decodeManifest(Buffer.from(text), 'x'), full)
  t.same(decodeManifest(encodeManifest(manifestOf(64, [])), 'x').fence, undefined)
  t.end()
})

t.test('WAL-61: a newer version is its own error, everything else is damage', (t) => {
  const bytes = encodeManifest(full)
  t.equal(
    codeOf(() => decodeManifest(record('travertine manifest 2', '{"anything":true}'), 'x')),
    'FORMAT_UNSUPPORTED',
  )
  t.equal(
    codeOf(() => decodeManifest(Buffer.from('travertine manifest 999999999 00000000\n'), 'x')),
    'FORMAT_UNSUPPORTED',
    'before anything else is read',
  )
  for (const prefix of prefixes(bytes)) {
    if (codeOf(() => decodeManifest(prefix, 'x')) !== 'MANIFEST_CORRUPT') t.fail(`cut at ${prefix.length}`)
  }
  for (const { bytes: flipped, bit } of flips(bytes)) {
    const result = valueOrCode(() => decodeManifest(flipped, 'x'))
    const expected =
      bit >> 3 === 'travertine manifest '.length ? ['MANIFEST_CORRUPT', 'FORMAT_UNSUPPORTED'] : ['MANIFEST_CORRUPT']
    if (!('code' in result) || !expected.includes(result.code)) t.fail(`bit ${bit}`)
  }
  t.equal(
    codeOf(() => decodeManifest(record('travertine recovery-point 1', '{}'), 'x')),
    'MANIFEST_CORRUPT',
    'another kind',
  )
  t.end()
})

t.test('WAL-63: a field that is missing or wrong is named, though the CRC is right', (t) => {
  const good = JSON.parse(encodeManifest(full).toString().split('\n')[1]!) as Record<string, unknown> // an object, by WAL-60
  const wrong: Record<string, unknown[]> = {
    clusterId: ['', 'x', 1],
    nodeId: [full.nodeId.toUpperCase()],
    role: ['', 'king'],
    channels: [0, 65, 1.5, '2'],
    segmentBytes: [65_535, 2 ** 30 + 1],
    config: [
      {},
      { quorum: -1 },
      { quorum: 16 },
      { number: 1.5 },
      { loosened: '1' },
      { formatLevel: 0 },
      { members: {} },
      { members: [1] },
      { members: [{ ...MEMBER, row: 0 }] },
      { members: [{ ...MEMBER, row: 16 }] },
      { members: [{ ...MEMBER, inSync: 1 }] },
      { members: [{ ...MEMBER, address: 'nowhere' }] },
      { members: [CHILD] },
      { members: [CHILD, MEMBER] },
    ].map((fields, i) => (i === 0 ? fields : { ...full.config, ...fields })),
    history: [
      {},
      [{}],
      [{ term: { number: '1', nodeId: OTHER, tag: 0 }, firstEpoch: '1', baseEpoch: '0', starts: [0, 0] }],
    ],
    fence: [1, { number: 1, nodeId: OTHER, tag: 1 }, { number: '18446744073709551616', nodeId: OTHER, tag: 1 }],
  }
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of field === 'fence' ? values : [undefined, null, ...values]) {
      const bytes = record('travertine manifest 1', JSON.stringify({ ...good, [field]: value }))
      t.equal(
        codeOf(() => decodeManifest(bytes, 'x')),
        'MANIFEST_CORRUPT',
        `${field} ${JSON.stringify(value)}`,
      )
    }
  }
  t.same(
    decodeManifest(record('travertine manifest 1', JSON.stringify({ ...good, later: 1 })), 'x'),
    full,
    'others are ignored',
  )
  const disk = emptyLog(manifestOf(1, []))
  disk.unlink(`${DIRECTORY}/manifest`)
  t.equal(
    codeOf(() => readManifest(disk, DIRECTORY)),
    'DIRECTORY_NOT_INITIALISED',
  )
  t.end()
})

t.test('WAL-62: side file, flush, name, flush of the directory', (t) => {
  const disk = emptyLog(manifestOf(1, []))
  const steps: string[] = []
  disk.onStep = ({ kind, path }) => steps.push(`${kind} ${path}`)
  writeManifest(disk, DIRECTORY, full)
  disk.onStep = undefined
  const side = `${DIRECTORY}/manifest.new`
  t.same(steps, [
    `create ${side}`,
    `write ${side}`,
    `syncData ${side}`,
    `close ${side}`,
    `rename ${side}`,
    `syncDirectory ${DIRECTORY}`,
  ])
  disk.create(side).close()
  replaceFile(disk, DIRECTORY, 'manifest', encodeManifest(full))
  t.same(readManifest(disk.crash('none'), DIRECTORY), full, 'a left-over side file means nothing')
  t.end()
})

t.test('WAL-64: terms below the fence or the history, and other terms of the same number, are refused', (t) => {
  const term = (number: bigint, tag = 7, node = OWN) => ({ number: termNumber(number), nodeId: node, tag })
  const known = { history: [mastership(1, [0]), mastership(3, [0])], fence: term(5n) }
  const judge = (offered: ReturnType<typeof term> | undefined): string => codeOf(() => checkMasterTerm(known, offered))
  t.equal(judge(term(6n)), 'none')
  t.equal(judge(term(5n)), 'none', 'the one that was promised')
  t.equal(judge(term(5n, 8)), 'TERM_CONFLICT')
  t.equal(judge(term(5n, 7, OTHER)), 'TERM_CONFLICT')
  t.equal(judge(term(4n)), 'TERM_STALE', 'below the fence')
  t.equal(judge(term(3n, 21)), 'TERM_STALE', 'though it is in the history')
  t.equal(judge(undefined), 'HISTORY_DIVERGED')
  t.equal(
    codeOf(() => checkMasterTerm({ ...known, fence: undefined }, term(2n))),
    'TERM_STALE',
    'below the history',
  )
  t.equal(
    codeOf(() => checkMasterTerm({ history: [], fence: undefined }, term(1n))),
    'none',
  )
  t.end()
})

const ROW: ProducerRow = ['18446744073709551615', 9, '2', '1', 3, [4, 4, 6, 8]]
const CELLS: readonly unknown[] = ROW
const TABLE: ProducerTableState = { evictedEpoch: '1', producers: [ROW] }
const WRONG_ROWS: readonly unknown[] = [
  null,
  ROW.slice(0, 5),
  CELLS.with(0, '18446744073709551616'),
  CELLS.with(0, 5),
  CELLS.with(1, 0),
  CELLS.with(1, '9'),
  CELLS.with(2, 2),
  CELLS.with(3, 'x'),
  CELLS.with(4, 1.5),
  CELLS.with(5, [4]),
  CELLS.with(5, [[4, 4]]),
]

t.test('WAL-65 WAL-66: a recovery point is a hint', (t) => {
  const by = mastership(1, [0])
  const manifest = manifestOf(1, [by])
  const { bytes, ends } = frames([session(1n), seal(1n), session(2n), seal(2n), session(3n)], by)
  const disk = emptyLog(manifest)
  overwrite(disk, 0, 0, bytes)
  const directory = channelDirectory(DIRECTORY, 0)
  const point: RecoveryPoint = {
    channel: 0,
    position: ends[3]!,
    epoch: 2n,
    stored: 2n,
    term: by.term.number,
    termTag: by.term.tag,
    sealPosition: ends[2]!,
    config: { position: 0, config: full.config },
    producers: TABLE,
  }
  const read = (): RecoveryPoint | undefined => readRecoveryPoint(disk, directory, 0, manifest.history)
  t.equal(read(), undefined, 'none')
  const without = recover(disk, manifest)
  t.match(without, { from: 0, end: ends[4], anchor: 0n })
  writeRecoveryPoint(disk, directory, point)
  t.same(read(), point)
  t.match(recover(disk, manifest), {
    from: ends[3],
    end: without.end,
    tail: without.tail,
    anchor: 2n,
    heldThrough: 2n,
    highestEpoch: 3n,
  })

  for (const unfit of [{ channel: 1 }, { term: 2n }, { termTag: 8 }]) {
    writeRecoveryPoint(disk, directory, { ...point, ...unfit })
    t.equal(read(), undefined, `not with ${Object.keys(unfit)}`)
  }
  const cut = [by, mastership(2, [ends[1]!], 1n)]
  writeRecoveryPoint(disk, directory, point)
  t.equal(readRecoveryPoint(disk, directory, 0, cut), undefined, 'behind a cut')
  const good = encodeSmallRecord('recovery-point', 1, point)
  const put = (content: Buffer): void => replaceFile(disk, directory, 'recovery.point', content)
  for (const prefix of prefixes(good)) {
    put(prefix)
    if (read() !== undefined) t.fail(`cut at ${prefix.length}`)
  }
  for (const { bytes: flipped, bit } of flips(good)) {
    put(flipped)
    if (read() !== undefined) t.fail(`bit ${bit}`)
  }
  for (const wrong of [
    {},
    { ...point, epoch: 'x' },
    { ...point, position: -1 },
    { ...point, position: 'x' },
    { ...point, stored: null },
    { ...point, producers: undefined },
    { ...point, producers: { ...TABLE, evictedEpoch: '-1' } },
    { ...point, producers: { ...TABLE, producers: {} } },
    ...WRONG_ROWS.map((row) => ({ ...point, producers: { ...TABLE, producers: [row] } })),
  ]) {
    put(encodeSmallRecord('recovery-point', 1, wrong))
    t.equal(
      valueOrCode(read) !== undefined && read(),
      undefined,
      `a broken program's ${JSON.stringify(Object.values(wrong).map(String))}`,
    )
  }
  t.same(recover(disk, manifest), without, 'then the scan is longer, and ends the same')
  t.end()
})

t.test('WAL-43 WAL-65: everything below a recovery point was durable', (t) => {
  const by = mastership(1, [0])
  const manifest = manifestOf(1, [by])
  const disk = emptyLog(manifest)
  const { bytes, ends } = frames([session(1n), seal(1n), session(2n), seal(2n), mark(0)], by)
  overwrite(disk, 0, 0, bytes)
  const point = {
    channel: 0,
    position: ends[1]!,
    epoch: 1n,
    stored: 1n,
    term: by.term.number,
    termTag: by.term.tag,
    sealPosition: ends[0]!,
    producers: NO_PRODUCERS,
  }
  writeRecoveryPoint(disk, channelDirectory(DIRECTORY, 0), point)
  t.equal(recover(disk, manifest).provenPosition, ends[1])
  t.end()
})
