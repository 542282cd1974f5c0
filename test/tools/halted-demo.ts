/** `travertine up --demo` that comes to a halt in the middle of its load: for tests of what happens then. */
import { temporaryDirectory } from '../temp-directory.ts'
import { type Command, isAlive, type StartOptions, start } from './travertine.ts'

interface Started {
  readonly command: Command
  readonly parent: string
  readonly master: number
  readonly replica: number
}

/** For nodes of `up`, which take settings from the environment: no admin server to load, and less to prepare. */
export const QUICK_TO_START = { TRAVERTINE_ADMIN_ENABLED: 'false', TRAVERTINE_WAL_SEGMENTS_AHEAD: '1' }

/** With the replica stopped before the load begins: it comes to a halt in the middle, for certain. */
export async function startHalted(
  t: Parameters<typeof temporaryDirectory>[0],
  words: readonly string[],
  options: StartOptions = {},
): Promise<Started> {
  const parent = temporaryDirectory(t)
  const env = { ...QUICK_TO_START, ...options.env, TMPDIR: parent }
  const command = start(t, ['up', '--demo', '--channels', '1', ...words], { ...options, env })
  const replica = Number((await command.has('stderr', /replica listens on \S+, pid (\d+)/))[1])
  process.kill(replica, 'SIGSTOP')
  t.teardown(() => {
    if (isAlive(replica)) process.kill(replica, 'SIGKILL')
  })
  const master = Number((await command.has('stderr', /master {2}listens on \S+, pid (\d+)/))[1])
  return { command, parent, master, replica }
}
