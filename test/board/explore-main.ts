/**
 * Explores one configuration of the in-flight board, larger ones than the tests can afford:
 *
 *   node dist/test/board/explore-main.js --sessions 5,1,1 --ring 3 --bound 3
 *   node dist/test/board/explore-main.js --sessions endless,endless
 *   node dist/test/board/explore-main.js --sessions 1,1 --replica --breaks 1 --lives 2
 *   node dist/test/board/explore-main.js --sessions 2,1 --mutant 'cells read before E' --exact
 *
 * The options are the fields of configuration.ts; `--after ,,0` lets the sessions of channel 2 depend on those of
 * channel 0. Ends with 1 and a trace if a property fails. A million states take some 10 seconds and 300 MB.
 */
import { parseArgs } from 'node:util'
import * as shipped from '../../wal/board-machine.ts'
import { configuration, ENDLESS, nameOf } from './configuration.ts'
import { explore } from './explore.ts'
import { MUTANTS, mutatedMachines } from './mutants.ts'
import { recoveryRule } from './recovery-rule.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '5,1' },
    after: { type: 'string', default: '' },
    ring: { type: 'string', default: '2' },
    bound: { type: 'string', default: '2' },
    replica: { type: 'boolean', default: false },
    'row-at-start': { type: 'string', default: 'up' },
    acks: { type: 'string', default: 'seals' },
    breaks: { type: 'string', default: '0' },
    exact: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    lives: { type: 'string', default: '1' },
  },
})

const config = configuration({
  sessions: values.sessions.split(',').map((count) => (count === 'endless' ? ENDLESS : Number(count))),
  after: values.after.split(',').map((first) => (first === '' ? undefined : Number(first))),
  ring: Number(values.ring),
  bound: Number(values.bound),
  replica: values.replica,
  rowAtStart: values['row-at-start'] === 'down' ? 'down' : 'up',
  acks: values.acks === 'all' ? 'all' : 'seals',
  breaks: Number(values.breaks),
  exact: values.exact,
  lives: Number(values.lives),
})
const mutant = MUTANTS.find(({ name }) => name === values.mutant)
if (values.mutant !== undefined && mutant === undefined) {
  throw new Error(
    `Cannot plant a mutant: found ${values.mutant}, expected one of\n${MUTANTS.map(({ name }) => name).join('\n')}`,
  )
}
const machines = mutant?.replacements === undefined ? shipped : await mutatedMachines(mutant.replacements)
console.log(nameOf(config))
const { states, transitions, remains, completions, seconds, fault } = explore(
  new World(config, machines, mutant?.defects),
  {
    recoveryRule: mutant?.recoveryRule ?? recoveryRule,
    onProgress: (visited, met) => console.error(`${visited} of ${met} states`),
  },
)
console.log({ states, transitions, remains, completions, seconds })
if (fault !== undefined) {
  console.log(`${fault.text}\n${fault.trace}`)
  process.exitCode = 1
}
