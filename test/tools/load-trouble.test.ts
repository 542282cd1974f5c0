/** `travertine load` in trouble: input that cannot be read, a wish to stop, nodes that die; the account is always exact. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { initNode } from '../../daemon/node.ts'
import { openInput } from '../../tools/load-input.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { SEGMENT_BYTES } from './forged-log.ts'
import { runHere } from './in-process.ts'
import { inputFile, loaded, master } from './load-target.ts'
import { runNode } from './node-pair.ts'
import { type Command, errorCode, lastObject, run, start, until } from './travertine.ts'

t.test('input that cannot be read', async (t) => {
  const { words } = await master(t)
  const folder = join(temporaryDirectory(t), 'folder')
  mkdirSync(folder)
  const files = [
    [join(folder, 'missing'), /found ENOENT/],
    [folder, /found a directory/],
  ] as const
  for (const [file, message] of files) {
    const { code, stdout } = await runHere(['load', file, '--key', 'id', '--json', ...words])
    t.equal(code, 7)
    t.match(lastObject({ stdout }), { ok: false, error: { code: 'INPUT_UNREADABLE', message, where: { file } } })
  }
  const shells = ['"$@" <&-', '"$@" </dev/null', `"$@" <${folder}`]
  for (const shell of shells) {
    const { code, stdout } = await run(t, ['load', '-', '--key', 'id', '--json', ...words], { shell })
    t.equal(code, 7, shell)
    t.equal(errorCode(lastObject({ stdout })), 'INPUT_UNREADABLE', shell)
  }
})

t.test(
  'a file without permission',
  { skip: process.getuid?.() === 0 ? 'root may read everything' : false },
  async (t) => {
    const file = inputFile(t, '{}')
    chmodSync(file, 0)
    const { code, stdout } = await runHere(['load', file, '--key', 'id', '--json'])
    t.equal(code, 7)
    t.match(lastObject({ stdout }), { error: { code: 'INPUT_UNREADABLE', message: /EACCES/ } })
  },
)

t.test('a file that is gone before it is read, while the node is dialled', async (t) => {
  const file = inputFile(t, '{}')
  const { chunks } = openInput(file)
  rmSync(file) // a stream opens its file in the next turn
  await new Promise((resolve) => chunks.once('close', resolve)) // events.once would listen for errors, too
  await t.rejects(chunks.iterator().next(), { code: 'ENOENT' }, 'told to whoever reads, and nobody else')
})

t.test('an empty input is loaded at once', async (t) => {
  const { words } = await master(t)
  const empty = await runHere(['load', inputFile(t, ''), '--key', 'id', ...words])
  t.match(empty, { code: 0, stdout: /^acknowledged 0 records/ })
  const pipe = start(t, ['load', '-', '--key', 'id', ...words])
  pipe.endStdin()
  t.match(await pipe.ended, { code: 0, stdout: /^acknowledged 0 records/ })
  const array = await runHere(['load', inputFile(t, ''), '--format', 'json', '--key', 'id', ...words])
  t.match(array, { code: 7, stderr: /INPUT_INVALID: .*found no array/ }, 'nothing is no array')
})

t.test('refused before anything is read or sent', async (t) => {
  const { directory, address, words } = await master(t)
  const file = inputFile(t, '{"id":1}')
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [['--address', address, '--key', 'id'], 6, 'NO_REPLICA_IN_SET'],
    [words, 2, 'CONFIG_INVALID'],
    [[...words, '--key', 'id', '--format', 'lines'], 2, 'CONFIG_INVALID'],
    [[...words, '--key', 'id', '--channel', '9'], 2, 'CHANNEL_UNKNOWN'],
    [[...words, '--key', 'id', '--batch', '0'], 2, 'CONFIG_INVALID'],
    [[...words, '--key', 'id', '--storage', '18446744073709551616'], 2, 'CONFIG_INVALID'],
    [[...words, '--key', 'id', '--level', 'perhaps'], 2, 'CONFIG_INVALID'],
    [['--address', 'nowhere:', '--key', 'id'], 2, 'CONFIG_INVALID'],
    [['--address', '127.0.0.1:1', '--key', 'id'], 6, 'CONNECT_FAILED'],
  ]
  for (const [more, expected, wanted] of cases) {
    const { code, stdout } = await runHere(['load', file, '--json', ...more])
    t.equal(errorCode(lastObject({ stdout })), wanted)
    t.notOk('sent' in lastObject({ stdout }), 'there is nothing to account for')
    t.equal(code, expected, wanted)
  }
  t.same(loaded(directory), [])
})

t.test('Ctrl-C: reads no further, waits for what is on its way, and says what was acknowledged', async (t) => {
  const { directory, words } = await master(t)
  const command = start(t, ['load', '-', '--key', 'id', '--batch', '2', '--json', ...words])
  command.writeStdin([1, 2, 3, 4, 5].map((id) => `{"id":${id}}\n`).join(''))
  await until(() => loaded(directory).length === 4)
  command.kill('SIGINT')
  const { code, stdout, stderr } = await command.ended
  t.equal(code, 130)
  t.match(lastObject({ stdout }), {
    ok: false,
    error: { code: 'INTERRUPTED' },
    records: 5,
    sent: { records: 4 },
    acknowledged: { sessions: 2, records: 4 },
    notSent: 1,
    unknown: { records: 0 },
    throughLine: 4,
  })
  t.match(stderr, /INTERRUPTED/)
  t.equal(loaded(directory).length, 4)
})

interface Account {
  readonly error: { readonly code: string }
  readonly acknowledged: { readonly records: number }
  readonly unknown: { readonly records: number }
  readonly throughLine: number
}

/** A load from stdin to a node in a process of its own; the first `ids` are in its log, so all but the last are answered. */
async function interactiveLoad(t: Teardown, ids: readonly number[]): Promise<{ node: Command; load: Command }> {
  const directory = join(temporaryDirectory(t), 'master')
  initNode({ directory, role: 'master', segmentBytes: SEGMENT_BYTES })
  const { command: node, port } = await runNode(t, directory)
  const words = ['--key', 'id', '--batch', '1', '--address', `127.0.0.1:${port}`, '--level', 'stored', '--json']
  const load = start(t, ['load', '-', ...words])
  for (const id of ids) {
    load.writeStdin(`{"id":${id}}\n`)
    await until(() => loaded(directory).length === id)
  }
  return { node, load }
}

