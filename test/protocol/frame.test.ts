/** Frame headers: what is valid, what is refused, and by which name (docs/WAL_FORMAT.md, chapter 1). */
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import {
  bodyCrcMatches,
  checkHeader,
  decodeHeader,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_VERSION,
  FrameKind,
  type HeaderFault,
  HeaderOffset,
  headerError,
  headerSeed,
  readU64Number,
  writeU64Number,
} from '../../protocol/frame.ts'
import { channelId, clusterId } from '../../protocol/ids.ts'
import { SESSION_BYTES_LIMIT } from '../../protocol/limits.ts'
import { seedOf } from './codecs.ts'
import { codeOf, flips } from './damage.ts'
import { vectorsOfType } from './golden-file.ts'
import { naiveCrc32, reseal } from './naive-crc32.ts'

const CLUSTER = '6f1c2a3e-8b4d-4e5f-9a60-112233445566'
const SEED = headerSeed(clusterId(CLUSTER), channelId(3))
const vectors = vectorsOfType('frame')
const golden = (name: string): Buffer => Buffer.from(vectors.find((v) => v.name === `frames/${name}`)!.bytes)
const code = (fault: HeaderFault, bytes: Buffer): string => headerError(fault, bytes, 0, {}).code

/** A good header, changed by `patch`, with a CRC that is right again: what a newer or broken program might send. */
function patched(patch: (frame: Buffer) => void): Buffer {
  const bytes = golden('entries-stamped')
  patch(bytes)
  return reseal(bytes, SEED)
}

t.test('WAL-1 WAL-2: a header is 72 bytes, and a body follows it directly', (t) => {
  const body = Buffer.from('body')
  const header = decodeHeader(golden('entries-stamped'), 0)
  const frame = encodeFrame(header, body, SEED)
  t.equal(frame.length, 72 + body.length)
  t.same(frame.subarray(72), body)
  t.equal(FRAME_HEADER_BYTES, 72)
  t.end()
})

t.test('WAL-3: the CRCs are CRC-32 by its definition, the header seeded with cluster and channel', (t) => {
  t.equal(naiveCrc32(Buffer.from('123456789')), 0xcbf43926, 'the check value of CRC-32')
  for (const vector of vectors) {
    const id = Buffer.from(String(vector.given['cluster']).replaceAll('-', ''), 'hex')
    const channel = Buffer.from([Number(vector.given['channel']), 0, 0, 0])
    const seed = naiveCrc32(Buffer.concat([id, channel]))
    t.equal(seedOf(vector.given), seed, `${vector.name}: seed`)
    t.equal(vector.bytes.readUInt32LE(0), naiveCrc32(vector.bytes.subarray(4, 72), seed), `${vector.name}: header`)
    t.equal(vector.bytes.readUInt32LE(12), naiveCrc32(vector.bytes.subarray(72)), `${vector.name}: body`)
  }
  fc.assert(fc.property(fc.uint8Array(), fc.nat(), (bytes, seed) => crc32(bytes, seed) === naiveCrc32(bytes, seed)))
  t.end()
})

t.test('WAL-4: a frame of another channel or cluster is never valid', (t) => {
  const bytes = golden('entries-stamped')
  t.equal(checkHeader(bytes, 0, SEED), undefined, 'valid in its own')
  for (let channel = 0; channel < 64; channel++) {
    const fault = checkHeader(bytes, 0, headerSeed(clusterId(CLUSTER), channelId(channel)))
    t.equal(fault, channel === 3 ? undefined : 'crc', `channel ${channel}`)
  }
  for (const { bytes: id, bit } of flips(Buffer.from(CLUSTER.replaceAll('-', ''), 'hex'))) {
    const text = id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    t.equal(
      checkHeader(bytes, 0, headerSeed(clusterId(text), channelId(3))),
      'crc',
      `cluster id with bit ${bit} flipped`,
    )
  }
  t.end()
})

t.test('WAL-4: no frame with a flipped bit is valid', (t) => {
  for (const vector of vectors) {
    const seed = seedOf(vector.given)
    const accepted: number[] = []
    for (const { bytes, bit } of flips(vector.bytes)) {
      const good = checkHeader(bytes, 0, seed) === undefined && bodyCrcMatches(bytes, 0, bytes.length - 72)
      if (good) accepted.push(bit)
    }
    t.same(accepted, [], vector.name)
    t.equal(checkHeader(vector.bytes, 0, seed), undefined, `${vector.name}: undamaged it is valid`)
    t.ok(bodyCrcMatches(vector.bytes, 0, vector.bytes.length - 72))
  }
  t.end()
})

t.test('WAL-5: another version is told apart from damage, whatever else the header holds', (t) => {
  for (let version = 0; version < 256; version++) {
    const bytes = patched((frame) => {
      frame[HeaderOffset.version] = version
      if (version !== FRAME_VERSION) frame.fill(0xff, HeaderOffset.kind, FRAME_HEADER_BYTES)
    })
    t.equal(checkHeader(bytes, 0, SEED), version === FRAME_VERSION ? undefined : 'version', `version ${version}`)
  }
  t.equal(code('version', golden('entries-stamped')), 'FRAME_VERSION_UNSUPPORTED')
  const damaged = golden('entries-stamped')
  damaged[HeaderOffset.version] = 2
  t.equal(checkHeader(damaged, 0, SEED), 'crc', 'without a right CRC it is damage')
  t.equal(code('crc', damaged), 'FRAME_CORRUPT')
  t.end()
})

