/** Replies on log connections: any chunks, any damage, limits (docs/PROTOCOL.md, chapter 4). */
import fc from 'fast-check'
import t from 'tap'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { LOG_REPLY_BYTES_LIMIT } from '../../protocol/limits.ts'
import {
  encodeErrorReply,
  encodeReply,
  LOG_REPLY_HEAD_BYTES,
  ReplyReader,
  ReplyType,
} from '../../protocol/log-reply.ts'
import { replyCollector } from './codecs.ts'
import { codeOf, flips, prefixes } from './damage.ts'
import { toPlain, vectorsOfType } from './golden-file.ts'

const vectors = vectorsOfType('reply')
const stream = Buffer.concat(vectors.map((v) => v.bytes))
const expected = vectors.map((v) => v.object)

/** Feeds chunks; what the handler was told, in the plain form. */
function read(chunks: readonly Buffer[]): unknown[] {
  const { replies, handler } = replyCollector()
  const reader = new ReplyReader()
  for (const chunk of chunks) reader.push(chunk, handler)
  return replies.map(toPlain)
}

t.test('REP-30: replies come out whole and in order however the stream is cut', (t) => {
  t.equal(LOG_REPLY_HEAD_BYTES, 24)
  t.same(read([stream]), expected, 'one chunk')
  t.same(read(Array.from(stream, (byte) => Buffer.from([byte]))), expected, 'single bytes')
  for (let at = 0; at <= stream.length; at++) {
    if (read([stream.subarray(0, at), stream.subarray(at)]).length !== expected.length) t.fail(`cut at ${at}`)
  }
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 8 }), (places) => {
      const ends = [...places.sort((a, b) => a - b), stream.length]
      return read(ends.map((end, i) => stream.subarray(ends[i - 1] ?? 0, end))).length === expected.length
    }),
  )
  t.end()
})

t.test('REP-35: a reply cut at any byte waits, with a flipped bit it is another reply, waits, or is refused', (t) => {
  for (const { name, bytes, object } of vectors) {
    for (const prefix of prefixes(bytes)) if (read([prefix]).length !== 0) t.fail(`${name} cut at ${prefix.length}`)
    for (const { bytes: flipped, bit } of flips(bytes)) {
      const code = codeOf(() => {
        const found = read([flipped])[0]
        if (JSON.stringify(found) === JSON.stringify(object) && bit < 192) t.fail(`${name} bit ${bit}: not seen`)
      })
      if (!['none', 'MESSAGE_MALFORMED', 'MESSAGE_TOO_LARGE'].includes(code)) t.fail(`${name} bit ${bit}: ${code}`)
    }
  }
  t.end()
})

t.test('REP-35: a head is one of the five, to the bit', (t) => {
  const head = (patch: (head: Buffer) => void): Buffer => {
    const bytes = encodeReply(ReplyType.STORED, 1, 1)
    patch(bytes)
    return bytes
  }
  const cases: [string, string, Buffer][] = [
    ['type 0', 'MESSAGE_MALFORMED', head((b) => b.writeUInt8(0, 0))],
    ['type 6', 'MESSAGE_MALFORMED', head((b) => b.writeUInt8(6, 0))],
    ['type 255', 'MESSAGE_MALFORMED', head((b) => b.writeUInt8(255, 0))],
    ['byte 1', 'MESSAGE_MALFORMED', head((b) => b.writeUInt8(1, 1))],
    ['byte 3', 'MESSAGE_MALFORMED', head((b) => b.writeUInt8(1, 3))],
    ['an epoch of 2^53', 'MESSAGE_MALFORMED', head((b) => b.writeBigUInt64LE(1n << 53n, 8))],
    ['a sequence of 2^64 - 1', 'MESSAGE_MALFORMED', head((b) => b.writeBigUInt64LE((1n << 64n) - 1n, 16))],
    ['a body behind STORED', 'MESSAGE_MALFORMED', Buffer.concat([head((b) => b.writeUInt32LE(1, 4)), Buffer.alloc(1)])],
    ['no body behind REJECTED', 'MESSAGE_MALFORMED', encodeReply(ReplyType.REJECTED, 1, 0)],
    ['a body above the limit', 'MESSAGE_TOO_LARGE', head((b) => b.writeUInt32LE(LOG_REPLY_BYTES_LIMIT + 1, 4))],
    ['a body of 4 GiB', 'MESSAGE_TOO_LARGE', head((b) => b.writeUInt32LE(0xffff_ffff, 4))],
  ]
  for (const [what, code, bytes] of cases) {
    const { replies, handler } = replyCollector()
    const reader = new ReplyReader()
    t.throws(() => reader.push(bytes, handler), { code }, what)
    t.throws(() => reader.push(stream, handler), { code }, `${what}: final`)
    t.equal(replies.length, 0)
  }
  t.end()
})

t.test('REP-33 REP-34: a body that is no error is refused', (t) => {
  const good = encodeErrorReply(ReplyType.ERROR, 0, { code: 'X', message: 'm', hint: 'h', where: {} })
  t.equal(
    codeOf(() => read([good])),
    'none',
  )
  const notErrors = [
    null,
    1,
    [],
    'X',
    {},
    { code: 'X' },
    { code: 'X', message: 'm', hint: 'h' },
    { code: 'X', message: 'm', hint: 'h', where: { a: [] } },
  ]
  for (const body of notErrors) {
    const bytes = encodeErrorReply(ReplyType.REJECTED, 1, body as never) // wrong on purpose
    t.equal(
      codeOf(() => read([bytes])),
      'MESSAGE_MALFORMED',
      JSON.stringify(body),
    )
  }
  t.end()
})

t.test('REP-42: the largest error fits into a reply', (t) => {
  const text = '\u{ffff}'.repeat(100_000)
  const where = {
    file: text,
    peer: text,
    key: text,
    channel: 63,
    epoch: (1n << 64n) - 1n,
    offset: 2 ** 53 - 1,
    line: 1,
  }
  const wire = toWireError(new TravertineError('LOG_DAMAGED', text, { hint: text, where }))
  const bytes = encodeErrorReply(ReplyType.REJECTED, 1, wire)
  t.ok(bytes.length <= LOG_REPLY_HEAD_BYTES + LOG_REPLY_BYTES_LIMIT, `${bytes.length} bytes`)
  t.same(read([bytes]), [{ reply: 'rejected', sequence: 1, error: toPlain(wire) }])
  t.end()
})
