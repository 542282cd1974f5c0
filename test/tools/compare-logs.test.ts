/** compareLogs: one history or two, and where they part: channel, position, epoch, files. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { initNode, startNode } from '../../daemon/node.ts'
import { type CompareReport, compareLogs } from '../../tools/compare-logs.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import {
  ForgedLog,
  type ForgeOptions,
  fingerprint,
  flipByte,
  foreignTerm,
  mastership,
  otherCluster,
  SEGMENT_BYTES,
  segmentFile,
} from './forged-log.ts'
import { runningPair, writeRounds } from './written-pair.ts'

const compare = (a: string, b: string): Promise<CompareReport> =>
  compareLogs({ disk: new NodeDisk(), directories: [a, b] })
const texts = ({ partings }: CompareReport): string[] => partings.map(({ error }) => `${error.code} ${error.message}`)

/** Two directories of one cluster, whose histories the test chooses. */
function forgeTwo(t: Teardown, a: ForgeOptions, b: ForgeOptions = a): [ForgedLog, ForgedLog] {
  const directory = temporaryDirectory(t)
  return [new ForgedLog(join(directory, 'a'), a), new ForgedLog(join(directory, 'b'), b)]
}

const firstTerm = foreignTerm(1n)
const oneTerm: ForgeOptions = { history: () => [mastership(firstTerm, [0])] }

function epochs(log: ForgedLog, from: bigint, to: bigint): void {
  for (let epoch = from; epoch <= to; epoch++) {
    log.session(epoch)
    log.seal(epoch)
  }
}

t.test('master and replica are one history; a copy from before is a shorter one; nothing is written', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t))
  await writeRounds(pair, 10, 400)
  const early = join(temporaryDirectory(t), 'early')
  cpSync(pair.replicaDirectory, early, { recursive: true })
  await writeRounds(pair, 10)
  await pair.stop()
  const before = [fingerprint(pair.masterDirectory), fingerprint(pair.replicaDirectory)]
  const same = await compare(pair.masterDirectory, pair.replicaDirectory)
  t.same(same.partings, [])
  t.equal(same.sharedTerms, 1)
  t.ok(same.channels.every(({ ends, sameUpTo }) => ends[0] === ends[1] && sameUpTo === ends[0] && sameUpTo > 4000))
  for (const [a, b, shorter] of [
    [pair.masterDirectory, early, 1],
    [early, pair.masterDirectory, 0],
  ] as const) {
    const report = await compare(a, b)
    t.same(report.partings, [])
    t.ok(
      report.channels.every(({ ends, sameUpTo }) => sameUpTo === ends[shorter] && ends[shorter] < ends[1 - shorter]!),
    )
  }
  t.same([fingerprint(pair.masterDirectory), fingerprint(pair.replicaDirectory)], before)

  await t.test('damage is told as damage, of the log that has it, and the other channels are compared', async (t) => {
    flipByte(pair.replicaDirectory, 0, 3000)
    const report = await compare(pair.masterDirectory, pair.replicaDirectory)
    t.match(report.partings, [
      {
        error: { code: 'LOG_DAMAGED', where: { channel: 0, file: segmentFile(pair.replicaDirectory, 0, 0) } },
        channel: 0,
      },
    ])
    t.equal(report.partings.length, 1)
    t.ok((report.channels[0]?.sameUpTo ?? 0) <= 3000)
    t.equal(report.channels[1]?.sameUpTo, report.channels[1]?.ends[0])
  })
})

t.test('two nodes that have started as master from one copy are two histories', async (t) => {
  const directory = join(temporaryDirectory(t), 'a')
  const copy = join(temporaryDirectory(t), 'copy')
  initNode({ directory, role: 'master', segmentBytes: SEGMENT_BYTES })
  const write = async (where: string, key: string): Promise<void> => {
    const node = await startNode({ directory: where, port: 0 })
    const client = await connect({ address: `127.0.0.1:${node.port}` })
    await client.write([{ op: 'put', storage: 1n, key, value: Buffer.alloc(9) }], { level: 'stored' })
    await client.close()
    await node.close()
  }
  await write(directory, 'first')
  cpSync(directory, copy, { recursive: true })
  await write(directory, 'one')
  await write(copy, 'other')
  const report = await compare(directory, copy)
  t.equal(report.sharedTerms, 1)
  t.match(texts(report), [
    /HISTORIES_DIFFER.*found different frames on channel 0/,
    /HISTORIES_DIFFER.*found term 2 of node .* and term 2 of node .* behind 1 shared terms/,
  ])
  const [bytes] = report.partings
  t.equal(bytes?.position, report.channels[0]?.sameUpTo)
  t.same(bytes?.files, [segmentFile(directory, 0, 0), segmentFile(copy, 0, 0)])
})