t.test('WAL-6: unknown and reserved kinds are refused', (t) => {
  for (let kind = 0; kind < 256; kind++) {
    const bytes = patched((frame) => {
      frame[HeaderOffset.kind] = kind
    })
    t.equal(checkHeader(bytes, 0, SEED), [1, 2, 3, 7].includes(kind) ? undefined : 'kind', `kind ${kind}`)
  }
  const reserved = { CHECKPOINT: 4, PREPARE: 5, DECIDE: 6 }
  t.match(FrameKind, reserved, 'numbers that later versions will use')
  t.equal(code('kind', golden('seal')), 'FRAME_KIND_UNKNOWN')
  t.end()
})

t.test('WAL-7: an unknown flag is a newer format', (t) => {
  for (let bit = 0; bit < 16; bit++) {
    const bytes = patched((frame) => {
      frame.writeUInt16LE(1 << bit, HeaderOffset.flags)
    })
    t.equal(checkHeader(bytes, 0, SEED), bit === 0 ? undefined : 'flags', `flag bit ${bit}`)
  }
  t.equal(code('flags', golden('seal')), 'FRAME_VERSION_UNSUPPORTED')
  t.end()
})

t.test('WAL-8: a body has 1 to 16 MiB', (t) => {
  const cases: [number, HeaderFault | undefined][] = [
    [0, 'empty'],
    [1, undefined],
    [SESSION_BYTES_LIMIT, undefined],
    [SESSION_BYTES_LIMIT + 1, 'length'],
    [0xffff_ffff, 'length'],
  ]
  for (const [length, fault] of cases) {
    const bytes = patched((frame) => frame.writeUInt32LE(length, HeaderOffset.bodyLength))
    t.equal(checkHeader(bytes, 0, SEED), fault, `${length} bytes`)
  }
  t.equal(code('empty', golden('seal')), 'FRAME_EMPTY')
  t.equal(code('length', golden('seal')), 'FRAME_TOO_LARGE')
  t.throws(() => encodeFrame(decodeHeader(golden('seal'), 0), Buffer.alloc(SESSION_BYTES_LIMIT + 1), SEED), {
    name: 'InvariantError',
  })
  t.end()
})

t.test('WAL-9 WAL-10: stamping changes the stamped fields and the header CRC only; a client leaves them zero', (t) => {
  const before = golden('entries-from-a-client')
  const after = golden('entries-stamped')
  const stamped: [number, number][] = [
    [0, 4],
    [20, 56],
  ] // headerCrc; termTag, position, epoch, term, firstMinor
  const isStamped = (at: number): boolean => stamped.some(([from, to]) => at >= from && at < to)
  for (let at = 0; at < before.length; at++) {
    if (isStamped(at)) continue
    if (before[at] !== after[at]) t.fail(`byte ${at} has changed`)
  }
  t.ok(
    before.subarray(20, 56).every((byte) => byte === 0),
    'zeros from the client',
  )
  t.equal(checkHeader(before, 0, SEED), undefined)
  t.equal(checkHeader(after, 0, SEED), undefined)
  t.end()
})

t.test('WAL-12: the header names the producer; seals and marks have none', (t) => {
  t.match(decodeHeader(golden('entries-stamped'), 0), { producerId: 0x1122334455667788n, producerSequence: 1 })
  for (const name of ['seal', 'mark']) t.match(decodeHeader(golden(name), 0), { producerId: 0n, producerSequence: 0 })
  t.end()
})

t.test('every fault has a typed error of its own code and a place', (t) => {
  const faults: HeaderFault[] = ['crc', 'version', 'kind', 'flags', 'length', 'empty']
  for (const fault of faults) {
    const error = headerError(fault, golden('seal'), 0, { channel: 3, offset: 96 })
    t.match(error, { name: 'TravertineError', where: { channel: 3, offset: 96 } }, fault)
    t.match(error.message, /^Cannot .+: (found .+, expected .+|its header CRC does not match)$/)
  }
  t.equal(
    codeOf(() => undefined),
    'none',
  )
  t.end()
})

t.test('u64 fields that are numbers hold every safe integer', (t) => {
  const bytes = Buffer.alloc(12, 0xee)
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      writeU64Number(bytes, 2, value)
      return bytes.readBigUInt64LE(2) === BigInt(value) && readU64Number(bytes, 2) === value
    }),
    { examples: [[0], [2 ** 31], [2 ** 32 - 1], [2 ** 32], [Number.MAX_SAFE_INTEGER]] },
  )
  t.same([...bytes.subarray(0, 2), ...bytes.subarray(10)], [0xee, 0xee, 0xee, 0xee], 'nothing beside them')
  t.end()
})
