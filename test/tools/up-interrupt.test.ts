/** `travertine up` and Ctrl-C: what was acknowledged is said, and nothing is left behind. */
import { readdirSync } from 'node:fs'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { QUICK_TO_START, startHalted } from './halted-demo.ts'
import { isAlive, lastObject, start, until } from './travertine.ts'

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
    const command = start(t, ['up', '--channels', '1', '--json'], { env: { ...QUICK_TO_START, TMPDIR: parent } })
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
