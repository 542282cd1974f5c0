/** Identifiers: what may become one, and when two terms are the same (WAL-40). */
import t from 'tap'
import { byteOffset, channelId, clusterId, isUuid, nodeId, sameTerm, termNumber } from '../../protocol/ids.ts'

const NODE = nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc')

t.test('ids and positions of our own are asserted', (t) => {
  t.equal(byteOffset(2 ** 53 - 1), 2 ** 53 - 1)
  for (const bad of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])
    t.throws(() => byteOffset(bad), { name: 'InvariantError' })
  t.same([channelId(0), channelId(63)], [0, 63])
  for (const bad of [-1, 64, 0.5, Number.NaN]) t.throws(() => channelId(bad), { name: 'InvariantError' })
  for (const bad of ['', NODE.toUpperCase(), NODE.replaceAll('-', ''), `${NODE}0`, `${NODE}\n`, ` ${NODE}`]) {
    t.notOk(isUuid(bad), JSON.stringify(bad))
    t.throws(() => clusterId(bad), { name: 'InvariantError' })
  }
  t.end()
})

t.test('WAL-40: terms are the same only if number, node and tag agree', (t) => {
  const term = { number: termNumber(2n), nodeId: NODE, tag: 7 }
  t.ok(sameTerm(term, { ...term }))
  t.notOk(sameTerm(term, { ...term, number: termNumber(3n) }))
  t.notOk(sameTerm(term, { ...term, tag: 8 }))
  t.notOk(sameTerm(term, { ...term, nodeId: nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcd') }))
  t.end()
})
