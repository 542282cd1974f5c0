/** The in-flight board in every order of its steps: three channels that know nothing of each other. */
import t from 'tap'
import { configuration } from './configuration.ts'
import { expectSound } from './expect-sound.ts'

t.setTimeout(0) // the runner has a limit for the file

expectSound(t, configuration({ sessions: [1, 1, 1] }), 2_500_000)
