/** `travertine inspect` and `verify` as users have them: what stdout and stderr say, JSON, exit codes. */
import { join } from 'node:path'
import { Writable } from 'node:stream'
import t from 'tap'
import { SlowProgress } from '../../tools/slow-progress.ts'
import { type Teardown, temporaryDirectory } from '../temp-directory.ts'
import { ForgedLog, fingerprint, flipByte, foreignTerm, mastership, put, segmentFile } from './forged-log.ts'
import { runHere } from './in-process.ts'
import { errorCode, lastObject, run } from './travertine.ts'

function log(t: Teardown, epochs: number, channels = 2): ForgedLog {
  const history = () => [mastership(foreignTerm(1n), new Array<number>(channels).fill(0))]
  const forged = new ForgedLog(join(temporaryDirectory(t), 'data'), { channels, history })
  for (let epoch = 1n; epoch <= epochs; epoch++) {
    const channel = Number(epoch) % channels
    forged.session(epoch, { channel })
    forged.seal(epoch, { channel })
  }
  return forged
}

t.test('verify: nothing wrong', async (t) => {
  const { directory } = log(t, 10)
  const before = fingerprint(directory)
  const text = await run(t, ['verify', directory])
  t.match(text, {
    code: 0,
    stderr: '',
    stdout:
      /^master \/.*, 2 channels\nchannel 0 .*10 frames.*\nchannel 1 .*\nepochs {6}10 whole, the last is 10\nno fault found in .*\n$/,
  })
  const json = await runHere(['verify', directory, '--json'])
  t.equal(json.code, 0)
  t.match(lastObject(json), {
    ok: true,
    whole: 10,
    epochs: 10,
    findings: [],
    findingCount: 0,
    channels: [
      { channel: 0, sessions: 5 },
      { channel: 1, sessions: 5 },
    ],
  })
  t.notOk('error' in lastObject(json))
  t.same(fingerprint(directory), before)
})

t.test('verify and inspect: a damaged channel, by file and position; exit code 4', async (t) => {
  const { directory } = log(t, 10)
  flipByte(directory, 1, 300)
  const before = fingerprint(directory)
  const file = segmentFile(directory, 1, 300)
  const verified = await run(t, ['verify', directory])
  t.match(verified, {
    code: 4,
    stdout: /FAULT LOG_DAMAGED: Cannot read channel 1 at position 227: /,
    stderr: /^LOG_DAMAGED: Cannot vouch for .*: found 1 fault, expected none/,
  })
  t.ok(verified.stdout.includes(`(file ${file}, channel 1, offset 227)`))
  const json = lastObject(await runHere(['verify', directory, '--json']))
  const where = { file, channel: 1, offset: 227 }
  t.match(json, {
    ok: false,
    error: { code: 'LOG_DAMAGED', where },
    findings: [{ code: 'LOG_DAMAGED', where }],
    whole: 2,
  })
  const inspected = await run(t, ['inspect', directory])
  t.match(inspected, {
    code: 4,
    stdout: /FAULT {5}LOG_DAMAGED: .*position 227/,
    stderr: /^LOG_DAMAGED: Cannot show all of /,
  })
  t.match(inspected.stdout, /channel 0\n.*\n {2}log {7}positions 0 to \d{4}, clean/, 'the other one is shown')
  const shown = lastObject(await runHere(['inspect', directory, '--json', '--frames']))
  t.match(shown, {
    ok: false,
    error: { code: 'LOG_DAMAGED', where },
    channels: [{ error: null }, { error: { where } }],
  })
  t.same(fingerprint(directory), before)
})

