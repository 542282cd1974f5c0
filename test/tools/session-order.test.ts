/** WAL-67, as `verify` checks it: sessions of a producer ascend, gaps are allowed, memory is bounded. */
import t from 'tap'
import { SessionOrder } from '../../tools/session-order.ts'

t.test('sessions ascend, each producer for itself', async (t) => {
  const order = new SessionOrder()
  const notes = [
    [5n, 1],
    [6n, 9],
    [5n, 2],
    [5n, 7],
    [5n, 7],
    [6n, 8],
    [5n, 8],
    [0n, 0],
    [0n, 0],
  ] as const
  t.same(
    notes.map(([producer, sequence]) => order.note(producer, sequence)),
    [undefined, undefined, undefined, undefined, 7, 9, undefined, undefined, undefined],
  )
})

t.test('who has not written for the longest time is forgotten', async (t) => {
  const order = new SessionOrder(2)
  t.same(
    [1n, 2n, 1n, 3n].map((producer, i) => order.note(producer, 10 + i)),
    [undefined, undefined, undefined, undefined],
  )
  t.equal(order.note(1n, 12), 12, 'it wrote later than 2')
  t.equal(order.note(2n, 1), undefined, 'forgotten when 3 came')
})