t.test(
  'a node that is killed and does not come back: what has an answer is acknowledged, the rest is told',
  async (t) => {
    const { node, load } = await interactiveLoad(t, [1, 2, 3])
    node.kill('SIGKILL')
    await load.has('stderr', /the connection is lost/) // it notices by itself, though stdin is quiet
    load.writeStdin('{"id":4}\n')
    load.kill('SIGINT')
    await load.has('stderr', /waits for what is on its way/)
    load.kill('SIGINT')
    const { code, stdout } = await load.ended
    t.equal(code, 130)
    const { error, acknowledged, unknown, throughLine } = lastObject({ stdout }) as unknown as Account // a test above shows its form
    t.equal(error.code, 'INTERRUPTED')
    t.ok(acknowledged.records === 2 || acknowledged.records === 3, 'the last answer may have died with the node')
    t.ok(unknown.records >= 3 - acknowledged.records, 'the fourth may not have been read')
    t.equal(throughLine, acknowledged.records)
  },
)

t.test('a node that does not answer: a first Ctrl-C waits, a second one says what is known and ends', async (t) => {
  const { node, load } = await interactiveLoad(t, [1, 2])
  node.kill('SIGSTOP')
  t.teardown(() => node.kill('SIGCONT'))
  load.writeStdin('{"id":3}\n')
  load.kill('SIGINT')
  await load.has('stderr', /waits for what is on its way/)
  load.kill('SIGINT')
  const { code, stdout } = await load.ended
  t.equal(code, 130)
  const { error, acknowledged } = lastObject({ stdout }) as unknown as Account // a test above shows its form
  t.equal(error.code, 'INTERRUPTED')
  t.ok(acknowledged.records >= 1)
})
