/** verifyLog: finds what is wrong with its file and position, and nothing where nothing is. */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { verifyLog } from '../../tools/verify-log.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { NO_PRODUCERS } from '../../wal/producer-table.ts'
import { writeRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import {
  ForgedLog,
  type ForgeOptions,
  fingerprint,
  flipByte,
  foreignTerm,
  mastership,
  SEGMENT_BYTES,
  segmentFile,
  writeBytes,
} from './forged-log.ts'
import { runningPair, stoppedPair, writeRounds } from './written-pair.ts'

const disk = new NodeDisk()
const verify = (directory: string) => verifyLog({ directory, disk })
const forge = (t: Teardown, options?: ForgeOptions): ForgedLog =>
  new ForgedLog(join(temporaryDirectory(t), 'a'), options)

const { masterDirectory, replicaDirectory, written } = await stoppedPair(t, 60, 1000)

t.test('a pair that has written: no fault, every frame counted, on both sides', async (t) => {
  for (const directory of [masterDirectory, replicaDirectory]) {
    const before = fingerprint(directory)
    const report = await verify(directory)
    t.same(report.findings, [])
    t.equal(report.findingCount, 0)
    t.equal(report.epochs, 1 + new Set(written.map(({ epoch }) => epoch)).size, 'and the one of the CONFIG')
    t.same(
      report.channels.map(({ sessions, entries, tail, recoveryPoint }) => ({ sessions, entries, tail, recoveryPoint })),
      [
        { sessions: 60, entries: 120, tail: 'clean', recoveryPoint: 'used' },
        { sessions: 60, entries: 120, tail: 'clean', recoveryPoint: 'used' },
      ],
    )
    t.ok(report.channels.every(({ end, bytes, wholeEnd }) => bytes === end && wholeEnd === end))
    t.same(fingerprint(directory), before, 'nothing was written')
  }
})

t.test('one flipped bit, anywhere in a frame of a stopped log, is found with file and position', async (t) => {
  for (const [directory, position] of [
    [masterDirectory, 70_000],
    [replicaDirectory, 70_000],
    [masterDirectory, 5],
  ] as const) {
    const copy = join(temporaryDirectory(t), 'copy')
    cpSync(directory, copy, { recursive: true })
    flipByte(copy, 1, position)
    const report = await verify(copy)
    t.equal(report.findingCount, 1)
    const [found] = report.findings
    const at = found?.where.offset ?? -1
    t.ok(at <= position && position < at + 3000, 'the frame in which the byte lies')
    t.match(found, { code: 'LOG_DAMAGED', where: { channel: 1, file: segmentFile(copy, 1, at) } })
    t.ok(report.channels[1]?.sessions === 59 || report.channels[1]?.seals === 59, 'what stands behind is still read')
    t.equal(report.channels[0]?.sessions, 60)
  }
})

t.test('a whole sector of zeros in the middle', async (t) => {
  const log = forge(t)
  for (let epoch = 1n; epoch <= 20n; epoch++) {
    log.session(epoch)
    log.seal(epoch)
  }
  writeBytes(log.directory, 0, 512, Buffer.alloc(512))
  const report = await verify(log.directory)
  t.match(report.findings, [{ code: 'LOG_DAMAGED', where: { channel: 0, file: segmentFile(log.directory, 0, 0) } }])
  t.ok((report.findings[0]?.where.offset ?? 0) <= 512)
  t.ok(report.whole < 5n)
})

t.test('behind a gap only frames are judged, not what they have to do with what is lost', async (t) => {
  const log = forge(t)
  const lost = log.session(1n)
  log.session(1n, { firstMinor: 1n })
  log.seal(1n)
  log.session(2n)
  log.seal(2n)
  flipByte(log.directory, 0, lost + 80)
  const { findings, channels } = await verify(log.directory)
  t.match(findings, [{ code: 'LOG_DAMAGED', where: { offset: lost } }])
  t.equal(findings.length, 1)
  t.match(channels, [{ sessions: 2, seals: 2 }])
})

t.test('a torn tail, or a partial epoch at the end, is what crashes leave: no fault', async (t) => {
  const log = forge(t, { channels: 3 })
  log.session(1n)
  log.seal(1n)
  const whole = log.end()
  log.session(2n)
  log.seal(2n, { participants: 3n }) // channel 1 has not come to seal it
  log.session(4n, { channel: 2 }) // epoch 3 was on channel 0, and is gone
  log.seal(4n, { channel: 2 })
  const torn = log.session(3n)
  flipByte(log.directory, 0, torn + 90)
  const report = await verify(log.directory)
  t.same(report.findings, [])
  t.equal(report.whole, 1n)
  t.match(report.channels, [
    { end: torn, wholeEnd: whole, tail: 'torn-tail' },
    { end: 0, wholeEnd: 0, tail: 'clean' },
    { end: log.end(2), wholeEnd: 0, tail: 'clean' },
  ])
})

t.test(
  'what this node has sealed as STORED must be whole; what another master has is not for it to prove',
  async (t) => {
    const history = (): ForgeOptions['history'] => (own) => [mastership(own, [0, 0])]
    const own = forge(t, { channels: 2, history: history()! })
    const foreign = forge(t, { channels: 2, role: 'replica', history: () => [mastership(foreignTerm(1n), [0, 0])] })
    for (const log of [own, foreign]) {
      log.seal(1n, { participants: 3n })
      log.seal(1n, { participants: 3n, channel: 1 })
      log.seal(2n, { participants: 3n })
      log.seal(3n, { stored: 2n }) // channel 1 has lost the seal of epoch 2
    }
    const { findings, whole } = await verify(own.directory)
    t.equal(whole, 1n)
    t.match(findings, [{ code: 'LOG_INCOMPLETE', message: /found epoch 1 as the last whole one, expected at least 2/ }])
    t.same((await verify(foreign.directory)).findings, [])
  },
)

t.test('recovery points are compared with the log: damaged, lying, pointing nowhere, outdated', async (t) => {
  const log = forge(t)
  log.session(1n)
  const sealPosition = log.seal(1n)
  const position = log.end()
  log.session(2n)
  log.seal(2n)
  const folder = channelDirectory(log.directory, 0)
  const good = {
    channel: 0,
    position,
    epoch: 1n,
    stored: 1n,
    term: 1n,
    termTag: 77,
    sealPosition,
    producers: NO_PRODUCERS,
  }
  const found = async (point: object): Promise<readonly unknown[]> => {
    writeRecoveryPoint(disk, folder, { ...good, ...point })
    const report = await verify(log.directory)
    return [report.channels[0]?.recoveryPoint, ...report.findings.map(({ code, message }) => `${code} ${message}`)]
  }
  t.same(await found({}), ['used'])
  t.match(await found({ epoch: 2n }), ['used', /LOG_DAMAGED.*recovery point says: epoch 2/])
  t.match(await found({ position: position + 1 }), ['used', /LOG_DAMAGED/])
  t.match(await found({ stored: 3n }), ['used', /LOG_INCOMPLETE.*expected at least 3, which its recovery point/])
  t.match(await found({ sealPosition: sealPosition + 1 }), ['used', /LOG_DAMAGED.*found no seal there/])
  t.match(await found({ sealPosition: 9000, position: 9100 }), ['used', /LOG_DAMAGED/])
  t.same(await found({ term: 9n }), ['outdated'])
  await found({})
  const file = join(folder, 'recovery.point')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"epoch"', '"epocx"'))
  const report = await verify(log.directory)
  t.match(report.findings, [{ code: 'LOG_DAMAGED', where: { file } }])
  t.equal(report.whole, 2n)
})

t.test('segments: missing in the middle, missing at the begin, cut short, all gone', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t), 1)
  await writeRounds(pair, 40, 3000)
  await pair.stop()
  const attempt = async (spoil: (folder: string, file: (n: number) => string) => void): Promise<readonly unknown[]> => {
    const copy = join(temporaryDirectory(t), 'copy')
    cpSync(pair.masterDirectory, copy, { recursive: true })
    spoil(channelDirectory(copy, 0), (n) => segmentFile(copy, 0, n * SEGMENT_BYTES))
    return (await verify(copy)).findings
  }
  t.ok(existsSync(segmentFile(pair.masterDirectory, 0, 3 * SEGMENT_BYTES)), 'the log has more than three segments')
  t.match(await attempt((_, file) => rmSync(file(1))), [{ code: 'LOG_DAMAGED', where: { file: /0{16}\.wal$/ } }])
  t.match(await attempt((_, file) => rmSync(file(0))), [
    { code: 'LOG_DAMAGED', message: /oldest byte at position 65536/ },
  ])
  t.match(await attempt((_, file) => truncateSync(file(1), 1000)), [
    { code: 'LOG_DAMAGED', where: { file: /10000\.wal$/ } },
  ])
  t.ok((await attempt((folder) => renameSync(folder, `${folder}-away`))).length > 0)
})