t.test('different bytes at one place, with good CRCs: the first one is named', async (t) => {
  const [a, b] = forgeTwo(t, oneTerm)
  epochs(a, 1n, 3n)
  epochs(b, 1n, 3n)
  t.same((await compare(a.directory, b.directory)).partings, [])
  const position = a.end()
  t.equal(a.session(4n, { producerId: 1n }), b.session(4n, { producerId: 2n }))
  a.seal(4n)
  b.seal(4n)
  const report = await compare(a.directory, b.directory)
  t.match(report.partings, [
    {
      error: {
        code: 'HISTORIES_DIFFER',
        message: /differ from byte 0 on/,
        where: { channel: 0, offset: position, epoch: 4n, file: segmentFile(a.directory, 0, position) },
      },
      channel: 0,
      position,
      epochs: [4n, 4n],
      files: [segmentFile(a.directory, 0, position), segmentFile(b.directory, 0, position)],
    },
  ])
  t.equal(report.channels[0]?.sameUpTo, position)
})

t.test(
  'surplus that the other history has cut is a difference, also where nothing stands in its place yet',
  async (t) => {
    const [a, b] = forgeTwo(t, oneTerm)
    epochs(a, 1n, 2n)
    epochs(b, 1n, 2n)
    const cut = a.end()
    const shorter = (): Promise<CompareReport> => compare(a.directory, b.directory)
    a.writeManifest({
      ...a.manifest,
      history: [mastership(firstTerm, [0]), mastership(foreignTerm(2n), [cut], 4n, 2n)],
    })
    t.same((await shorter()).partings, [], 'b has only not yet heard of term 2')
    b.session(3n)
    const file = segmentFile(b.directory, 0, cut)
    const surplus = {
      error: {
        code: 'HISTORIES_DIFFER',
        message: /which the other history has cut/,
        where: { offset: cut, channel: 0, file },
      },
      position: cut,
    }
    t.match((await shorter()).partings, [surplus])
    t.match((await compare(b.directory, a.directory)).partings, [surplus], 'in either order')
    a.session(4n, { epoch: 4n })
    t.match(texts(await shorter()), [/found different frames on channel 0/])
  },
)

t.test('histories that part, though no byte differs', async (t) => {
  const terms = (tag: number): ForgeOptions => ({
    history: () => [mastership(firstTerm, [0]), mastership(foreignTerm(2n, tag), [0], 1n)],
  })
  const [a, b] = forgeTwo(t, terms(1), terms(2))
  const report = await compare(a.directory, b.directory)
  t.equal(report.sharedTerms, 1)
  t.match(report.partings, [{ error: { code: 'HISTORIES_DIFFER' }, channel: 0, position: 0, epochs: [1n, 1n] }])
})

t.test('one term with two sets of start positions', async (t) => {
  const terms = (start: number): ForgeOptions => ({ history: () => [mastership(firstTerm, [start])] })
  const [a, b] = forgeTwo(t, terms(0), terms(64))
  t.match(texts(await compare(a.directory, b.directory)), [
    /HISTORIES_DIFFER.*one term with two sets of start positions/,
  ])
})

t.test('other cluster, other number of channels', async (t) => {
  const [a, b] = forgeTwo(t, {}, { cluster: otherCluster })
  t.match(texts(await compare(a.directory, b.directory)), [/HISTORIES_DIFFER.*found cluster .*0001 and cluster .*0002/])
  const [c, d] = forgeTwo(t, {}, { channels: 2 })
  t.match(texts(await compare(c.directory, d.directory)), [
    /HISTORIES_DIFFER.*number of channels 1 and number of channels 2/,
  ])
})

t.test('a node that has never met a master is one history with any of its cluster', async (t) => {
  const [a, b] = forgeTwo(t, oneTerm, { history: () => [] })
  epochs(a, 1n, 2n)
  t.same((await compare(a.directory, b.directory)).partings, [])
})

t.test('a live pair under load is one history at any time', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t))
  let goesOn = true
  let sessions = 0
  const writers = pair.channels.map(async (channel) => {
    while (goesOn) {
      const entry = { op: 'put' as const, storage: 1n, key: `${sessions}`, value: Buffer.alloc(900, 1) }
      await Promise.all(Array.from({ length: 8 }, () => channel.write([entry], { level: 'stored' })))
      sessions += 8
    }
  })
  let looks = 0
  for (; looks < 15 || sessions < 500; looks++) {
    const report = await compare(pair.masterDirectory, pair.replicaDirectory)
    if (report.partings.length > 0) t.same(texts(report), [])
    await new Promise((resolve) => setImmediate(resolve))
  }
  goesOn = false
  await Promise.all(writers)
  t.ok(looks >= 15)
})
