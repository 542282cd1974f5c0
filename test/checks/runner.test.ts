/**
 * What `npm test` says is true: the runner is given test files that pass, fail in each way a file can fail, hang, skip,
 * or leave a process behind. Its figures, its exit code and its end within the time limit are what everybody trusts.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { PROJECT } from '../project.ts'

/** Plain TAP: a file that does not load tap starts ten times as fast. */
const PASS = `console.log('ok 1 - one\\nok 2 - two\\n1..2')\n`
const TAP = `import t from 'tap'\n`
const TAP_PASS = `${TAP}t.test('passes', async (t) => { t.ok(true); t.equal(1, 1) })\n`

interface Outcome {
  readonly code: number | null
  readonly lines: readonly string[]
  readonly closing: string | undefined
}

/** Runs the runner on files made of `bodies`. */
function run(t: Test, bodies: Readonly<Record<string, string>>, ...args: readonly string[]): Outcome {
  const files = Object.entries(bodies).map(([name, body]) => [`${name}.js`, body])
  const root = t.testdir({ 'package.json': '{ "type": "module" }', ...Object.fromEntries(files) })
  return runIn(root, ...args)
}

function runIn(root: string, ...args: readonly string[]): Outcome {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TAP')))
  const all = [`${PROJECT}tools/dev/test.mjs`, '--root', root, '--tap', `${root}/run.tap`, ...args]
  const { status, stdout } = spawnSync(process.execPath, all, { env, encoding: 'utf8', timeout: 60_000 })
  const lines = stdout.trimEnd().split('\n')
  return { code: status, lines, closing: lines.at(-1) }
}

const asFiles = (bodies: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(bodies).map(([name, body]) => [`${name.replaceAll(/\W+/g, '-')}.test`, body]))

const LEAVING = `import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
writeFileSync(new URL('./pid', import.meta.url), String(child.pid))
child.unref()
${PASS}`

t.test(
  'passes and skips are counted, with reasons; a process left behind holds nothing up, and is ended',
  async (t) => {
    const skipping = `${TAP_PASS}t.test('no disk', { skip: 'this system has no disk' }, () => {})\n`
    const outcome = run(t, { 'a.test': LEAVING, 'b.test': skipping, helper: 'process.exit(1)\n' })
    t.equal(outcome.closing, '4 passed, 0 failed, 1 skipped')
    t.equal(outcome.code, 0)
    t.ok(outcome.lines.includes('  b.test.js > no disk: this system has no disk'))
    const state = processState(Number(readFileSync(`${t.testdirName}/pid`, 'utf8')))
    t.ok(state === undefined || state === 'Z', 'gone, or dead and not yet collected', { state })
  },
)

t.test('a failure is counted and shown', async (t) => {
  const outcome = run(t, { 'a.test': `${TAP_PASS}t.test('adds', async (t) => t.same({ sum: 1 }, { sum: 2 }))\n` })
  t.equal(outcome.closing, '2 passed, 1 failed, 0 skipped')
  t.equal(outcome.code, 1)
  t.match(outcome.lines.join('\n'), /not ok a.test.js > adds.*\n(.*\n)*.*-.*sum.*2/)
  const odd = run(t, { 'b.test': `${TAP_PASS}t.fail('oddly', { diff: [1, null], output: [null, 'told'] })\n` })
  t.equal(odd.closing, '2 passed, 1 failed, 0 skipped', 'as errors of child processes bring it along')
  t.match(odd.lines.join('\n'), 'told')
})

t.test('small files of a folder share a process; each is judged as if it had its own', async (t) => {
  const pidOf = (name: string): string =>
    `${TAP_PASS}import { writeFileSync } from 'node:fs'\nwriteFileSync(new URL('./${name}.pid', import.meta.url), String(process.pid))\n`
  const bodies = {
    'a.test.js': pidOf('a'),
    'b.test.js': `${TAP}t.test('adds', async (t) => t.equal(1, 2, 'one'))\n`,
    'c.test.js': `throw new Error('is broken')\n`,
    'd.test.js': `console.log('hello')\n`,
    'e.test.js': pidOf('e'),
    'f.test.js': `${TAP_PASS}process.exitCode = 3\n`,
    'g.test.js': `${TAP_PASS}process.exitCode = undefined\n`,
  }
  const root = t.testdir({ 'package.json': '{ "type": "module" }', wal: bodies })
  const outcome = runIn(root)
  const text = outcome.lines.join('\n')
  t.equal(outcome.closing, '8 passed, 4 failed, 0 skipped', text)
  t.equal(outcome.code, 1)
  t.match(text, /not ok .*wal\/b.test.js > adds > one\n/)
  t.match(text, /not ok .*wal\/c.test.js > .*is broken/)
  t.match(text, /not ok .*wal\/d.test.js > .*found no test/)
  t.match(text, /not ok .*wal\/f.test.js > .*exit code 3/)
  const [a, e] = ['a', 'e'].map((name) => readFileSync(`${root}/wal/${name}.pid`, 'utf8'))
  t.equal(a, e)
})

