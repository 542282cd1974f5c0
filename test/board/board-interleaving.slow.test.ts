/** Configurations of the interleaving test that take minutes: a second life under the pressure of BOUND, longer loads. */
import t from 'tap'
import { configuration, ENDLESS } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

// the replica comes back with an empty disk; that a mixture of its two lives is found, the mutants show
expectSound(t, configuration({ sessions: [1, 1], ring: 4, bound: 4, replica: true, breaks: 1, lives: 2 }), 800_000)
// nothing brought into one form; that this changes nothing, board-canonical.test.ts shows
expectSound(t, configuration({ sessions: [3, 1], exact: true }), 200_000)
// three channels that know nothing of each other; in the quick file one of the three depends on another
expectSound(t, configuration({ sessions: [1, 1, 1] }), 2_500_000)
expectSound(t, configuration({ sessions: [1, 1], replica: true, breaks: 1, lives: 2 }), 4_000_000)
expectSound(t, configuration({ sessions: [2, 1], replica: true }), 3_000_000)
expectSound(t, configuration({ sessions: [ENDLESS, ENDLESS], ring: 3, bound: 3 }), 1_800_000)
expectSound(t, configuration({ sessions: [1, 1, 1], ring: 3, bound: 3 }), 2_700_000)
