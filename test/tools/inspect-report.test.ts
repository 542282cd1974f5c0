/** What inspect finds out about a directory, and how frames and entries are shown. */
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { startNode } from '../../daemon/node.ts'
import type { LoggedEntry } from '../../protocol/entry.ts'
import { entryFields, entryLine } from '../../tools/frame-text.ts'
import { type ListOptions, listFrames } from '../../tools/inspect-frames.ts'
import { producerLines } from '../../tools/inspect-producers.ts'
import { inspectDirectory } from '../../tools/inspect-report.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { ForgedLog, fingerprint, flipByte, put, segmentFile } from './forged-log.ts'
import { runningPair, untilRecoveryPoints, writeRounds } from './written-pair.ts'

const disk = new NodeDisk()
const inspect = (directory: string) => inspectDirectory(disk, directory)

async function list(
  directory: string,
  options: Partial<ListOptions>,
): Promise<{ lines: string[]; isCut: boolean; codes: string[] }> {
  const lines: string[] = []
  const result = await listFrames({
    disk,
    report: inspect(directory),
    channel: undefined,
    frames: false,
    entries: false,
    fromEpoch: 0n,
    limit: 1_000_000,
    json: false,
    print: (line) =>
      lines.push(
        typeof line === 'string' ? line : JSON.stringify(line, (_, v) => (typeof v === 'bigint' ? Number(v) : v)),
      ),
    room: async () => undefined,
    ...options,
  })
  return { lines, isCut: result.isCut, codes: result.errors.map(({ code }) => code) }
}

t.test(
  'a directory that has run: files, positions, seals, whole epochs, recovery point; nothing is written',
  async (t) => {
    const pair = await runningPair(t, temporaryDirectory(t))
    const written = await writeRounds(pair, 50, 1000)
    const directories = [pair.masterDirectory, pair.replicaDirectory]
    await untilRecoveryPoints(pair)
    await pair.stop()
    const last = written.reduce((max, { epoch }) => (epoch > max ? epoch : max), 0n)
    for (const directory of directories) {
      const before = fingerprint(directory)
      const report = inspect(directory)
      t.same(fingerprint(directory), before)
      t.equal(report.whole, last)
      t.equal(report.missing, undefined)
      for (const channel of report.channels) {
        const folder = join(directory, 'channels', `0${channel.channel}`)
        t.same(
          channel.segments.map(({ file }) => file),
          readdirSync(folder)
            .filter((name) => name.endsWith('.wal'))
            .map((name) => join(folder, name)),
        )
        t.match(channel, { firstPosition: 0, tail: 'clean', error: undefined, beyond: { bytes: 0, frames: 0 } })
        t.equal(channel.wholeEnd, channel.end)
        t.equal(channel.scannedFrom, channel.recoveryPoint?.position)
        t.ok((channel.scannedFrom ?? 0) > 0 && (channel.sealCount ?? 0) > 0)
      }
      t.match(report.manifest, { role: directory === pair.masterDirectory ? 'master' : 'replica', channels: 2 })
    }
  },
)

t.test('what lies beyond the last whole epoch is counted, and marked in the listing', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'), { channels: 2 })
  log.session(1n)
  log.seal(1n)
  const cut = log.end()
  log.session(2n, { entries: [put('x'), put('y')] })
  log.seal(2n, { participants: 3n })
  const { whole, missing, channels } = inspect(log.directory)
  t.equal(whole, 1n)
  t.same(missing, { epoch: 2n, channels: [1] })
  t.match(channels[0], {
    wholeEnd: cut,
    end: log.end(),
    beyond: { bytes: log.end() - cut, frames: 2, sessions: 1, entries: 2, seals: 1 },
  })
  const { lines } = await list(log.directory, { frames: true, entries: true })
  t.same(
    lines.map((line) => line.endsWith('[beyond the last whole epoch]')),
    [false, false, false, true, true, true, true],
  )
})

