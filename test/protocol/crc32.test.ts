/** Both ways of making a CRC-32, the tables and zlib's, against the definition, bit by bit. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { crc32Of } from '../../protocol/crc32.ts'
import { naiveCrc32 } from './naive-crc32.ts'

t.test('the check value of CRC-32', async (t) => {
  t.equal(crc32Of(Buffer.from('123456789'), 0, 9), 0xcbf43926)
})

t.test('every length up to 300, at every alignment, with a seed', async (t) => {
  const bytes = randomBytes(400)
  for (let length = 0; length <= 300; length++) {
    const from = length % 8
    const seed = (length * 0x9e3779b1) >>> 0
    const found = crc32Of(bytes, from, from + length, seed)
    if (found !== naiveCrc32(bytes.subarray(from, from + length), seed)) t.fail(`length ${length}`)
  }
  t.equal(crc32Of(bytes, 0, 400), naiveCrc32(bytes))
})

t.test('a sum goes on from the sum of what stands before, whatever way each was made', async (t) => {
  const bytes = randomBytes(1000)
  for (const cut of [0, 1, 68, 223, 224, 500, 999, 1000]) {
    t.equal(crc32Of(bytes, cut, 1000, crc32Of(bytes, 0, cut)), naiveCrc32(bytes), `cut at ${cut}`)
  }
})
