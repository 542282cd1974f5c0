/** Configurations of the interleaving test that take minutes: the second life of a replica, and longer loads. */
import t from 'tap'
import { configuration, ENDLESS } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

expectSound(t, configuration({ sessions: [1, 1], replica: true, breaks: 1, lives: 2 }), 4_000_000)
expectSound(t, configuration({ sessions: [1, 1], ring: 4, bound: 4, replica: true, breaks: 1, lives: 2 }), 3_000_000)
expectSound(t, configuration({ sessions: [2, 1], replica: true }), 3_000_000)
expectSound(t, configuration({ sessions: [ENDLESS, ENDLESS], ring: 3, bound: 3 }), 1_800_000)
expectSound(t, configuration({ sessions: [2, 1, 1] }), 10_000_000)