t.test('WAL-67: producers, with their last and missing sessions, up to the last whole epoch', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'))
  log.session(1n, { producerId: 7n, producerSequence: 3 })
  log.session(1n, { producerId: 2n ** 64n - 1n, producerSequence: 1, firstMinor: 1n })
  log.seal(1n)
  log.session(2n, { producerId: 7n, producerSequence: 5 })
  log.seal(2n)
  log.session(3n, { producerId: 7n, producerSequence: 6 })
  const { producers } = inspect(log.directory).channels[0]!
  t.same(producers, {
    evictedEpoch: 0n,
    newest: [
      {
        id: '7',
        last: 5,
        epoch: 2n,
        term: 1n,
        judgedFrom: 1,
        missing: [
          [1, 2],
          [4, 4],
        ],
      },
      { id: '18446744073709551615', last: 1, epoch: 1n, term: 1n, judgedFrom: 1, missing: [] },
    ],
  })
  t.same(producerLines(producers!), [
    '2',
    '7: last session 5 in epoch 2 of term 1; missing 1 to 2, 4',
    '18446744073709551615: last session 1 in epoch 1 of term 1',
  ])
  const row = { id: '9', last: 40, epoch: 12n, term: 2n, judgedFrom: 38, missing: [] }
  const many = producerLines({ evictedEpoch: 4n, newest: Array.from({ length: 12 }, () => row) })
  t.equal(many[0], '12; others, up to epoch 4, may be forgotten')
  t.equal(many[1], '9: last session 40 in epoch 12 of term 2; nothing is known below session 38')
  t.equal(many.at(-1), '... and 2 older ones, see --json')
})

t.test('a damaged channel is told with file and position, and hides no other', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t))
  await writeRounds(pair, 10, 400)
  await pair.stop()
  for (const directory of [pair.masterDirectory, pair.replicaDirectory]) {
    const { lines: good } = await list(directory, { entries: true, channel: 1 })
    flipByte(directory, 0, 3000)
    const { channels } = inspect(directory)
    const at = channels[0]?.error?.where.offset ?? -1
    t.match(channels[0]?.error, { code: 'LOG_DAMAGED', where: { file: segmentFile(directory, 0, 0), channel: 0 } })
    t.ok(at <= 3000 && at > 1000, `${at}`)
    t.equal(channels[1]?.error, undefined)
    t.ok((channels[1]?.end ?? 0) > 0)
    const { lines, codes } = await list(directory, { entries: true })
    t.equal(lines.length, 38, 'all entries but those of the damaged session')
    // on the replica, which cannot know what it has lost, they are now beyond the last whole epoch
    const others = lines.filter((line) => line.startsWith('channel 1 ')).map((line) => line.replace(/ {2}\[.*\]$/, ''))
    t.same(others, good)
    t.same(codes, ['LOG_DAMAGED'])
  }
})

t.test('a channel whose folder is gone', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'), { channels: 2 })
  log.session(1n)
  log.seal(1n)
  rmSync(join(log.directory, 'channels', '01'), { recursive: true })
  const { channels, whole } = inspect(log.directory)
  t.equal(whole, undefined)
  t.match(channels, [
    { end: log.end(), error: undefined },
    { segments: [], end: undefined, error: { code: 'DIRECTORY_MISSING' } },
  ])
})