t.test('what did not run, since a file before it has ended their process, is named', (t) => {
  const bodies = {
    'a.test.js': TAP_PASS,
    'b.test.js': 'process.exit(0)\n',
    'c.test.js': TAP_PASS,
    'd.test.js': TAP_PASS,
  }
  const root = t.testdir({ 'package.json': '{ "type": "module" }', wal: bodies })
  const { code, lines } = runIn(root)
  t.equal(code, 1)
  t.match(lines.join('\n'), 'not run: wal/c.test.js, wal/d.test.js\n')
  t.end()
})

t.test('a failure is shown where the source has it', async (t) => {
  const map = { version: 3, sources: ['source.ts'], names: [], mappings: ';AAoBA' } // line 2 is line 21 there
  const root = t.testdir({
    'package.json': '{ "type": "module" }',
    'a.test.js': `${TAP}t.fail('here')\n`,
    'a.test.js.map': JSON.stringify(map),
  })
  const { lines } = runIn(root)
  t.match(lines.join('\n'), /source\.ts:21:/)
})

const FAILING: Readonly<Record<string, string>> = {
  'throws while loading': `throw new Error('x')\n`,
  'imports what is not there': `import './missing.js'\n`,
  'passes, then ends with a code': `${PASS}process.on('exit', () => process.exit(3))\n`,
  'passes, then is killed': `${PASS}process.kill(process.pid, 'SIGKILL')\n`,
  'promises more tests than it runs': `console.log('ok 1 - one\\n1..3')\n`,
  'has no test': `console.log('hello')\n`,
  'rejects where nobody looks': `${TAP_PASS}t.test('later', async () => { Promise.reject(new Error('x')) })\n`,
}

t.test('a file that fails as a whole', async (t) => {
  const files = asFiles(FAILING)
  const outcome = run(t, files)
  t.equal(outcome.code, 1)
  const failed = outcome.lines.filter((line) => line.startsWith('FAIL')).join('\n')
  for (const name of Object.keys(files)) t.match(failed, name)
  t.match(outcome.closing, new RegExp(`^\\d+ passed, ${Object.keys(files).length} failed, 0 skipped$`))
})

const HANGING: Readonly<Record<string, string>> = {
  waits: `${TAP}t.test('for ever', () => new Promise(() => setInterval(() => {}, 1000)))\n`,
  'stands still': `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)\n`,
  'lifts the limit': `${TAP}t.setTimeout(0); t.test('for ever', { timeout: 0 }, () => new Promise(() => setInterval(() => {}, 1000)))\n`,
}

t.test('a file that hangs is ended', async (t) => {
  const files = asFiles(HANGING)
  const outcome = run(t, { ...files, 'z.test': PASS }, '--seconds', '1')
  t.equal(outcome.code, 1)
  const failed = outcome.lines.filter((line) => line.startsWith('FAIL')).join('\n')
  for (const name of Object.keys(files)) t.match(failed, name)
  const { length } = outcome.lines.filter((line) => line.includes('z.test.js'))
  t.ok(length > 0, 'the file after them had its turn')
})

/** One letter, as in ps; undefined where there is no such process. */
function processState(pid: number): string | undefined {
  try {
    return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}

t.test('nothing that ran is no success', async (t) => {
  const none = run(t, {})
  t.match([none.code, none.closing], [1, '0 passed, 0 failed, 0 skipped'])
  const skipped = run(t, { 'a.test': `console.log('1..0 # skip not on this system')\n` })
  t.match([skipped.code, skipped.closing], [1, '0 passed, 0 failed, 1 skipped'])
  const unmatched = run(t, { 'a.test': PASS }, 'wal/')
  t.match([unmatched.code, unmatched.closing], [1, '0 passed, 0 failed, 0 skipped'])
})

t.test('what is left of a test whose source is gone does not run', async (t) => {
  const compiled = { 'package.json': '{ "type": "module" }', 'kept.test.js': PASS, 'gone.test.js': PASS }
  const folder = t.testdir({ test: { 'kept.test.ts': '' }, dist: { test: compiled } })
  t.equal(runIn(`${folder}/dist/test`).closing, '2 passed, 0 failed, 0 skipped')
})

t.test('files are chosen by words; slow ones on demand', async (t) => {
  const files = { 'board.test': PASS, 'scan.test': PASS, 'crash.slow.test': PASS }
  const chosen = run(t, files, 'test/board.test.ts')
  t.match([chosen.code, chosen.closing], [0, '2 passed, 0 failed, 0 skipped'])
  const usual = run(t, files, 'scan', 'crash')
  t.match([usual.code, usual.closing], [0, '2 passed, 0 failed, 1 skipped'])
  t.ok(usual.lines.includes('  crash.slow.test.js: slow; run with: npm test -- --slow'))
  t.equal(run(t, files, '--slow', 'crash').closing, '2 passed, 0 failed, 0 skipped')
})
