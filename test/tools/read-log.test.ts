/** readLog: committed frames and entries of a directory, stopped or live, and nothing that may still be cut. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { FLAG_EXPLICIT_VERSIONS } from '../../protocol/frame.ts'
import { type LogEntry, readLog } from '../../tools/read-log.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { bodyOf, ForgedLog, fingerprint, flipByte, put, segmentFile, writeBytes } from './forged-log.ts'
import { runningPair, stoppedPair } from './written-pair.ts'

const keyOf = ({ entry }: LogEntry): string => ('key' in entry ? Buffer.from(entry.key).toString() : '')

const { masterDirectory, replicaDirectory, written } = await stoppedPair(t, 40, 2000)

t.test('gives every committed entry once, by epoch, with its write version, on master and replica alike', async (t) => {
  for (const directory of [masterDirectory, replicaDirectory]) {
    const log = readLog({ directory })
    const found = [...log.entries()].map((e) => ({
      key: keyOf(e),
      epoch: e.epoch,
      channel: e.channel,
      version: e.entry.version,
    }))
    const expected = written.flatMap(({ keys, epoch, channel }) =>
      keys.map((key, i) => ({
        key,
        epoch,
        channel,
        version: { major: epoch, minor: (BigInt(channel) << 56n) + BigInt(i) },
      })),
    )
    const order = (a: { epoch: bigint; channel: number }, b: typeof a): number =>
      Number(a.epoch - b.epoch) || a.channel - b.channel
    t.same(found, expected.sort(order))
    t.equal(
      log.whole,
      written.reduce((max, { epoch }) => (epoch > max ? epoch : max), 0n),
    )
    t.equal(log.missing, undefined)
  }
})

t.test('gives frames without gaps from position 0 to the cut, and only those that were asked for', async (t) => {
  const log = readLog({ directory: masterDirectory })
  const ends = [0, 0]
  for (const { channel, position, end } of log.frames()) {
    t.equal(position, ends[channel])
    ends[channel] = end
  }
  t.same(ends, log.cuts)
  t.ok([...log.frames({ channel: 1 })].every(({ channel }) => channel === 1))
  const later = [...log.entries({ fromEpoch: 4n })].map(({ epoch }) => epoch)
  t.same(
    [...new Set(later)].sort(),
    [...new Set([...log.entries()].map(({ epoch }) => epoch))].filter((e) => e >= 4n).sort(),
  )
})

t.test('keeps explicit write versions', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'))
  const version = { major: 1n, minor: 0xffff_ffff_ffff_ffffn }
  log.sessionBody(bodyOf([{ ...put('a'), version }]), { epoch: 1n, entryCount: 1, flags: FLAG_EXPLICIT_VERSIONS })
  log.seal(1n)
  t.same(
    [...readLog({ directory: log.directory }).entries()].map(({ entry }) => entry.version),
    [version],
  )
})

t.test('does not give what lies beyond the last whole epoch', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'), { channels: 2 })
  log.session(1n)
  log.seal(1n)
  const cut = log.end()
  log.session(2n)
  log.seal(2n, { participants: 3n }) // channel 1 has no seal of it
  const read = readLog({ directory: log.directory })
  t.equal(read.whole, 1n)
  t.same(read.missing, { epoch: 2n, channels: [1] })
  t.same(read.cuts, [cut, 0])
  t.equal(read.scans[0]?.end, log.end())
  t.same([...read.entries()].map(keyOf), ['key-1'])
})

t.test('refuses damage: found by the scan, or below the place where the scan began', async (t) => {
  const directory = join(temporaryDirectory(t), 'copy')
  cpSync(masterDirectory, directory, { recursive: true })
  const good = readLog({ directory })
  t.ok((good.scans[0]?.from ?? 0) > 1000, 'the scan begins at a recovery point')
  const frames = [...good.frames({ channel: 0 })]
  const early = frames[4]?.position ?? 0
  flipByte(directory, 0, early + 100)
  const scanned = readLog({ directory })
  const place = { file: segmentFile(directory, 0, early), channel: 0, offset: early }
  t.match(
    thrownBy(() => [...scanned.entries()]),
    { code: 'LOG_DAMAGED', where: place },
  )
  t.match(
    thrownBy(() => readLog({ directory, ignoreRecoveryPoint: true })),
    { code: 'LOG_DAMAGED', where: place },
  )
  t.equal([...scanned.entries({ channel: 1 })].length, 80, 'the other channel can be read')
})

t.test('a body that does not parse is an error, though its CRC is right', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'))
  log.sessionBody(Buffer.alloc(10, 3), { epoch: 1n, entryCount: 1 })
  log.seal(1n)
  t.match(
    thrownBy(() => [...readLog({ directory: log.directory }).entries()]),
    { code: 'ENTRY_MALFORMED' },
  )
})

t.test('a live directory can be read at any time, and holds everything that was answered before', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t))
  let goesOn = true
  const answered: string[] = []
  const writers = pair.channels.map(async (channel) => {
    for (let i = 0; goesOn; i++) {
      const key = `${channel.id}-${i}`
      await channel.write([{ op: 'put', storage: 1n, key, value: Buffer.alloc(500, 'v') }], { level: 'propagated' })
      answered.push(key)
    }
  })
  let reads = 0
  while (reads < 20 || answered.length < 200) {
    const before = [...answered]
    for (const directory of [pair.masterDirectory, pair.replicaDirectory]) {
      const found = new Set([...readLog({ directory }).entries()].map(keyOf))
      const lost = before.filter((key) => !found.has(key))
      if (lost.length > 0) t.same(lost, [], directory)
    }
    reads++
    await new Promise((resolve) => setImmediate(resolve))
  }
  goesOn = false
  await Promise.all(writers)
  t.ok(reads >= 20)
})

t.test('writes nothing and takes no lock', async (t) => {
  const before = fingerprint(masterDirectory)
  t.equal([...readLog({ directory: masterDirectory }).entries()].length, 160)
  t.same(fingerprint(masterDirectory), before)
})

t.test('a tail that is half there is no damage; what is torn is not given', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'))
  log.session(1n)
  log.seal(1n)
  const cut = log.end()
  const torn = log.session(2n)
  flipByte(log.directory, 0, torn + 80)
  const read = readLog({ directory: log.directory })
  t.match(read.scans[0], { end: cut, tail: 'torn-tail' })
  t.equal([...read.entries()].length, 1)
})

t.test('a hole that reads as zeros, with proven bytes behind it, is damage and no end', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'))
  log.session(1n)
  log.seal(1n)
  const hole = log.end()
  log.session(2n)
  log.seal(2n)
  log.session(3n)
  const durable = log.end()
  log.seal(3n, { durablePosition: durable, stored: 2n })
  writeBytes(log.directory, 0, hole, Buffer.alloc(200))
  t.match(
    thrownBy(() => readLog({ directory: log.directory })),
    { code: 'LOG_DAMAGED', where: { offset: hole } },
  )
})

function thrownBy(act: () => unknown): TravertineError | undefined {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof TravertineError) return thrown
    throw thrown
  }
  return undefined
}
