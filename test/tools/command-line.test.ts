/** What holds for every sub-command: help with examples and exit codes, refusals, JSON, colours, and docs/CLI.md. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ERROR_CODES, isErrorCode, TravertineError } from '../../protocol/errors.ts'
import { nodeAddress } from '../../tools/command-line.ts'
import { EXIT_CODE_MEANINGS, ExitCode, exitCodeOf, exitCodeOfSignal, InterruptedError } from '../../tools/exit-codes.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { type Ended, errorCode, lastObject, run, start } from './travertine.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const MEANINGS = Object.entries(EXIT_CODE_MEANINGS)

/** The help of each sub-command that the program itself lists, by its name. */
async function readHelp(): Promise<ReadonlyMap<string, Ended>> {
  const { stdout } = await runHere(['--help'])
  const [, list = ''] = /\nCommands:\n([\s\S]+?)\n\n/.exec(stdout) ?? []
  const help = new Map<string, Ended>()
  for (const [, name = ''] of list.matchAll(/^ {2}([a-z]+) /gm)) {
    if (name !== 'help') help.set(name, await runHere([name, '--help']))
  }
  return help
}

const HELP = await readHelp()

t.test('a node is named in one way everywhere: host:port, or a host that listens on the default port', async (t) => {
  const directory = join(temporaryDirectory(t), 'node')
  const made = await runHere([
    'init',
    directory,
    '--role',
    'master',
    '--replica',
    'db.example',
    '--replica',
    '[::1]',
    '--json',
  ])
  t.same(lastObject(made)['replicas'], ['db.example:7400', '[::1]:7400'])
  t.same(['db.example', '10.0.0.1:7401', '[fe80::1]', '[fe80::1]:1'].map(nodeAddress), [
    'db.example:7400',
    '10.0.0.1:7401',
    '[fe80::1]:7400',
    '[fe80::1]:1',
  ])
  const lines = [
    ['tail'],
    ['status'],
    ['status', '127.0.0.1:7400'],
    ['member', 'add'],
    ['member', 'list', '--node'],
    ['policy', '--node'],
    ['load', directory, '--key', 'id', '--address'],
    ['run', directory, '--feed'],
    ['init', `${directory}-2`, '--join'],
    ['init', `${directory}-2`, '--role', 'master', '--replica'],
  ]
  const wrong = ['127.0.0.1:0', '127.0.0.1:65536', ':7400', '::1', 'a b', '']
  for (const [index, line] of lines.entries()) {
    const text = wrong[index % wrong.length]!
    const ended = await runHere([...line, text, '--json'])
    t.equal(ended.code, 2, `${line.join(' ')} ${text}`)
    t.equal(errorCode(lastObject(ended)), 'CONFIG_INVALID')
    t.match(ended.stderr, `'${text}' is invalid`)
    t.match(ended.stderr, 'Expected host:port')
  }
  for (const text of wrong) t.throws(() => nodeAddress(text), { code: 'commander.invalidArgument' }, text)
  t.notOk(existsSync(`${directory}-2`), 'nothing was done')
})

t.test('the help of every command has examples that fit its options, and its exit codes', (t) => {
  t.same([...HELP.keys()].sort(), [
    'completion',
    'config',
    'init',
    'inspect',
    'load',
    'member',
    'policy',
    'run',
    'status',
    'tail',
    'up',
    'verify',
  ])
  for (const [name, { code, stdout, stderr }] of HELP) {
    t.equal(code, 0)
    t.equal(stderr, '')
    const [, examples = ''] = /\nExamples?:\n([\s\S]+?)\n\n/.exec(stdout) ?? []
    const lines = examples.split('\n').filter((line) => line !== '')
    t.ok(lines.length > 0, `${name} has an example`)
    for (const line of lines) {
      t.match(line, new RegExp(`travertine ${name}\\b`))
      for (const [option] of line.matchAll(/ (--[a-z-]+)/g)) t.match(stdout, `${option.trim()}`, `${line} fits`)
    }
    const [, codes = ''] = /\nExit codes:\n([\s\S]+)$/.exec(stdout) ?? []
    const listed = [...codes.matchAll(/^ {2}(\d+) +(.+)$/gm)].map(([, number, meaning]) => [number, meaning])
    t.ok(listed.length >= 3, `${name} lists its exit codes`)
    for (const [number, meaning] of listed) t.equal(EXIT_CODE_MEANINGS[Number(number) as ExitCode], meaning) // undefined would differ
    t.match(stdout, '--json')
  }
  t.end()
})

