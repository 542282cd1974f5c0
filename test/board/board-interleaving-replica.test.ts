/** The in-flight board in every order of its steps: with one replica that acknowledges, and whose row comes up late. */
import t from 'tap'
import { configuration } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

expectSound(t, configuration({ sessions: [1, 1], replica: true, acks: 'all' }), 400_000)
expectSound(t, configuration({ sessions: [1, 1], replica: true, rowAtStart: 'down' }), 500_000)
