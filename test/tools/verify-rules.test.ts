/** verifyLog: each rule between frames, broken by a frame with good CRCs, is found at its position. */
import { join } from 'node:path'
import t from 'tap'
import { verifyLog } from '../../tools/verify-log.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { bodyOf, ForgedLog, type ForgeOptions, foreignTerm, mastership, put, segmentFile } from './forged-log.ts'

const disk = new NodeDisk()
const verify = (directory: string) => verifyLog({ directory, disk })
const forge = (t: Teardown, options?: ForgeOptions): ForgedLog =>
  new ForgedLog(join(temporaryDirectory(t), 'a'), options)

/** Each writes something that is wrong, with good CRCs; `where` is the position that has to be named. */
const WRONG: readonly {
  readonly name: string
  readonly code: string
  readonly text: RegExp
  readonly write: (log: ForgedLog) => number
}[] = [
  {
    name: 'a body that does not parse',
    code: 'ENTRY_MALFORMED',
    text: /entry code 9|cut off|beyond/,
    write: (log) => log.sessionBody(Buffer.alloc(11, 9), { epoch: 2n, entryCount: 1 }),
  },
  {
    name: 'a wrong entry count',
    code: 'ENTRY_MALFORMED',
    text: /found 1 entries, expected 2/,
    write: (log) => log.session(2n, { entryCount: 2 }),
  },
  {
    name: 'a version above the epoch',
    code: 'ENTRY_MALFORMED',
    text: /major version 3, expected at most the epoch 2/,
    write: (log) =>
      log.sessionBody(bodyOf([{ ...put('k'), version: { major: 3n, minor: 0n } }]), {
        epoch: 2n,
        entryCount: 1,
        flags: 1,
      }),
  },
  {
    name: 'a first minor version that is not the count',
    code: 'LOG_DAMAGED',
    text: /first minor version 7, expected 0/,
    write: (log) => log.session(2n, { firstMinor: 7n }),
  },
  {
    name: 'WAL-67: a session of a producer again',
    code: 'LOG_DAMAGED',
    text: /session 1 of producer 5 behind its session 1, expected a higher one/,
    write: (log) => log.session(2n, { producerSequence: 1 }),
  },
  {
    name: 'a session of a sealed epoch',
    code: 'LOG_DAMAGED',
    text: /session of epoch 1, expected one above 1/,
    write: (log) => log.session(1n),
  },
  {
    name: 'two epochs between two seals',
    code: 'LOG_DAMAGED',
    text: /session of epoch 3, expected 2 until its seal/,
    write: (log) => lastOf(log.session(2n), log.session(3n)),
  },
  {
    name: 'a seal of another epoch than its sessions',
    code: 'LOG_DAMAGED',
    text: /seal of epoch 3 behind sessions of 2/,
    write: (log) => lastOf(log.session(2n), log.seal(3n, { prev: 1n })),
  },
  { name: 'a seal again', code: 'LOG_DAMAGED', text: /seal of epoch 1 behind that of 1/, write: (log) => log.seal(1n) },
  {
    name: 'a seal that names a channel too many',
    code: 'LOG_DAMAGED',
    text: /channels which the cluster does not have/,
    write: (log) => log.seal(2n, { participants: 5n }),
  },
  {
    name: 'a seal without its own channel',
    code: 'LOG_DAMAGED',
    text: /does not name its own channel/,
    write: (log) => log.seal(2n, { participants: 2n }),
  },
  {
    name: 'a seal that knows itself STORED',
    code: 'LOG_DAMAGED',
    text: /knows epoch 2 to be STORED/,
    write: (log) => log.seal(2n, { stored: 2n }),
  },
  {
    name: 'a seal durable beyond itself',
    code: 'LOG_DAMAGED',
    text: /knows position 9999 to be durable/,
    write: (log) => log.seal(2n, { durablePosition: 9999 }),
  },
  {
    name: 'a seal that leaves an epoch out',
    code: 'LOG_DAMAGED',
    text: /found epoch 0 as the one before 2, expected 1/,
    write: (log) => log.seal(2n, { prev: 0n }),
  },
  {
    name: 'a seal with session fields',
    code: 'ENTRY_MALFORMED',
    text: /session fields/,
    write: (log) => log.append(0, { kind: 2, epoch: 2n, producerId: 4n }, sealBody(1n)),
  },
  {
    name: 'a seal of another length',
    code: 'ENTRY_MALFORMED',
    text: /found 39 bytes/,
    write: (log) => log.append(0, { kind: 2, epoch: 2n }, sealBody(1n).subarray(0, 39)),
  },
  {
    name: 'a MARK of an epoch',
    code: 'ENTRY_MALFORMED',
    text: /MARK of epoch 1, expected 0/,
    write: (log) => log.mark({ epoch: 1n }),
  },
  {
    name: 'a MARK durable beyond itself',
    code: 'LOG_DAMAGED',
    text: /MARK that knows position 9999/,
    write: (log) => log.mark({ durablePosition: 9999 }),
  },
  {
    name: 'a MARK of another length',
    code: 'ENTRY_MALFORMED',
    text: /found 15 bytes/,
    write: (log) => log.append(0, { kind: 7 }, Buffer.alloc(15)),
  },
  {
    name: 'a CONFIG that is none',
    code: 'ENTRY_MALFORMED',
    text: /CONFIG body: found 15 bytes/,
    write: (log) => log.append(0, { kind: 3, epoch: 2n }, Buffer.alloc(15)),
  },
  {
    name: 'a CONFIG of a sealed epoch',
    code: 'LOG_DAMAGED',
    text: /session of epoch 1, expected one above 1/,
    write: (log) => log.config(1n),
  },
  {
    name: 'a CONFIG twice in one term',
    code: 'LOG_DAMAGED',
    text: /config 1 behind config 1/,
    write: (log) => lastOf(log.config(2n), log.config(2n)),
  },
]

