/** Rounds as a test: shared by files that run different ones, since a file has its time and a machine its load. */
import type { Test } from 'tap'
import { torture } from './torture.ts'
import { hasSecondLoopback } from './torture-cluster.ts'

export const SEED = 3
export const ROUNDS_PER_FILE = 10
/** More than comes from the last sessions of each round. */
const PROPAGATED_MIN = 10 * ROUNDS_PER_FILE

export async function expectRounds(t: Test, from: number): Promise<void> {
  if (!(await hasSecondLoopback())) {
    t.pass('', { skip: '127.0.0.2 is no address of this machine' })
    return
  }
  const { rounds, failure, sessions } = await torture({
    rounds: ROUNDS_PER_FILE,
    from,
    seed: SEED,
    onRound: (line) => t.comment(line),
  })
  t.equal(failure, undefined, failure ?? 'no finding')
  t.equal(rounds, ROUNDS_PER_FILE)
  t.ok((sessions['propagated'] ?? 0) > PROPAGATED_MIN, 'a lot was answered')
}
