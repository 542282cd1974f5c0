/** The in-flight board in every order of its steps: the replica's row goes down in the middle and comes back. */
import t from 'tap'
import { configuration } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

expectSound(t, configuration({ sessions: [1, 1], replica: true, breaks: 1 }), 1_700_000)
