/**
 * Real processes, real signals, real files: no promise may break while nodes are killed, paused and cut off under load.
 *
 * The plans follow from the seed. `npm run torture` runs more.
 */
import t from 'tap'
import { expectRounds, ROUNDS_PER_FILE, SEED } from './expect-rounds.ts'
import { planRound } from './plan.ts'

t.test('the rounds of these tests have every kind of fault', async (t) => {
  const plans = Array.from({ length: 2 * ROUNDS_PER_FILE }, (_, i) => planRound(SEED, 1 + i, 4))
  const kinds = new Set(plans.flatMap(({ faults }) => faults.map(({ fault }) => fault.kind)))
  t.same([...kinds].sort(), [
    'cut',
    'cut within',
    'fill disk',
    'hold',
    'kill',
    'pause',
    'pause thread',
    'refuse',
    'terminate',
  ])
  t.same(new Set(plans.map(({ ending }) => ending)), new Set(['run on', 'kill', 'terminate']))
  t.same(
    plans,
    plans.map((_, i) => planRound(SEED, 1 + i, 4)),
    'and are the same each time',
  )
})

t.test('nothing that was answered is lost', (t) => expectRounds(t, 1))
