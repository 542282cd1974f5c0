/** Bodies of SEAL and MARK frames on damaged bytes (WAL-30, WAL-31, WAL-35). */
import t from 'tap'
import { decodeMark, decodeSeal, encodeSeal, MARK_BODY_BYTES, SEAL_BODY_BYTES } from '../../protocol/seal.ts'
import { CODECS } from './codecs.ts'
import { codeOf, flips, prefixes, valueOrCode } from './damage.ts'
import { vectorsOfType } from './golden-file.ts'

const vectors = [...vectorsOfType('seal'), ...vectorsOfType('mark')]

t.test('WAL-30 WAL-35: a body of any other length is refused', (t) => {
  t.same([SEAL_BODY_BYTES, MARK_BODY_BYTES], [40, 16])
  for (const { name, type, bytes } of vectors) {
    const { decode } = CODECS[type]!
    for (const prefix of prefixes(bytes)) {
      if (codeOf(() => decode(prefix, {})) !== 'ENTRY_MALFORMED') t.fail(`${name} cut at ${prefix.length}`)
    }
    t.equal(
      codeOf(() => decode(Buffer.concat([bytes, Buffer.alloc(1)]), {})),
      'ENTRY_MALFORMED',
      `${name} and one more byte`,
    )
  }
  t.end()
})

t.test('WAL-30 WAL-35: a flipped bit gives another value or a typed error, never the same value', (t) => {
  for (const { name, type, bytes } of vectors) {
    const { decode, encode } = CODECS[type]!
    for (const { bytes: flipped, bit } of flips(bytes)) {
      const result = valueOrCode(() => decode(flipped, {}))
      if ('value' in result) t.ok(encode(result.value, {}).equals(flipped), `${name} bit ${bit}`)
      else t.equal(result.code, 'ENTRY_MALFORMED', `${name} bit ${bit}`)
    }
  }
  t.end()
})

t.test('WAL-31: a seal without participants is refused on both ways', (t) => {
  const seal = { prev: 1n, participants: 0n, stored: 1n, durablePosition: 0, wallClockMs: 0 }
  t.throws(() => encodeSeal(seal), { name: 'InvariantError' })
  const body = encodeSeal({ ...seal, participants: 1n })
  body.fill(0, 8, 16)
  t.throws(() => decodeSeal(body, { channel: 3 }), { code: 'ENTRY_MALFORMED', where: { channel: 3 } })
  t.end()
})

t.test('WAL-33: a position beyond 2^53 is no value that a caller has to doubt, but an error', (t) => {
  const seal = encodeSeal({ prev: 1n, participants: 1n, stored: 1n, durablePosition: 2 ** 53 - 1, wallClockMs: 0 })
  t.equal(decodeSeal(seal, {}).durablePosition, 2 ** 53 - 1)
  for (const [at, decode] of [
    [24, decodeSeal],
    [32, decodeSeal],
    [0, decodeMark],
  ] as const) {
    const body = decode === decodeMark ? Buffer.alloc(MARK_BODY_BYTES) : Buffer.from(seal)
    body.writeBigUInt64LE(1n << 53n, at)
    t.throws(() => decode(body, {}), { code: 'ENTRY_MALFORMED', message: /9007199254740992/ })
  }
  t.end()
})
