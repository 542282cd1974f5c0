/**
 * Each wrong variant of the board must be found: the interleaving test can fail (DESIGN 4, "Ways to get it wrong").
 */
import t from 'tap'
import * as shipped from '../../wal/board-machine.ts'
import { nameOf } from './configuration.ts'
import { explore } from './explore.ts'
import { MUTANTS, mutatedMachines, NAMED_MUTANTS } from './mutants.ts'
import { World } from './world.ts'

t.setTimeout(0) // the runner has a limit for the file

for (const mutant of MUTANTS) {
  t.test(mutant.name, async (t) => {
    const machines = mutant.replacements === undefined ? shipped : await mutatedMachines(mutant.replacements)
    const world = new World(mutant.config, machines, mutant.defects)
    const rule = mutant.recoveryRule === undefined ? {} : { recoveryRule: mutant.recoveryRule }
    const { fault, states, seconds } = explore(world, rule)
    t.comment(`${nameOf(mutant.config)}: ${states} states, ${seconds.toFixed(1)} s: ${fault?.text ?? 'not found'}`)
    t.match(fault?.text, new RegExp(`^\\(${mutant.property}\\)`), 'found, by the property that it breaks')
    if (process.env['BOARD_TRACES'] !== undefined) t.comment(fault?.trace ?? '')
  })
}

t.equal(NAMED_MUTANTS.length, 10, 'all nine ways of DESIGN 4, the last with its two sides')

t.test('a mutant that has become no mutant is refused', async (t) => {
  await t.rejects(mutatedMachines([['no such text', '']]), /found 0 places, expected 1/)
  await t.rejects(mutatedMachines([['return false', 'return true']]), /expected 1/)
})
