/**
 * Bringing states into one form must neither add nor hide any: the states of an exploration without it, each brought
 * into its form afterwards, are exactly the states of the exploration with it.
 */
import t from 'tap'
import * as shipped from '../../wal/board-machine.ts'
import { Canonical } from './canonical.ts'
import { configuration, nameOf } from './configuration.ts'
import { explore } from './explore.ts'
import { StateStore } from './state-store.ts'
import { Layout } from './state-vector.ts'
import { World } from './world.ts'

t.setTimeout(0) // the runner has a limit for the file

const CONFIGURATIONS = [
  configuration({ sessions: [2, 1] }),
  configuration({ sessions: [2, 1], ring: 3, bound: 3 }),
  configuration({ sessions: [1, 1], replica: true }),
]

for (const config of CONFIGURATIONS) {
  t.test(nameOf(config), async (t) => {
    const exact = explore(new World({ ...config, exact: true }, shipped)).store
    const formed = explore(new World(config, shipped)).store
    const layout = new Layout(config)
    const canonical = new Canonical(layout)
    const expected = new StateStore(layout.bytes)
    for (let state = 0; state < exact.size; state++) {
      const vector = Uint8Array.from(exact.get(state))
      canonical.apply(vector)
      expected.add(vector)
    }
    t.comment(`${exact.size} states have ${formed.size} forms`)
    t.ok(formed.size < exact.size, 'something is brought into one form')
    t.equal(formed.size, expected.size, 'as many as expected')
    let surprises = 0
    for (let state = 0; state < formed.size; state++) if (expected.add(formed.get(state)) >= formed.size) surprises++
    t.equal(surprises, 0, 'and the same ones')
  })
}
