/** The second half of the rounds, on a cluster of their own. */
import t from 'tap'
import { expectRounds, ROUNDS_PER_FILE } from './expect-rounds.ts'

t.test('nothing that was answered is lost', (t) => expectRounds(t, 1 + ROUNDS_PER_FILE))
