/** `travertine load`: what it writes, what it says, and how it ends, as users have it: a process against a node. */
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { initNode, startNode } from '../../daemon/node.ts'
import { readLog } from '../../tools/read-log.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { CLUSTER, SEGMENT_BYTES } from './forged-log.ts'
import { runNode } from './node-pair.ts'
import { type Command, errorCode, lastObject, run, start, until } from './travertine.ts'
import { runningPair, writeRounds } from './written-pair.ts'

/** A master without replicas, in this process. */
async function master(t: Teardown): Promise<{ directory: string; address: string; words: readonly string[] }> {
  const directory = join(temporaryDirectory(t), 'master')
  initNode({ directory, role: 'master', clusterId: CLUSTER, channels: 2, segmentBytes: SEGMENT_BYTES })
  const node = await startNode({ directory, port: 0 })
  t.teardown(() => node.close())
  const address = `127.0.0.1:${node.port}`
  return { directory, address, words: ['--address', address, '--level', 'stored'] }
}

function inputFile(t: Teardown, text: string | Buffer): string {
  const file = join(temporaryDirectory(t), 'input')
  writeFileSync(file, text)
  return file
}

/** Key and value of every entry in the log. */
function loaded(directory: string): readonly (readonly [string, string, bigint, number])[] {
  return [...readLog({ directory }).entries()].map(({ entry, channel }) => {
    if (entry.op !== 'put') throw new Error(entry.op)
    return [Buffer.from(entry.key).toString(), Buffer.from(entry.value).toString(), entry.storage, channel] as const
  })
}

t.test('ndjson from a file: every record under its key, its bytes as they are, and a summary', async (t) => {
  const { directory, words } = await master(t)
  const records = Array.from({ length: 2500 }, (_, id) => `{"id":${id},  "name":"Zürich ${id}"}`)
  const file = inputFile(t, records.join('\r\n'))
  const { code, stdout, stderr } = await run(t, [
    'load',
    file,
    '--key',
    'id',
    '--storage',
    '7',
    '--channel',
    '1',
    ...words,
  ])
  t.equal(code, 0, stderr)
  t.match(
    stdout,
    /^acknowledged 2500 records \(STORED\) in 3 sessions and [1-3] epochs, the last is \d+\nchannel {6}1; .* records\/s, .* MiB\/s\n$/,
  )
  t.equal(stderr, '', 'no bar where there is no terminal')
  t.same(
    loaded(directory),
    records.map((record, id) => [String(id), record, 7n, 1]),
  )
})

t.test('to PROPAGATED, by default, with --json, through the address of a replica', async (t) => {
  const pair = await runningPair(t, temporaryDirectory(t), 1)
  await writeRounds(pair, 1) // the replica has met its master: it can say where that is
  const file = inputFile(t, '{"k":"a"}\n\n  \n{"k":"b"}\n')
  const { code, stdout } = await run(t, [
    'load',
    file,
    '--key',
    'k',
    '--batch',
    '1',
    '--json',
    '--address',
    pair.replicaAddress,
  ])
  t.equal(code, 0)
  const { seconds, recordsPerSecond, bytesPerSecond, ...facts } = lastObject({ stdout })
  t.same(facts, {
    ok: true,
    input: file,
    level: 'propagated',
    channel: 0,
    records: 2,
    bad: 0,
    notSent: 0,
    sent: { sessions: 2, records: 2 },
    acknowledged: { sessions: 2, records: 2 },
    storedOnly: { sessions: 0, records: 0 },
    unknown: { sessions: 0, records: 0 },
    notApplied: { sessions: 0, records: 0 },
    sessions: 2,
    epochs: facts['epochs'],
    lastEpoch: facts['lastEpoch'],
    throughLine: 4,
    bytes: 18,
  })
  t.match(
    { seconds, recordsPerSecond, bytesPerSecond },
    { seconds: Number, recordsPerSecond: Number, bytesPerSecond: Number },
  )
  await pair.stop()
  t.same(
    loaded(pair.replicaDirectory).map(([key]) => key),
    ['c0-r0-a', 'c0-r0-b', 'a', 'b'],
  )
})

t.test('lines and a JSON array, from stdin', async (t) => {
  const { directory, words } = await master(t)
  const lines = start(t, ['load', '-', '--format', 'lines', ...words])
  lines.writeStdin('one\n\nthr')
  lines.writeStdin('ee')
  lines.endStdin()
  t.equal((await lines.ended).code, 0)
  const array = start(t, ['load', '-', '--format', 'json', '--key', 'id', ...words])
  array.writeStdin('[{"id":"x", "v":[1,2]},\n')
  array.writeStdin(' {"id":2}]\n')
  array.endStdin()
  t.equal((await array.ended).code, 0)
  t.same(
    loaded(directory).map(([key, value]) => [key, value]),
    [
      ['1', 'one'],
      ['2', ''],
      ['3', 'three'],
      ['x', '{"id":"x", "v":[1,2]}'],
      ['2', '{"id":2}'],
    ],
  )
})

