/** `travertine init`: creates, says what comes next, and never touches what is there. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import t from 'tap'
import { TravertineError } from '../../protocol/errors.ts'
import { isUuid } from '../../protocol/ids.ts'
import { initCommand } from '../../tools/init.ts'
import { readManifest } from '../../wal/manifest.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { remountReadOnly, smallFileSystem, temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { errorCode, lastObject, run } from './travertine.ts'

const SMALL = ['--segment-bytes', '65536']
const CLUSTER = '6f1f0c1e-8c3c-4e62-9d0a-2f8f3a1f7b55'

t.test('creates a master, and prints what is needed to go on', async (t) => {
  const directory = join(temporaryDirectory(t), 'a/master')
  const words = [
    'init',
    directory,
    '--role',
    'master',
    '--channels',
    '3',
    '--replica',
    '127.0.0.1:7500',
    '--replica',
    '[::1]:7600',
  ]
  const { code, stdout, stderr } = await run(t, [...words, ...SMALL])
  t.equal(code, 0)
  t.equal(stderr, '')
  const manifest = readManifest(new NodeDisk(), directory)
  t.match(manifest, { role: 'master', channels: 3, segmentBytes: 65_536, config: { number: 1, quorum: 2 } })
  t.same(manifest.config.members, [
    { row: 1, address: '127.0.0.1:7500', inSync: true, via: 0 },
    { row: 2, address: '[::1]:7600', inSync: true, via: 0 },
  ])
  t.match(stdout, new RegExp(`cluster id +${manifest.clusterId}`))
  t.match(stdout, `travertine init REPLICA_DIRECTORY --role replica --channels 3 --cluster-id ${manifest.clusterId}`)
  t.match(stdout, 'travertine run REPLICA_DIRECTORY --host 127.0.0.1 --port 7500')
  t.match(stdout, 'travertine run REPLICA_DIRECTORY --host ::1 --port 7600')
  t.match(stdout, `travertine run ${directory}\n`)
  t.notMatch(stdout, '\u001b', 'no colours into a pipe')
})

t.test('creates a replica of a given cluster; --json prints one object and nothing else', async (t) => {
  const directory = join(temporaryDirectory(t), 'replica')
  const words = ['init', directory, '--role', 'replica', '--cluster-id', CLUSTER, '--json', ...SMALL]
  const { code, stdout, stderr } = await runHere(words)
  t.equal(code, 0)
  t.equal(stderr, '')
  const object = JSON.parse(stdout)
  const { clusterId, nodeId } = readManifest(new NodeDisk(), directory)
  t.ok(isUuid(nodeId))
  t.equal(clusterId, CLUSTER)
  t.same(object, {
    ok: true,
    directory,
    role: 'replica',
    clusterId,
    nodeId,
    channels: 1,
    segmentBytes: 65_536,
    replicas: [],
  })
})

t.test('an existing directory is used if it is empty, and left alone if not', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await runHere(['init', directory, '--role', 'master', ...SMALL])
  t.equal(first.code, 0)
  const manifest = readFileSync(join(directory, 'manifest'))
  const names = readdirSync(directory)
  const again = await run(t, ['init', directory, '--role', 'master', '--json', ...SMALL])
  t.equal(again.code, 3)
  t.equal(errorCode(lastObject(again)), 'DIRECTORY_NOT_EMPTY')
  t.match(again.stderr, `DIRECTORY_NOT_EMPTY: Cannot create a data directory: found files in ${directory}`)
  t.same(readFileSync(join(directory, 'manifest')), manifest)
  t.same(readdirSync(directory), names)
})

t.test('a directory with somebody else’s file in it is not empty', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'thesis.txt'), 'x')
  const { code } = await runHere(['init', directory, '--role', 'master', ...SMALL])
  t.equal(code, 3)
  t.same(readdirSync(directory), ['thesis.txt'])
})

t.test('what cannot be a directory', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'file')
  writeFileSync(file, 'x')
  for (const path of [file, join(file, 'below')]) {
    const ended = await runHere(['init', path, '--role', 'master', '--json', ...SMALL])
    t.equal(ended.code, 3, path)
    t.match(lastObject(ended), { ok: false, error: { where: { file: path } } })
  }
  t.equal(readFileSync(file, 'utf8'), 'x')
  const long = await runHere(['init', join(directory, 'd'.repeat(300)), '--role', 'master', '--json', ...SMALL])
  t.equal(long.code, 3, 'no reason to doubt the disk')
  t.match(long.stderr, 'choose a shorter')
})

t.test('what it says to run next can be run', async (t) => {
  const directory = join(temporaryDirectory(t), "it's mine")
  const { stdout } = await runHere(['init', directory, '--role', 'master', ...SMALL])
  const [, path = ''] = /^ +travertine run (.+)$/m.exec(stdout) ?? []
  t.equal(execFileSync('sh', ['-c', `printf %s ${path}`], { encoding: 'utf8' }), directory)
})

t.test('a read-only file system', async (t) => {
  const { directory, reason } = smallFileSystem(t, 1_000_000)
  if (reason === '') mkdirSync(join(directory, 'empty'))
  const obstacle = reason === '' ? remountReadOnly(directory) : reason
  if (obstacle !== '') {
    t.pass('a read-only file system', { skip: obstacle })
    return
  }
  for (const path of [join(directory, 'empty'), join(directory, 'new'), join(directory, 'new/er')]) {
    const ended = await runHere(['init', path, '--role', 'master', '--json', ...SMALL])
    t.equal(ended.code, 3, path)
    t.equal(errorCode(lastObject(ended)), 'DIRECTORY_READ_ONLY')
  }
})

t.test('a full disk: says so, and leaves nothing that looks like a data directory', async (t) => {
  const { directory, reason } = smallFileSystem(t, 100_000)
  if (reason !== '') {
    t.pass('a full disk', { skip: reason })
    return
  }
  const path = join(directory, 'new')
  const ended = await runHere(['init', path, '--role', 'master', '--json', '--segment-bytes', '1048576'])
  t.equal(ended.code, 5)
  t.equal(errorCode(lastObject(ended)), 'DISK_FULL')
  t.notOk(readdirSync(path).includes('manifest'))
})

t.test('settings that cannot be: exit code 2, and no directory', async (t) => {
  const parent = temporaryDirectory(t)
  const directory = join(parent, 'new')
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['no role', []],
    ['no such role', ['--role', 'boss']],
    ['a replica without a cluster', ['--role', 'replica']],
    ['a cluster id that is none', ['--role', 'replica', '--cluster-id', 'mine']],
    ['an upper-case cluster id', ['--role', 'replica', '--cluster-id', CLUSTER.toUpperCase()]],
    ['no channel', ['--role', 'master', '--channels', '0']],
    ['too many channels', ['--role', 'master', '--channels', '65']],
    ['a fraction', ['--role', 'master', '--channels', '1.5']],
    ['a number in words', ['--role', 'master', '--channels', 'two']],
    ['tiny segments', ['--role', 'master', '--segment-bytes', '1']],
    ['a replica of a replica', ['--role', 'replica', '--cluster-id', CLUSTER, '--replica', '127.0.0.1:7500']],
    ['an address with a blank', ['--role', 'master', '--replica', 'foo bar:1']],
    ['an address that is too long', ['--role', 'master', '--replica', `${'h'.repeat(300)}:1`]],
    ['a port that is none', ['--role', 'master', '--replica', '127.0.0.1:70000']],
    ['the same replica twice', ['--role', 'master', '--replica', 'a:1', '--replica', 'a:1']],
    ['an unknown option', ['--role', 'master', '--fast']],
    ['two directories', [join(parent, 'other'), '--role', 'master']],
  ]
  for (const [name, words] of cases) {
    const refused = await initCommand()
      .parseAsync([directory, ...words, '--json'], { from: 'user' })
      .then(
        () => undefined,
        (error: unknown) => error,
      )
    const isUsage = refused instanceof CommanderError && refused.exitCode === 1 // travertine.ts makes it CONFIG_INVALID
    t.ok(isUsage || (refused instanceof TravertineError && refused.code === 'CONFIG_INVALID'), `${name}: ${refused}`)
  }
  for (const words of [
    ['--role', 'boss'],
    ['--role', 'replica'],
  ]) {
    const ended = await runHere(['init', directory, ...words, '--json'])
    t.equal(ended.code, 2)
    t.equal(errorCode(lastObject(ended)), 'CONFIG_INVALID')
    t.match(ended.stderr, 'CONFIG_INVALID: Cannot ')
  }
  t.same(readdirSync(parent), [])
})

t.test('an empty path is an unset variable, not the working directory', async (t) => {
  const cwd = temporaryDirectory(t)
  const { code, stderr } = await run(t, ['init', '', '--role', 'master', ...SMALL], { cwd })
  t.equal(code, 2)
  t.match(stderr, 'empty')
  t.same(readdirSync(cwd), [])
})
