/** Rounds as a test: shared by files that run different ones, since a file has its time and a machine its load. */
import type { Test } from 'tap'
import { ROUNDS_PER_CLUSTER } from './plan.ts'
import { torture } from './torture.ts'
import { hasSecondLoopback } from './torture-cluster.ts'

/** Draws every kind of fault, a full disk for the master and for a replica, and few starts of nodes: they take most of the time. */
export const SEED = 270
export const ROUNDS_PER_FILE = ROUNDS_PER_CLUSTER
/** More than comes from the last sessions of each round. */
const PROPAGATED_MIN = 10 * ROUNDS_PER_FILE

export async function expectRounds(t: Test, from: number): Promise<void> {
  if (!(await hasSecondLoopback())) {
    t.pass('', { skip: '127.0.0.2 is no address of this machine' })
    return
  }
  const { rounds, failure, sessions, seen, noSmallDisk } = await torture({
    rounds: ROUNDS_PER_FILE,
    from,
    seed: SEED,
    onRound: (line) => t.comment(line),
  })
  t.equal(failure, undefined, failure ?? 'no finding')
  t.equal(rounds, ROUNDS_PER_FILE)
  t.ok((sessions['propagated'] ?? 0) > PROPAGATED_MIN, 'a lot was answered')
  t.ok(seen.threadPauses > 0, 'channel threads stood still')
  if (noSmallDisk === undefined) t.ok(seen.fullDisks > 0, 'a node has noticed that its disk is full')
  else t.pass('', { skip: noSmallDisk })
}
