/** `travertine tail` as users have it: what it prints, how it follows, and how it ends. */
import { join } from 'node:path'
import t from 'tap'
import { jsonText } from '../../tools/output.ts'
import { readLog } from '../../tools/read-log.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster, newReplica, openChannel, runNode } from './node-pair.ts'
import { errorCode, freePorts, lastObject, run, start } from './travertine.ts'

type Line = Readonly<Record<string, unknown>>
const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line) // of our own command; its form is tested

/** A master and a replica that stream, and the address of each. */
async function pair(t: Teardown) {
  const root = temporaryDirectory(t)
  const [m, r] = [join(root, 'm'), join(root, 'r')]
  const port = await freePorts(3)
  const clusterId = newMaster(m, [`127.0.0.1:${port}`], undefined, 2)
  newReplica(r, clusterId, 2)
  const replica = await runNode(t, r, ['--port', String(port)])
  const master = await runNode(t, m)
  const { client, channel } = await openChannel(t, master.port)
  const put = (storage: bigint, key: string | Buffer, value: string | Buffer) =>
    client.write([{ op: 'put', storage, key, value: Buffer.from(value) }], { level: 'propagated' })
  return { m, master, replica, client, channel, put, on: (node: { port: number }) => `127.0.0.1:${node.port}` }
}

interface Teardown {
  teardown(handler: () => unknown): unknown
}

t.test('it prints what was committed, with its place and version, from a master and from a replica', async (t) => {
  const { m, master, replica, client, put, on } = await pair(t)
  const commit = await put(1n, 'Rome', 'urbs')
  await put(2n, Buffer.from([0xff, 0]), Buffer.from([0xfe]))
  await client.write(
    [
      { op: 'remove', storage: 1n, key: 'Rome' },
      { op: 'add_storage', storage: 5n },
    ],
    {
      level: 'propagated',
    },
  )
  const ended = await run(t, ['tail', on(master)])
  t.same([ended.code, ended.stderr], [0, ''])
  const lines = linesOf(ended.stdout)
  const entries = [...readLog({ directory: m }).entries()]
  t.same(
    lines.map(({ epoch, channel, position, index }) => [epoch, channel, position, index]),
    entries.map(({ epoch, channel, position, index }) => [Number(epoch), channel, position, index]),
    'in the order and with the places of the log',
  )
  t.match(lines[0], {
    epoch: Number(commit.epoch),
    term: 1,
    op: 'put',
    storage: 1,
    key: 'Rome',
    value: 'urbs',
    version: { major: Number(commit.epoch) },
  })
  const versionsOf = (list: readonly unknown[]): string[] => list.map((v) => jsonText(v).replaceAll('"', ''))
  t.same(versionsOf(lines.map((line) => line['version'])), versionsOf(entries.map(({ entry }) => entry.version)))
  t.match(lines[1], { storage: 2, keyHex: 'ff00', valueHex: 'fe' })
  t.match(lines.slice(2), [
    { op: 'remove', key: 'Rome' },
    { op: 'add_storage', storage: 5 },
  ])
  t.notOk('key' in (lines[3] ?? {}))

  const following = start(t, ['tail', on(replica), '--follow'])
  await following.has('stdout', /add_storage/)
  await put(1n, 'later', 'x')
  await following.has('stdout', /later/)
  following.kill('SIGINT')
  const end = await following.ended
  t.same([end.code, end.stderr], [0, ''], 'Ctrl-C is the ordinary end of --follow')
  t.strictSame(linesOf(end.stdout).slice(0, lines.length), lines, 'the replica shows the same')
  t.equal(linesOf(end.stdout).length, lines.length + 1)

  const some = await runHere([
    'tail',
    on(master),
    '--from',
    String(commit.epoch + 1n),
    '--storage',
    '1',
    '--storage',
    '5',
  ])
  t.match(linesOf(some.stdout), [{ op: 'remove' }, { op: 'add_storage' }, { key: 'later' }])
  const two = await runHere(['tail', on(master), '--limit', '2'])
  t.strictSame([two.code, linesOf(two.stdout)], [0, lines.slice(0, 2)])
})

t.test('it follows over a restart of the node, and says so', async (t) => {
  const directory = join(temporaryDirectory(t), 'm')
  newMaster(directory)
  const port = String(await freePorts(2))
  const before = await runNode(t, directory, ['--port', port])
  const write = async (key: string): Promise<unknown> => {
    const { client } = await openChannel(t, Number(port))
    return client.write([{ op: 'put', storage: 1n, key, value: Buffer.from('v') }], { level: 'stored' })
  }
  await write('one')
  const tail = start(t, ['tail', `127.0.0.1:${port}`, '--follow'])
  await tail.has('stdout', /one/)
  before.command.kill('SIGKILL')
  await before.command.ended
  await tail.has('stderr', /connects again: CONNECTION_LOST/)
  await runNode(t, directory, ['--port', port])
  await tail.has('stderr', /goes on at 127/)
  await write('two')
  await tail.has('stdout', /two/)
  tail.kill('SIGTERM')
  const end = await tail.ended
  t.equal(end.code, 0)
  t.match(linesOf(end.stdout), [
    { key: 'one', term: 1 },
    { key: 'two', term: 2 },
  ])
  t.equal(linesOf(end.stdout).length, 2)
})

t.test('how it ends otherwise', async (t) => {
  const directory = join(temporaryDirectory(t), 'm')
  newMaster(directory)
  const node = await runNode(t, directory)
  const address = `127.0.0.1:${node.port}`
  const empty = await runHere(['tail', address])
  t.same([empty.code, empty.stdout, empty.stderr], [0, '', 'found no committed entries\n'])

  const { client } = await openChannel(t, node.port)
  const entries = Array.from({ length: 5_000 }, (_, i) => ({
    op: 'put' as const,
    storage: 1n,
    key: `key ${i}`,
    value: Buffer.alloc(100),
  }))
  await client.write(entries, { level: 'stored' })
  const closed = start(t, ['tail', address, '--follow'])
  await closed.has('stdout', /key 1/)
  closed.closeReader('stdout')
  t.equal((await closed.ended).code, 141, 'whoever reads has gone')

  const nobody = await runHere(['tail', `127.0.0.1:${await freePorts(1)}`, '--json'])
  t.same([nobody.code, errorCode(lastObject(nobody))], [6, 'CONNECT_FAILED'])
  for (const words of [
    ['--from', '-1'],
    ['--storage', 'x'],
    ['--limit', '0'],
    ['a', 'b'],
  ]) {
    t.equal((await runHere(['tail', ...words])).code, 2, words.join(' '))
  }
})