t.test('docs/CLI.md has the same exit codes, and a section per command with all its options', (t) => {
  const page = readFileSync(join(ROOT, 'docs/CLI.md'), 'utf8')
  const [, table = ''] = /\n## Exit codes\n[\s\S]*?\|---\|---\|\n([\s\S]+?)\n\n/.exec(page) ?? []
  const rows = table.split('\n').map((row) => /^\| (\d+) \| (.+) \|$/.exec(row)?.slice(1))
  t.same(rows, MEANINGS)
  for (const [name, { stdout }] of HELP) {
    const [section] = new RegExp(`\\n## ${name}\\n[\\s\\S]+?(?=\\n## |$)`).exec(page) ?? ['']
    const [, list = ''] = /\nOptions:\n([\s\S]+?)\n\n/.exec(stdout) ?? []
    const options = [...list.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option = '']) => option)
    for (const option of options.filter((one) => one !== '--help')) {
      t.match(section, `${option}`, `${name} ${option} is on the page`)
    }
  }
  t.end()
})

t.test('every error has an exit code of the table, and a defect has its own', (t) => {
  for (const code of Object.keys(ERROR_CODES)) {
    if (!isErrorCode(code)) throw new Error(code)
    const exitCode = exitCodeOf(new TravertineError(code, 'Cannot do it'))
    t.ok(exitCode in EXIT_CODE_MEANINGS && exitCode !== ExitCode.DONE, `${code} ${exitCode}`)
  }
  t.equal(exitCodeOf(new TypeError('x')), ExitCode.DEFECT)
  t.equal(exitCodeOf(undefined), ExitCode.DEFECT)
  t.equal(exitCodeOfSignal('SIGINT'), 130)
  t.equal(exitCodeOfSignal('SIGTERM'), 143)
  t.equal(exitCodeOf(new InterruptedError('x', { text: 'SIGTERM', exitCode: 143 })), 143)
  t.end()
})

t.test('a wrong command line: exit code 2, what is wrong, and what to look at', async (t) => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['rn'], /unknown command 'rn'[\s\S]+Did you mean run\?/],
    [['run'], /found no data directory/],
    [['init', '--role', 'master'], /missing required argument 'directory'/],
    [['init', 'a'], /required option '--role <role>' not specified/],
    [['run', 'a', 'b'], /too many arguments/],
    [['run', 'a', '--prot', '1'], /unknown option '--prot'[\s\S]+Did you mean --port\?/],
    [['run', 'a', '--port'], /'--port <number>' argument missing/],
    [['--frobnicate'], /unknown option '--frobnicate'/],
    [['help', 'nothing'], /./],
    [[], /found no command[\s\S]+travertine --help/],
  ]
  for (const [words, says] of cases) {
    const ended = await runHere(words)
    t.equal(ended.code, 2, words.join(' '))
    t.match(ended.stderr, says)
    t.equal(ended.stdout, '', words.join(' '))
    t.notMatch(ended.stderr, /Defect|\n +at /, 'no stack traces')
  }
  const json = await run(t, ['run', '--json'])
  t.equal(json.code, 2, 'of a process, too')
  t.equal(errorCode(lastObject(json)), 'CONFIG_INVALID')
})

t.test('--version is that of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const shown = { code: 0, signal: null, stdout: `${version}\n`, stderr: '' }
  t.same(await run(t, ['--version']), shown)
  t.same(await runHere(['-V']), shown)
})

t.test('an error is text on stderr; with --json one object on stdout as well', async (t) => {
  const plain = await runHere(['run', '/does/not/exist'])
  t.equal(plain.stdout, '')
  t.equal(
    plain.stderr,
    'DIRECTORY_MISSING: Cannot open data directory /does/not/exist: it does not exist (file /does/not/exist)\n' +
      '  create it with `travertine init`\n',
  )
  const json = await run(t, ['run', '/does/not/exist', '--json'])
  t.equal(json.stderr, plain.stderr)
  t.same(JSON.parse(json.stdout), {
    ok: false,
    error: {
      code: 'DIRECTORY_MISSING',
      message: 'Cannot open data directory /does/not/exist: it does not exist',
      hint: 'create it with `travertine init`',
      where: { file: '/does/not/exist' },
    },
  })
  const behind = await runHere(['run', '--', '--json'])
  t.equal(behind.stdout, '', 'behind -- it is a path')
})

t.test('a reader of stdout that goes away ends a command quietly', async (t) => {
  // the right side closes the pipe and says so, and only then the command begins
  const shell = '{ read go; "$@"; echo "code $?" >&2; } | { exec <&-; echo closed >&2; }'
  const command = start(t, ['--help'], { shell })
  await command.has('stderr', /closed/)
  command.type('go\n')
  const { stderr } = await command.ended
  t.equal(stderr, 'closed\ncode 141\n')
})
