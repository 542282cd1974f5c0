/** The in-flight board in every order of its steps: with one replica, whose row comes up, goes down and comes back. */
import t from 'tap'
import { configuration } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

const REPLICA = { sessions: [1, 1], replica: true } as const

expectSound(t, configuration({ ...REPLICA, acks: 'all' }), 400_000)
expectSound(t, configuration({ ...REPLICA, rowAtStart: 'down' }), 500_000)
expectSound(t, configuration({ ...REPLICA, breaks: 1 }), 1_700_000)
