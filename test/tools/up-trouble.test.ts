/** `travertine up` when a process goes away: its own, the one that started it, or one of its nodes. */
import { readdirSync } from 'node:fs'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { startHalted } from './halted-demo.ts'
import { errorCode, isAlive, lastObject, start, until } from './travertine.ts'

t.test('nodes do not outlive a parent that is killed', async (t) => {
  const command = start(t, ['up', '--json'], { env: { TMPDIR: temporaryDirectory(t) } })
  const [line] = await command.has('stdout', /^.+\n/)
  const { master, replica } = JSON.parse(line)
  t.ok(isAlive(master.pid) && isAlive(replica.pid))
  command.kill('SIGKILL')
  await until(() => !isAlive(master.pid) && !isAlive(replica.pid))
})

t.test('started by npm, it ends with the shell between npm and itself', async (t) => {
  const shell = '"$@"; true' // a shell that stays, as npm’s does
  const options = { shell, env: { npm_lifecycle_event: 'start' } }
  const { command, parent, master, replica } = await startHalted(t, [], options)
  await command.has('stderr', /STORED [1-9]/)
  command.kill('SIGKILL') // the shell, and nobody else
  process.kill(replica, 'SIGCONT')
  await until(() => !isAlive(master) && !isAlive(replica))
  await command.has('stderr', /interrupted by the end of its parent/)
  await until(() => readdirSync(parent).length === 0)
  t.pass('everything has gone')
})

t.test('a node that dies is told at once, and the other one is stopped', async (t) => {
  const { command, parent, master, replica } = await startHalted(t, ['--once'])
  await command.has('stderr', /STORED [1-9]/)
  process.kill(replica, 'SIGKILL')
  const ended = await command.ended
  t.equal(ended.code, 6)
  t.match(ended.stderr, 'Cannot go on: the replica has ended with SIGKILL')
  t.equal(errorCode(lastObject(ended)), 'CONNECTION_LOST')
  t.match(ended.stderr, /Acknowledged: \d+ sessions/)
  t.notOk(isAlive(master))
  t.same(readdirSync(parent), [])
})