t.test('verify --compare', async (t) => {
  const a = log(t, 6)
  const b = log(t, 6)
  const shorter = log(t, 4)
  t.match(await runHere(['verify', '--compare', a.directory, b.directory]), {
    code: 0,
    stderr: '',
    stdout: /\none history, of the same length\n$/,
  })
  t.match(await runHere(['verify', '--compare', a.directory, shorter.directory]), {
    code: 0,
    stdout: /\none history, B is behind\n$/,
  })
  const position = a.end(1)
  a.session(7n, { channel: 1, entries: [put('a')] })
  b.session(7n, { channel: 1, entries: [put('b')] })
  const differ = await run(t, ['verify', '--compare', a.directory, b.directory])
  t.match(differ, { code: 4, stdout: /PARTED HISTORIES_DIFFER: .*two histories\n$/s, stderr: /^HISTORIES_DIFFER: / })
  const json = lastObject(await runHere(['verify', '--compare', a.directory, b.directory, '--json']))
  t.match(json, {
    ok: false,
    same: false,
    error: { code: 'HISTORIES_DIFFER' },
    partings: [
      { channel: 1, position, epochs: [7, 7], files: [segmentFile(a.directory, 1, 0), segmentFile(b.directory, 1, 0)] },
    ],
  })
})

t.test('inspect: manifest, terms, channels, entries; long output reaches a slow reader whole', async (t) => {
  const forged = log(t, 2, 1)
  const entries = Array.from({ length: 900 }, (_, i) => put(`key-${i}`, 'v'.repeat(i === 899 ? 300_000 : 40)))
  forged.session(3n, { entries })
  forged.seal(3n)
  const { directory } = forged
  const { code, stdout } = await runHere(['inspect', directory, '--entries', '--from', '2', '--limit', '2'])
  t.equal(code, 0)
  t.match(
    stdout,
    /^master .*\ncluster .*\nnode .*\nchannels {4}1, in segments of 64 KiB\nconfig {6}number 1, quorum 0, loosened 0 times\nfence {7}term 1 of node .*\nterm 1 .*positions 0\nepochs {6}the last whole one is 3\nchannel 0\n/,
  )
  t.match(stdout, /\n(channel 0 .*put.*\n){2}\.\.\. and more; shown were 2, see --limit and --from\n$/)
  const shell = '"$@" | (sleep 0.3; cat)'
  const all = await run(t, ['inspect', directory, '--entries', '--json', '--limit', '100000'], { shell })
  const lines = all.stdout.trimEnd().split('\n')
  t.equal(lines.length, 903)
  t.match(JSON.parse(lines[2] ?? ''), {
    entry: { channel: 0, epoch: 3, index: 0, op: 'put', storage: 1, key: 'key-0', version: { major: 3, minor: 0 } },
  })
  t.match(lastObject(all), {
    ok: true,
    role: 'master',
    channels: [{ channel: 0, wholeEnd: forged.end(), lastSeal: { epoch: 3, participants: [0] } }],
    whole: 3,
    isCut: false,
    divergent: [],
  })
})

t.test('what is asked wrongly', async (t) => {
  const { directory } = log(t, 1)
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [['verify', directory, directory], 2, 'CONFIG_INVALID'],
    [['verify', '--compare', directory], 2, 'CONFIG_INVALID'],
    [['verify', `${directory}-not`], 3, 'DIRECTORY_MISSING'],
    [['inspect', temporaryDirectory(t)], 3, 'DIRECTORY_NOT_INITIALISED'],
    [['inspect', directory, '--channel', '2'], 2, 'CHANNEL_UNKNOWN'],
    [['inspect', directory, '--from', '-1'], 2, 'CONFIG_INVALID'],
  ]
  for (const [words, code, error] of cases) {
    const ended = await runHere([...words, '--json'])
    t.equal(ended.code, code, words.join(' '))
    t.equal(errorCode(lastObject(ended)), error)
  }
})

t.test('progress is shown only of what takes more than two seconds', (t) => {
  let written = ''
  const sink = new Writable({
    write: (chunk, _, done) => {
      written += String(chunk)
      done()
    },
  })
  const stream = sink as unknown as NodeJS.WriteStream // no terminal: all that progress uses is write
  let now = 0
  const progress = new SlowProgress('MiB', { stream, now: () => now })
  progress.update(1, 10, '')
  now = 1_999
  progress.update(4, 10, '')
  t.equal(written, '')
  now = 2_000
  progress.update(5, 10, '')
  t.match(written, /50 % +5\/10 MiB/)
  progress.stop()
  new SlowProgress('MiB', { stream, now: () => now }).stop()
  t.end()
})
