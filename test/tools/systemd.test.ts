/** The systemd unit as systemd judges it, and what a node tells systemd, heard on a socket like systemd's own. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Systemd } from '../../tools/systemd.ts'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { newMaster } from './node-pair.ts'
import { NotifySocket, noNotifySocket } from './notify-socket.ts'
import { start, until } from './travertine.ts'

const UNIT = join(PROJECT, 'config/systemd/travertine@.service')
const noAnalyze =
  spawnSync('systemd-analyze', ['--version']).error !== undefined &&
  'systemd-analyze is not installed (Debian: systemd)'

const WORKS = 'STATUS=working: takes sessions'

t.test('systemd-analyze has nothing to say against the unit, and finds it hardened', { skip: noAnalyze }, async (t) => {
  const directory = temporaryDirectory(t)
  for (const name of ['master', 'replica']) {
    const unit = join(directory, `travertine@${name}.service`)
    copyFileSync(UNIT, unit)
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
    t.equal(`${stdout}${stderr}`, '')
    const words = ['security', '--offline=true', '--threshold=20', '--no-pager', unit]
    const security = spawnSync('systemd-analyze', words, { encoding: 'utf8' })
    t.equal(security.status, 0, security.stdout.trimEnd().split('\n').at(-1) ?? '')
  }
  const bad = join(directory, 'bad.service')
  writeFileSync(bad, `${readFileSync(UNIT, 'utf8')}\n[Service]\nNoSuchKey=1\n`)
  t.match(spawnSync('systemd-analyze', ['verify', bad], { encoding: 'utf8' }).stderr, 'NoSuchKey', 'it does complain')
})

t.test(
  'a node tells systemd: ready with a status, alive again and again, stopping',
  { skip: noNotifySocket },
  async (t) => {
    const directory = temporaryDirectory(t)
    const socket = await NotifySocket.listen(t, directory)
    newMaster(join(directory, 'a'))
    const env = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '150000' }
    const node = start(t, ['run', join(directory, 'a'), '--port', '0', '--no-admin', '--json'], { env })
    await until(() => count(socket, 'WATCHDOG=1') >= 2)
    const begin = socket.heard.filter((line) => !line.startsWith('BARRIER'))
    t.same(begin.slice(0, 5), ['STATUS=initialising: recovers its log', 'READY=1', WORKS, 'WATCHDOG=1', WORKS])
    node.kill('SIGTERM')
    t.equal((await node.ended).code, 0)
    await until(() => count(socket, 'STOPPING=1') === 1)
    t.equal(count(socket, 'READY=1'), 1)
  },
)

t.test('a recovery that goes on gets more time, until the node is ready', { skip: noNotifySocket }, async (t) => {
  const socket = await NotifySocket.listen(t, temporaryDirectory(t))
  listenThere(t, socket)
  const systemd = Systemd.of({ NOTIFY_SOCKET: socket.path }, t.fail)
  systemd?.starting(5)
  const asked = (): number => socket.heard.filter((line) => /^EXTEND_TIMEOUT_USEC=\d{8,}$/.test(line)).length
  await until(() => asked() >= 2)
  const health = () => ({ alive: true, threads: [] })
  systemd?.ready({ health, readiness: () => ({ ready: true, state: 'working', reason: 'takes sessions' }) })
  await until(() => count(socket, 'READY=1') === 1)
  await systemd?.stopping()
  await until(() => count(socket, 'STOPPING=1') === 1)
  const begin = socket.heard.indexOf('READY=1')
  t.notMatch(socket.heard.slice(begin).join(), 'EXTEND_TIMEOUT', 'and asks for no more then')
})

t.test(
  'a node with a thread that stands still tells it, and feeds no watchdog',
  { skip: noNotifySocket },
  async (t) => {
    const directory = temporaryDirectory(t)
    const socket = await NotifySocket.listen(t, directory)
    listenThere(t, socket)
    const stuck = { name: 'channel-0', alive: false, silentMs: 20_000 }
    let alive = true
    const systemd = Systemd.of({ NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '60000' }, t.fail)
    systemd?.ready({
      health: () => ({ alive, threads: alive ? [] : [stuck] }),
      readiness: () => ({ ready: alive, state: 'working', reason: alive ? 'takes sessions' : 'no sign of life' }),
    })
    await until(() => count(socket, 'WATCHDOG=1') >= 1)
    alive = false
    await until(() => count(socket, 'STATUS=working: no sign of life') >= 1)
    const fed = count(socket, 'WATCHDOG=1')
    await until(() => count(socket, 'STATUS=working: no sign of life') >= 3)
    t.equal(count(socket, 'WATCHDOG=1'), fed, 'it was not fed any more')
    await systemd?.stopping()
    await until(() => count(socket, 'STOPPING=1') === 1)
  },
)

t.test('without systemd, or without its program, a node runs all the same', async (t) => {
  const directory = temporaryDirectory(t)
  newMaster(join(directory, 'a'))
  const env = { PATH: directory, NOTIFY_SOCKET: '/run/nobody' }
  const node = start(t, ['run', join(directory, 'a'), '--port', '0', '--no-admin', '--json'], { env })
  await node.has('stdout', /\n/)
  await node.has('stderr', /info {2}systemd could not be told/)
  node.kill('SIGTERM')
  t.equal((await node.ended).code, 0)
})

/** systemd-notify looks for the socket in the environment. */
function listenThere(t: { teardown(handler: () => void): unknown }, socket: NotifySocket): void {
  const before = process.env['NOTIFY_SOCKET']
  process.env['NOTIFY_SOCKET'] = socket.path
  t.teardown(() => {
    delete process.env['NOTIFY_SOCKET']
    if (before !== undefined) process.env['NOTIFY_SOCKET'] = before
  })
}

const count = (socket: NotifySocket, line: string): number => socket.heard.filter((one) => one === line).length
