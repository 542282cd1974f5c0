/** `travertine up` when things go wrong on the way: Ctrl-C and crashes. */
import { readdirSync } from 'node:fs'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { type Command, errorCode, isAlive, lastObject, type StartOptions, start, until } from './travertine.ts'

interface Started {
  readonly command: Command
  readonly parent: string
  readonly master: number
  readonly replica: number
}

/** With the replica stopped before the load begins: it comes to a halt in the middle, for certain. */
async function startHalted(
  t: Parameters<typeof temporaryDirectory>[0],
  words: readonly string[],
  options: StartOptions = {},
): Promise<Started> {
  const parent = temporaryDirectory(t)
  const command = start(t, ['up', '--demo', ...words], { ...options, env: { ...options.env, TMPDIR: parent } })
  const replica = Number((await command.has('stderr', /replica listens on \S+, pid (\d+)/))[1])
  process.kill(replica, 'SIGSTOP')
  t.teardown(() => {
    if (isAlive(replica)) process.kill(replica, 'SIGKILL')
  })
  const master = Number((await command.has('stderr', /master {2}listens on \S+, pid (\d+)/))[1])
  return { command, parent, master, replica }
}

t.test('Ctrl-C during the load says what was acknowledged, stops both nodes and cleans up', async (t) => {
  const { command, parent, master, replica } = await startHalted(t, ['--once'])
  await command.has('stderr', /STORED [1-9]/)
  command.kill('SIGINT')
  const [, sessions, entries, epoch] = await command.has(
    'stderr',
    /Acknowledged: (\d+) sessions \((\d+) entries\) STORED up to epoch (\d+), 0 sessions \(0 entries\) PROPAGATED up to epoch 0/,
  )
  t.ok(Number(sessions) >= 1 && Number(sessions) <= 129, `${sessions} sessions`)
  t.equal(Number(entries), 100 * (Number(sessions) - 1) + 1)
  t.ok(Number(epoch) >= 1)
  process.kill(replica, 'SIGCONT')
  const ended = await command.ended
  t.equal(ended.code, 130)
  t.match(ended.stderr, 'INTERRUPTED: Cannot finish the demo: interrupted by SIGINT')
  t.match(lastObject(ended), {
    ok: false,
    error: { code: 'INTERRUPTED' },
    entries: 0,
    sessions: 0,
    propagated: 0,
    replicaEntriesVerified: 0,
  })
  t.notOk(isAlive(master) || isAlive(replica))
  t.same(readdirSync(parent), [])
})

t.test('SIGTERM and a closed terminal do the same, with their own exit code', async (t) => {
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    const { command, parent, master, replica } = await startHalted(t, [])
    await command.has('stderr', /STORED [1-9]/)
    command.kill(signal)
    await command.has('stderr', /Acknowledged: \d+ sessions/)
    process.kill(replica, 'SIGCONT')
    t.equal((await command.ended).code, 143)
    t.notOk(isAlive(master) || isAlive(replica))
    t.same(readdirSync(parent), [])
  }
})

t.test('Ctrl-C while the nodes start: nothing is left of them', async (t) => {
  for (const seen of [/replica listens on \S+, pid (\d+)/, /master {2}listens on \S+, pid (\d+)/, undefined]) {
    const parent = temporaryDirectory(t)
    const command = start(t, ['up', '--json'], { env: { TMPDIR: parent } })
    if (seen === undefined) await until(() => readdirSync(parent).length > 0)
    else await command.has('stderr', seen)
    command.kill('SIGINT')
    const { code, stderr } = await command.ended
    t.ok(code === 130 || (code === 0 && seen !== undefined), `${code}`) // 0: both were up by then
    for (const [, pid] of stderr.matchAll(/ pid (\d+)/g)) t.notOk(isAlive(Number(pid)))
    t.same(readdirSync(parent), [])
  }
})

t.test('a second Ctrl-C waits for nobody', async (t) => {
  const { command, parent, master, replica } = await startHalted(t, [])
  await command.has('stderr', /STORED [1-9]/)
  command.kill('SIGINT')
  await command.has('stderr', /Acknowledged/)
  command.kill('SIGINT') // the replica is stopped still, so the first one cannot be done
  t.equal((await command.ended).code, 130)
  await until(() => !isAlive(master) && !isAlive(replica))
  t.same(readdirSync(parent), [])
})

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
