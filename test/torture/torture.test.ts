/**
 * Real processes, real signals, real files: no promise may break while nodes are killed, paused and cut off under load.
 *
 * The plans follow from the seed; a machine of two cores is enough. `npm run torture` runs more.
 */
import t from 'tap'
import { planRound } from './plan.ts'
import { torture } from './torture.ts'
import { hasSecondLoopback } from './torture-cluster.ts'

const ROUNDS = 20
const SEED = 3

t.test('the rounds of this test have every kind of fault', async (t) => {
  const plans = Array.from({ length: ROUNDS }, (_, i) => planRound(SEED, 1 + i, 4))
  const kinds = new Set(plans.flatMap(({ faults }) => faults.map(({ fault }) => fault.kind)))
  t.same([...kinds].sort(), ['cut', 'cut within', 'hold', 'kill', 'pause', 'refuse', 'terminate'])
  t.same(new Set(plans.map(({ ending }) => ending)), new Set(['run on', 'kill', 'terminate']))
  t.same(
    plans,
    Array.from({ length: ROUNDS }, (_, i) => planRound(SEED, 1 + i, 4)),
    'and are the same each time',
  )
})

const second = await hasSecondLoopback()
t.test(
  'nothing that was answered is lost',
  second ? {} : { skip: '127.0.0.2 is no address of this machine' },
  async (t) => {
    const { rounds, failure, sessions } = await torture({
      rounds: ROUNDS,
      seed: SEED,
      onRound: (line) => t.comment(line),
    })
    t.equal(failure, undefined, failure ?? 'no finding')
    t.equal(rounds, ROUNDS)
    t.ok(sessions['propagated']! > 10 * ROUNDS, 'and a lot was answered')
  },
)