const lastOf = (...positions: number[]): number => positions.at(-1) ?? 0

function sealBody(prev: bigint): Buffer {
  const body = Buffer.alloc(40)
  body.writeBigUInt64LE(prev, 0)
  body.writeBigUInt64LE(1n, 8)
  return body
}

for (const { name, code, text, write } of WRONG) {
  t.test(`found: ${name}`, async (t) => {
    const log = forge(t, { channels: 2 })
    log.session(1n)
    log.seal(1n)
    t.same((await verify(log.directory)).findings, [], 'so far it is right')
    const position = write(log)
    const { findings } = await verify(log.directory)
    const where = { channel: 0, offset: position, file: segmentFile(log.directory, 0, position) }
    const found = findings.find((finding) => text.test(finding.message))
    t.match(found, { code, where }, findings.map((finding) => finding.describe()).join('\n'))
  })
}

t.test('WAL-39 found: a CONFIG on another channel than 0', async (t) => {
  const log = forge(t, { channels: 2 })
  log.config(1n)
  log.seal(1n)
  t.match((await verify(log.directory)).findings, [])
  const position = log.config(2n, 2, 1)
  const { findings } = await verify(log.directory)
  t.match(findings, [{ code: 'LOG_DAMAGED', message: /on channel 0 only/, where: { channel: 1, offset: position } }])
})

t.test('found: an epoch above the one that a channel has skipped', async (t) => {
  const log = forge(t, { channels: 2 })
  log.seal(1n, { participants: 3n })
  const position = log.seal(2n, { channel: 1, participants: 2n, prev: 1n })
  const { findings, whole } = await verify(log.directory)
  t.equal(whole, 0n)
  t.match(findings, [
    {
      code: 'LOG_DAMAGED',
      message: /seal of epoch 2 on channel 1, expected that of 1 first/,
      where: { channel: 1, offset: position, epoch: 1n },
    },
  ])
})

t.test('found: an epoch below the first of its mastership, and a mastership that begins within an epoch', async (t) => {
  const log = forge(t, { history: (own) => [mastership(own, [0], 5n, 0n)] })
  const position = log.seal(4n, { prev: 0n })
  t.match((await verify(log.directory)).findings, [
    { code: 'LOG_DAMAGED', message: /epoch 4 in term 1, expected at least 5/, where: { offset: position } },
  ])

  const other = forge(t)
  const own = other.manifest.history[0]?.term
  if (own === undefined) throw new Error('no term')
  other.session(1n)
  const start = other.end()
  other.writeManifest({
    ...other.manifest,
    history: [mastership(own, [0]), mastership(foreignTerm(2n), [start], 2n, 0n)],
  })
  other.seal(2n, { prev: 0n })
  t.match((await verify(other.directory)).findings, [
    { code: 'LOG_DAMAGED', message: /term 2 begin within epoch 1/, where: { offset: start } },
  ])
})