t.test(
  'a broken line, and a line without the key: refused with the line; what stands before it is loaded',
  async (t) => {
    const { directory, words } = await master(t)
    const bad = [
      ['{"id":1}\n{"id":2}\n{"id":3\n{"id":4}\n', 3, /found no JSON/],
      ['{"id":5}\n{"no":6}\n', 2, /found no such field, expected a text or a number in the field "id"/],
    ] as const
    for (const [text, line, found] of bad) {
      const file = inputFile(t, text)
      const { code, stdout, stderr } = await run(t, ['load', file, '--key', 'id', '--json', ...words])
      t.equal(code, 7)
      const object = lastObject({ stdout })
      t.match(object, {
        ok: false,
        error: { code: 'INPUT_INVALID', message: found, where: { file, line, key: 'id' } },
        acknowledged: { records: line - 1 },
        throughLine: line - 1,
        bad: 1,
        notSent: 0,
      })
      t.match(stderr, /^INPUT_INVALID: /)
    }
    t.same(
      loaded(directory).map(([key]) => key),
      ['1', '2', '5'],
    )
  },
)

t.test('--skip-bad counts what is bad and loads the rest', async (t) => {
  const { directory, words } = await master(t)
  const good = Array.from({ length: 30 }, (_, id) => `{"id":${id}}`)
  const text = good.flatMap((record, i) => (i % 2 === 0 ? [record, '{"id"'] : [record])).join('\n')
  const { code, stdout, stderr } = await run(t, ['load', inputFile(t, text), '--key', 'id', '--skip-bad', ...words])
  t.equal(code, 0)
  t.match(stdout, /^acknowledged 30 records/)
  t.match(stdout, /\nbad {10}15 records\n/)
  t.match(stderr, /line 2 is left out: found no JSON/)
  t.equal(stderr.match(/left out/g)?.length, 10, 'not one by one without end')
  t.equal(loaded(directory).length, 30)
})

t.test('input that cannot be read', async (t) => {
  const { words } = await master(t)
  const folder = join(temporaryDirectory(t), 'folder')
  mkdirSync(folder)
  const files = [
    [join(folder, 'missing'), /found ENOENT/],
    [folder, /found a directory/],
  ] as const
  for (const [file, message] of files) {
    const { code, stdout } = await run(t, ['load', file, '--key', 'id', '--json', ...words])
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
    const { code, stdout } = await run(t, ['load', file, '--key', 'id', '--json'])
    t.equal(code, 7)
    t.match(lastObject({ stdout }), { error: { code: 'INPUT_UNREADABLE', message: /EACCES/ } })
  },
)

t.test('an empty input is loaded at once', async (t) => {
  const { words } = await master(t)
  const empty = await run(t, ['load', inputFile(t, ''), '--key', 'id', ...words])
  t.match(empty, { code: 0, stdout: /^acknowledged 0 records/ })
  const pipe = start(t, ['load', '-', '--key', 'id', ...words])
  pipe.endStdin()
  t.match(await pipe.ended, { code: 0, stdout: /^acknowledged 0 records/ })
  const array = await run(t, ['load', inputFile(t, ''), '--format', 'json', '--key', 'id', ...words])
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
    [['--address', 'nowhere', '--key', 'id'], 2, 'VALUE_INVALID'],
    [['--address', '127.0.0.1:1', '--key', 'id'], 6, 'CONNECT_FAILED'],
  ]
  for (const [more, expected, wanted] of cases) {
    const { code, stdout } = await run(t, ['load', file, '--json', ...more])
    t.equal(errorCode(lastObject({ stdout })), wanted)
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

t.test('a node that is killed in the middle: what has an answer is acknowledged, the rest is unknown', async (t) => {
  const { node, load } = await interactiveLoad(t, [1, 2, 3])
  node.kill('SIGKILL')
  const { code, stdout } = await load.ended // it notices by itself, though stdin is open
  t.equal(code, 6)
  const { error, acknowledged, unknown, throughLine } = lastObject({ stdout }) as unknown as Account // a test above shows its form
  t.equal(error.code, 'CONNECTION_LOST')
  t.ok(acknowledged.records === 2 || acknowledged.records === 3, 'the last answer may have died with the node')
  t.equal(unknown.records, 3 - acknowledged.records)
  t.equal(throughLine, acknowledged.records)
})

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

t.test('on a terminal there is a bar, and results stay on stdout', { skip: scriptIsMissing() }, async (t) => {
  const { words } = await master(t)
  const file = inputFile(t, Array.from({ length: 5000 }, (_, id) => `{"id":${id}}`).join('\n'))
  const out = join(temporaryDirectory(t), 'out')
  const shell = `script -qec "$(printf '%s ' "$@") > ${out}" /dev/null`
  const { stdout } = await run(t, ['load', file, '--key', 'id', '--json', ...words], { shell })
  t.match(stdout, /[█░]+ \d+ % .*MiB .*records/)
})

function scriptIsMissing(): string | false {
  return spawn('script', ['--version'], { stdio: 'ignore' }).on('error', () => undefined).pid === undefined
    ? 'no script(1)'
    : false
}