t.test('the surplus of a replica that was ahead is found in divergent/, with its frames', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t), 1)
  await writeRounds(pair, 2)
  const early = join(temporaryDirectory(t), 'early')
  cpSync(pair.masterDirectory, early, { recursive: true })
  await writeRounds(pair, 2)
  await pair.stop()
  // the master comes back as it was before the last two rounds, which the replica holds
  const replica = await startNode({
    directory: pair.replicaDirectory,
    port: Number(/:(\d+)$/.exec(inspect(early).manifest.config.members[0]?.address ?? '')?.[1]),
  })
  const master = await startNode({ directory: early, port: 0 })
  const client = await connect({ address: `127.0.0.1:${master.port}` })
  await client.write([{ op: 'put', storage: 1n, key: 'new', value: Buffer.alloc(1) }], { level: 'propagated' })
  await client.close()
  await master.close()
  await replica.close()
  const { divergent, channels } = inspect(pair.replicaDirectory)
  t.match(divergent, [{ channel: 0, before: 2n, file: /divergent\/before-2-00-/ }])
  t.equal(divergent.length, 1)
  t.equal(channels[0]?.error, undefined)
  const { lines, codes } = await list(pair.replicaDirectory, { entries: true })
  t.same(codes, [])
  const cutAt = lines.findIndex((line) => line.startsWith('cut off by term 2'))
  const keys = (some: readonly string[]): string[] => some.flatMap((line) => /key "([^"]+)"/.exec(line)?.[1] ?? [])
  t.same(keys(lines.slice(0, cutAt)), ['c0-r0-a', 'c0-r0-b', 'c0-r1-a', 'c0-r1-b', 'new'])
  t.same(keys(lines.slice(cutAt)), ['c0-r0-a', 'c0-r0-b', 'c0-r1-a', 'c0-r1-b'])
  const later = await list(pair.replicaDirectory, { entries: true, json: true, fromEpoch: 3n })
  t.match(JSON.parse(later.lines.at(-1) ?? ''), { entry: { key: 'c0-r1-b', divergent: divergent[0]?.file } })
})

t.test('limit, first epoch, one channel', async (t) => {
  const log = new ForgedLog(join(temporaryDirectory(t), 'a'), { channels: 2 })
  for (let epoch = 1n; epoch <= 4n; epoch++) {
    log.session(epoch, { channel: Number(epoch % 2n) })
    log.seal(epoch, { channel: Number(epoch % 2n) })
    log.mark({ channel: Number(epoch % 2n) })
  }
  const kinds = async (options: Partial<ListOptions>): Promise<string[]> =>
    (await list(log.directory, { frames: true, ...options })).lines.map(
      (line) => /channel (\d) .*epoch (\d) .*(ENTRIES|SEAL|MARK)/.exec(line)?.slice(1).join(' ') ?? line,
    )
  t.same(await kinds({ channel: 1 }), ['1 1 ENTRIES', '1 1 SEAL', '1 0 MARK', '1 3 ENTRIES', '1 3 SEAL', '1 0 MARK'])
  t.same(await kinds({ fromEpoch: 3n }), ['0 4 ENTRIES', '0 4 SEAL', '0 0 MARK', '1 3 ENTRIES', '1 3 SEAL', '1 0 MARK'])
  t.same(await kinds({ limit: 2 }), ['0 2 ENTRIES', '0 2 SEAL'])
  t.equal((await list(log.directory, { frames: true, limit: 2 })).isCut, true)
  t.equal((await list(log.directory, { frames: true, limit: 12 })).isCut, false)
})

t.test(
  'keys and values are shown as text only where they are text, and never reach a terminal as control characters',
  (t) => {
    const place = { channel: 0, position: 5, epoch: 2n, index: 1 }
    const version = { major: 2n, minor: 1n }
    const entry = (key: Buffer, value: Buffer): LoggedEntry => ({ op: 'put', storage: 7n, key, value, version })
    t.match(
      entryLine(place, entry(Buffer.from('a"b'), Buffer.from([0, 255])), false),
      /key "a\\"b" {2}value 0x00ff {2}version 2\.1$/,
    )
    const nasty = entryLine(place, entry(Buffer.from('\u001b[31m\u009b\u007f'), Buffer.from('é'.repeat(100))), true)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    t.notMatch(nasty, /[\u0000-\u001f\u007f-\u009f]/)
    t.match(nasty, /\.\.\. \(200 bytes\)/)
    t.match(entryFields(place, entry(Buffer.from('k'), Buffer.from([0x80]))), {
      key: 'k',
      valueHex: '80',
      storage: 7n,
      index: 1,
    })
    t.match(
      entryLine(place, { op: 'remove_storage', storage: 9n, version }, false),
      /#1 {2}remove_storage {2}storage 9 {2}version 2\.1$/,
    )
    t.end()
  },
)
