/**
 * REP-85 along a chain: a feeder that is cut off from the master lets go of those below, those of theirs, and so on, so that
 * the last one finds another feeder, however far down it stands.
 *
 *   master A -+- feeder B - (C - (D -)) leaf E
 *             +- feeder F - - - - - - - leaf E, who is fed by the other one first
 */
import t from 'tap'
import { CoreNetwork } from './core-network.ts'

const CUT_OFF_MS_MAX = 40_000

for (const between of ['', 'C', 'CD']) {
  t.test(`a leaf below ${between.length + 1} feeders`, async (t) => {
    const chain = `B${between}`
    const network = new CoreNetwork()
    for (const [i, name] of [...chain].entries()) network.replica(name, [chain[i + 1] ?? 'E'])
    network.replica('E')
    network.replica('F')
    network.master('A', ['B', 'F'])
    t.ok(
      network.run(5_000, () => network.wayTo('E') === chain && network.wayTo('F') === ''),
      'fed through the chain',
    )
    network.feed('F', ['E'])
    t.notOk(
      network.run(60_000, () => network.wayTo('E') !== chain),
      'the other feeder waits',
    )

    network.cut('A', 'B')
    t.ok(
      network.run(CUT_OFF_MS_MAX, () => network.wayTo('E') === 'F'),
      'the other feeder has it',
    )
    t.ok(
      network.run(10_000, () => [...between].every((name) => network.wayTo(name) !== undefined)),
      'the chain stays',
    )
    t.notOk(
      network.run(60_000, () => network.wayTo('E') !== 'F'),
      'and it stays with that one',
    )

    network.heal('A', 'B')
    t.ok(network.run(5_000, () => network.wayTo('B') === ''))
    network.cut('A', 'F')
    t.ok(
      network.run(CUT_OFF_MS_MAX, () => network.wayTo('E') === chain),
      'back, when the other one is cut off',
    )
  })
}

t.test('where there is no other feeder it comes back', async (t) => {
  const network = new CoreNetwork()
  network.replica('B', ['C'])
  network.replica('C', ['E'])
  network.replica('E')
  network.master('A', ['B'])
  t.ok(network.run(5_000, () => network.wayTo('E') === 'BC'))
  network.cut('A', 'B')
  t.ok(
    network.run(CUT_OFF_MS_MAX, () => network.wayTo('E') === undefined),
    'let go',
  )
  t.ok(
    network.run(6_000, () => network.wayTo('E') === 'BC'),
    'and taken again',
  )
  t.ok(
    network.run(CUT_OFF_MS_MAX, () => network.wayTo('E') === undefined),
    'let go once more',
  )
  network.heal('A', 'B')
  t.ok(
    network.run(4_000, () => network.wayTo('E') === 'BC'),
    'at once when the chain is fed',
  )
})
