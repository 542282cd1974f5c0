/** Cutting a stream into frames: any chunks, any damage, and nothing accepted after an error. */
import fc from 'fast-check'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { FRAME_HEADER_BYTES, HeaderOffset, headerSeed } from '../../protocol/frame.ts'
import { FrameReader } from '../../protocol/frame-reader.ts'
import { channelId, clusterId } from '../../protocol/ids.ts'
import { SESSION_BYTES_LIMIT } from '../../protocol/limits.ts'
import { seedOf } from './codecs.ts'
import { codeOf, flips, prefixes } from './damage.ts'
import { vectorsOfType } from './golden-file.ts'
import { reseal } from './naive-crc32.ts'

const vectors = vectorsOfType('frame').filter((v) => v.given['channel'] === 3)
const SEED = headerSeed(clusterId('6f1c2a3e-8b4d-4e5f-9a60-112233445566'), channelId(3))
const frames = vectors.map((v) => v.bytes.toString('hex'))
const stream = Buffer.concat(vectors.map((v) => v.bytes))
const entriesFrame = vectors[0]!.bytes

/** Feeds chunks; what comes out, as hex. */
function cut(chunks: readonly Buffer[], reader = new FrameReader(SEED, {})): string[] {
  const found: string[] = []
  for (const chunk of chunks) {
    reader.push(chunk, (buffer, at, bytes) => found.push(buffer.toString('hex', at, at + bytes)))
  }
  return found
}

const singleBytes = (bytes: Buffer): Buffer[] => Array.from(bytes, (byte) => Buffer.from([byte]))

function withHeader(patch: (frame: Buffer) => void): Buffer {
  const bytes = Buffer.from(entriesFrame)
  patch(bytes)
  return reseal(bytes, SEED)
}

t.test('REP-21: frames come out whole however the stream is cut', (t) => {
  t.same(cut([stream]), frames, 'one chunk')
  t.same(cut(singleBytes(stream)), frames, 'single bytes')
  for (let at = 0; at <= stream.length; at++) {
    const found = cut([stream.subarray(0, at), stream.subarray(at)])
    if (found.join() !== frames.join()) t.fail(`cut at ${at}`)
  }
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 12 }), (places) => {
      const ends = [...places.sort((a, b) => a - b), stream.length]
      return cut(ends.map((end, i) => stream.subarray(ends[i - 1] ?? 0, end))).join() === frames.join()
    }),
  )
  t.end()
})

t.test('a frame inside one chunk is handed out in place, one that spans chunks is gathered once', (t) => {
  const places: [boolean, number][] = []
  const reader = new FrameReader(SEED, {})
  const chunk = Buffer.concat([entriesFrame, entriesFrame.subarray(0, 80)])
  reader.push(chunk, (buffer, at) => places.push([buffer === chunk, at]))
  t.same(places, [[true, 0]])
  t.equal(reader.pendingBytes, 80)
  const rest = entriesFrame.subarray(80)
  reader.push(rest, (buffer, at, bytes) => {
    places.push([buffer === rest, at])
    t.equal(buffer.length, bytes, 'a buffer of its own length')
  })
  t.same(places, [
    [true, 0],
    [false, 0],
  ])
  t.equal(reader.pendingBytes, 0)
  t.end()
})

t.test('a frame cut at any byte is neither accepted nor refused: its rest may come', (t) => {
  for (const vector of vectors) {
    for (const prefix of prefixes(vector.bytes)) {
      const reader = new FrameReader(SEED, {})
      if (cut([prefix], reader).length !== 0 || reader.pendingBytes !== prefix.length)
        t.fail(`${vector.name} ${prefix.length}`)
      if (cut([vector.bytes.subarray(prefix.length)], reader).length !== 1)
        t.fail(`${vector.name}: the rest of ${prefix.length}`)
    }
  }
  t.end()
})

t.test('WAL-4 REP-24: a flipped bit is never accepted, whole or in single bytes', (t) => {
  for (const vector of vectorsOfType('frame')) {
    for (const { bytes, bit } of flips(vector.bytes)) {
      const whole = codeOf(() => cut([bytes], new FrameReader(seedOf(vector.given), {})))
      if (whole !== 'FRAME_CORRUPT') t.fail(`${vector.name} bit ${bit}: ${whole}`)
      if (bit % 7 !== 0) continue // each byte at least once
      const single = codeOf(() => cut(singleBytes(bytes), new FrameReader(seedOf(vector.given), {})))
      if (single !== 'FRAME_CORRUPT') t.fail(`${vector.name} bit ${bit} in single bytes: ${single}`)
    }
  }
  t.end()
})

const BAD: [string, string, Buffer][] = [
  ['FRAME_VERSION_UNSUPPORTED', 'unknown version', withHeader((f) => f.writeUInt8(2, HeaderOffset.version))],
  ['FRAME_KIND_UNKNOWN', 'unknown kind', withHeader((f) => f.writeUInt8(9, HeaderOffset.kind))],
  ['FRAME_KIND_UNKNOWN', 'reserved kind', withHeader((f) => f.writeUInt8(4, HeaderOffset.kind))],
  ['FRAME_VERSION_UNSUPPORTED', 'unknown flag', withHeader((f) => f.writeUInt16LE(2, HeaderOffset.flags))],
  [
    'FRAME_TOO_LARGE',
    'oversized length',
    withHeader((f) => f.writeUInt32LE(SESSION_BYTES_LIMIT + 1, HeaderOffset.bodyLength)),
  ],
  ['FRAME_TOO_LARGE', 'length of 4 GiB', withHeader((f) => f.writeUInt32LE(0xffff_ffff, HeaderOffset.bodyLength))],
  ['FRAME_EMPTY', 'zero length', withHeader((f) => f.writeUInt32LE(0, HeaderOffset.bodyLength))],
  ['FRAME_CORRUPT', 'wrong seed', reseal(Buffer.from(entriesFrame), SEED + 1)],
  ['FRAME_CORRUPT', 'zeros', Buffer.alloc(200)],
]

for (const [code, what, bytes] of BAD) {
  t.test(`REP-24: ${what} is ${code} as soon as its header is there, with its place, and final`, (t) => {
    const header = bytes.subarray(0, FRAME_HEADER_BYTES)
    for (const chunks of [
      [Buffer.concat([entriesFrame, header])],
      singleBytes(Buffer.concat([entriesFrame, header])),
    ]) {
      const reader = new FrameReader(SEED, { channel: 3 })
      const found: number[] = []
      const push = (chunk: Buffer): void => reader.push(chunk, (_, at) => found.push(at))
      const error = thrownBy(() => chunks.forEach(push))
      t.match(error, { code, where: { channel: 3, offset: entriesFrame.length } })
      t.equal(found.length, 1, 'the good frame before it was accepted')
      t.equal(
        thrownBy(() => push(entriesFrame)),
        error,
        'a good frame behind it is not',
      )
      t.equal(found.length, 1)
    }
    t.end()
  })
}

t.test('REP-24: an error of the receiver is final as well', (t) => {
  const reader = new FrameReader(SEED, {})
  const refuse = (): never => {
    throw new TravertineError('ENTRY_MALFORMED', 'no')
  }
  t.throws(() => reader.push(stream, refuse), { code: 'ENTRY_MALFORMED' })
  t.throws(() => reader.push(stream, () => t.fail('accepted')), { code: 'ENTRY_MALFORMED' })
  t.end()
})

function thrownBy(act: () => void): unknown {
  try {
    act()
  } catch (error) {
    return error
  }
  return undefined
}
