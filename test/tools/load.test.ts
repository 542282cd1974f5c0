/** `travertine load`: what it writes and what it says, as users have it: a process against a node. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { inputFile, loaded, master } from './load-target.ts'
import { lastObject, run, start } from './travertine.ts'
import { runningPair, writeRounds } from './written-pair.ts'

t.test('ndjson from a file: every record under its key, its bytes as they are, and a summary', async (t) => {
  const { directory, words } = await master(t, 2)
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
    /^acknowledged 2500 records \(STORED\) in 3 sessions and (1 epoch|[23] epochs), the last is \d+\nchannel {6}1; .* records\/s, .* MiB\/s\n$/,
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
    reconnects: 0,
    records: 2,
    bad: 0,
    notSent: 0,
    sent: { sessions: 2, records: 2 },
    acknowledged: { sessions: 2, records: 2 },
    storedOnly: { sessions: 0, records: 0 },
    lost: { sessions: 0, records: 0 },
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
      const { code, stdout, stderr } = await runHere(['load', file, '--key', 'id', '--json', ...words])
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
  const { code, stdout, stderr } = await runHere(['load', inputFile(t, text), '--key', 'id', '--skip-bad', ...words])
  t.equal(code, 0)
  t.match(stdout, /^acknowledged 30 records/)
  t.match(stdout, /\nbad {10}15 records\n/)
  t.match(stderr, /line 2 is left out: found no JSON/)
  t.equal(stderr.match(/left out/g)?.length, 10, 'not one by one without end')
  t.equal(loaded(directory).length, 30)
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
