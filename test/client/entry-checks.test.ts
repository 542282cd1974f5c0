/** What an application may pass as a number and as a key, and what is refused. */
import fc from 'fast-check'
import t from 'tap'
import { checkU64, keyLength } from '../../client/entry-checks.ts'

t.test('what is no u64 is refused, what is one is not', async (t) => {
  for (const value of [0, 1, 2 ** 53 - 1, 0n, 2n ** 64n - 1n]) t.doesNotThrow(() => checkU64('x', value))
  for (const value of [-0.5, -1, 2 ** 53, Number.NaN, -1n, 2n ** 64n]) {
    t.throws(() => checkU64('x', value), { code: 'VALUE_INVALID', message: /x: found/ })
  }
})

t.test('the length of a key is that of its bytes', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (key) => keyLength(key) === Buffer.from(key).length),
    { numRuns: 500 },
  )
  t.equal(keyLength(new Uint8Array(7)), 7)
  t.throws(() => keyLength('a\ud800'), { code: 'VALUE_INVALID', message: /surrogate/ })
})