t.test('what was cut off and kept is checked as well', async (t) => {
  const log = forge(t)
  log.session(1n)
  log.seal(1n)
  const bytes = readFileSync(segmentFile(log.directory, 0, 0)).subarray(0, log.end())
  const folder = join(log.directory, 'divergent')
  disk.makeDirectory(folder)
  const file = join(folder, 'before-2-00-0000000000000000.wal')
  writeFileSync(file, bytes)
  writeFileSync(join(folder, 'notes.txt'), 'nobody minds')
  const good = await verify(log.directory)
  t.same([good.findings, good.divergentFiles], [[], 1])
  writeFileSync(file, bytes.subarray(0, -1))
  t.match((await verify(log.directory)).findings, [{ code: 'LOG_DAMAGED', message: /no whole frame/, where: { file } }])
  writeFileSync(file, bytes)
  const elsewhere = file.replace('0000.wal', '0010.wal')
  renameSync(file, elsewhere)
  t.match((await verify(log.directory)).findings, [
    { code: 'LOG_DAMAGED', message: /frame of position 0/, where: { file: elsewhere, offset: 16 } },
  ])
  renameSync(elsewhere, file)
  const spoiled = Buffer.from(bytes)
  spoiled[150] = 1
  writeFileSync(file, spoiled)
  t.match((await verify(log.directory)).findings, [{ code: 'LOG_DAMAGED', where: { file } }])
})

t.test('a frame of a newer program is told apart from damage', async (t) => {
  const log = forge(t)
  log.session(1n)
  const position = log.append(0, { kind: 4, epoch: 1n }, Buffer.alloc(4))
  t.match((await verify(log.directory)).findings, [{ code: 'FRAME_KIND_UNKNOWN', where: { offset: position } }])
})
