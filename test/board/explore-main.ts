/**
 * Explores one configuration of the in-flight board, larger ones than the tests can afford:
 *
 *   node dist/test/board/explore-main.js --sessions 5,1,1 --ring 2 --bound 2 [--replica] [--row-at-start down]
 *        [--acks all] [--breaks 1] [--lives 2] [--mutant NAME]
 */
import { parseArgs } from 'node:util'
import * as machines from '../../wal/board-machine.ts'
import { configuration, ENDLESS, nameOf } from './configuration.ts'
import { explore } from './explore.ts'
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
console.log(nameOf(config))
const result = explore(new World(config, machines), {
  onProgress: (visited, met) => console.error(`${visited} of ${met} states`),
})
const { fault, ...figures } = result
console.log(figures)
if (fault !== undefined) {
  console.log(`${fault.text}\n${fault.trace}`)
  process.exitCode = 1
}
