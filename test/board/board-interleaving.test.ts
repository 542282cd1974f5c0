/**
 * The in-flight board in every order of its steps: shipped machines on the shipped board, no replica (DESIGN 4).
 *
 * What is judged after every step is listed in judge.ts, what may happen in world.ts, what is collapsed in
 * channel-driver.ts and canonical.ts. The replica and its breaks have files of their own, so that the runner can
 * use two cores; larger configurations are in the slow file and in explore-main.ts.
 */
import t from 'tap'
import { configuration, ENDLESS } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

// the smallest ring: any number of sessions on both channels
expectSound(t, configuration({ sessions: [ENDLESS, ENDLESS] }), 400_000)
// BOUND = 2 hides epochs that vanish before their successor: it lets none be closed before the last one is STORED
expectSound(t, configuration({ sessions: [5, 1], ring: 3, bound: 3 }), 250_000)
// no pressure of BOUND at all
expectSound(t, configuration({ sessions: [2, 2], ring: 8, bound: 8 }), 90_000)
// BOUND smaller than the ring
expectSound(t, configuration({ sessions: [3, 1], ring: 4, bound: 2 }), 50_000)
// unequal loads on three channels, the third depends on the first
expectSound(t, configuration({ sessions: [5, 1, 1], after: [undefined, undefined, 0] }), 500_000)
