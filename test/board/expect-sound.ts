/** What the interleaving tests have in common: explore, print the figures, expect no fault and no small number. */
import type { Test } from 'tap'
import * as shipped from '../../wal/board-machine.ts'
import { type Configuration, nameOf } from './configuration.ts'
import { explore } from './explore.ts'
import { World } from './world.ts'

/** @param statesMin somewhat less than there are: an exploration that explores nothing must not pass */
export function expectSound(t: Test, config: Configuration, statesMin: number): void {
  t.test(nameOf(config), async (t) => {
    const { states, transitions, remains, completions, seconds, fault } = explore(new World(config, shipped))
    t.comment(
      `${states} states, ${transitions} transitions, ${remains} remains of crashes judged, ` +
        `${completions} completions, ${seconds.toFixed(1)} s`,
    )
    if (fault !== undefined) t.comment(fault.trace)
    t.equal(fault?.text, undefined, 'no order of steps breaks a property')
    t.ok(states >= statesMin, `at least ${statesMin} states`)
    t.ok(completions > 0, 'sessions are answered')
  })
}
