/**
 * The set-up does what is needed and no more, in a small clone with stand-ins for npm, the compiler and the addon that
 * write down how they were called. (That the real ones work is seen at every `npm test`.)
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import t, { type Test } from 'tap'
import { PROJECT } from '../project.ts'

const LOCK_FILE = {
  packages: { '': {}, 'node_modules/fs-ext': { integrity: 'a' }, 'node_modules/other': { optional: true } },
}

/** Installs what the clone needs, as `npm ci` would; fails when asked to. */
const NPM = `const fs = require('node:fs')
fs.appendFileSync('calls', 'npm ' + process.argv.slice(2, 4).join(' ') + '\\n')
fs.writeFileSync('headers', String(process.env.npm_config_nodedir))
console.log('npm talks on stdout')
if (fs.existsSync('npm-fails')) process.exit(7)
if (process.argv[2] === 'ci') fs.rmSync('node_modules', { recursive: true, force: true })
fs.mkdirSync('node_modules/typescript/bin', { recursive: true })
fs.copyFileSync('tsc.cjs', 'node_modules/typescript/bin/tsc')
fs.mkdirSync('node_modules/fs-ext', { recursive: true })
const works = process.argv[2] === 'rebuild' || !fs.existsSync('no-scripts')
fs.writeFileSync('node_modules/fs-ext/index.js', works ? '' : 'throw new Error("not built")')
const { packages } = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'))
fs.writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages: { 'node_modules/fs-ext': packages['node_modules/fs-ext'] } }))
`
/** Writes an output per source, but none that its own notes say it has written: as incremental tsc does. */
const TSC = `const fs = require('node:fs')
fs.appendFileSync('calls', 'tsc\\n')
if (fs.readFileSync('protocol/a.ts', 'utf8').includes('error')) { console.log('protocol/a.ts: error'); process.exit(2) }
fs.mkdirSync('dist/protocol', { recursive: true })
const notes = 'dist/.tsbuildinfo'
const known = fs.existsSync(notes) ? JSON.parse(fs.readFileSync(notes, 'utf8')) : {}
for (const name of fs.readdirSync('protocol')) {
  const text = fs.readFileSync('protocol/' + name, 'utf8')
  if (known[name] !== text) fs.writeFileSync('dist/protocol/' + name.replace('.ts', '.js'), text)
  known[name] = text
}
fs.writeFileSync(notes, JSON.stringify(known))
`

class Clone {
  readonly folder: string

  constructor(t: Test) {
    this.folder = t.testdir({
      'package.json': '{ "type": "module" }',
      'package-lock.json': JSON.stringify(LOCK_FILE),
      'tsconfig.json': '{ "include": ["protocol", "missing"] }',
      protocol: { 'a.ts': '// a', 'b.ts': '// b' },
      tools: { dev: {} },
      'npm-cli.cjs': NPM,
      'tsc.cjs': TSC,
    })
    copyFileSync(`${PROJECT}tools/dev/setup.mjs`, this.path('tools/dev/setup.mjs'))
  }

  path(name: string): string {
    return `${this.folder}/${name}`
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text)
  }

  env(): NodeJS.ProcessEnv {
    const { npm_config_nodedir: _, ...env } = process.env
    return { ...env, npm_execpath: this.path('npm-cli.cjs') }
  }

  /** How npm and the compiler were called. */
  calls(): string[] {
    return existsSync(this.path('calls')) ? readFileSync(this.path('calls'), 'utf8').trim().split('\n') : []
  }

  /** Runs the set-up, from another folder. */
  run(...nodeArgs: readonly string[]): { code: number | null; stdout: string; stderr: string; calls: string[] } {
    rmSync(this.path('calls'), { force: true })
    const args = [...nodeArgs, this.path('tools/dev/setup.mjs')]
    const options = { cwd: '/', env: this.env(), encoding: 'utf8', timeout: 60_000 } as const
    const { status, stdout, stderr } = spawnSync(process.execPath, args, options)
    return { code: status, stdout, stderr, calls: this.calls() }
  }
}

const CI = 'npm ci --include=dev'

/** Of the first tests: each of them finds it ready, and leaves it so. A first set-up is three processes. */
const clone = new Clone(t)

t.test('a fresh clone, then nothing to do', async (t) => {
  const first = clone.run()
  t.match(first, { code: 0, stdout: '', calls: [CI, 'tsc'] })
  t.match(first.stderr, /Installing packages.*\nnpm talks on stdout\nCompiling.*\nReady/, 'all of it on stderr')
  t.ok(existsSync(clone.path('dist/protocol/a.js')))
  const prefix = dirname(dirname(process.execPath))
  const headers = existsSync(`${prefix}/include/node/common.gypi`) ? prefix : undefined
  t.equal(readFileSync(clone.path('headers'), 'utf8'), String(headers), 'headers beside Node need no network')
  t.strictSame(clone.run(), { code: 0, stdout: '', stderr: '', calls: [] })
})

t.test('packages', async (t) => {
  clone.write('package-lock.json', JSON.stringify({ packages: { 'node_modules/fs-ext': { integrity: 'b' } } }))
  t.strictSame(clone.run().calls, [CI, 'tsc'], 'the lock file has changed')
  rmSync(clone.path('node_modules/.travertine-install'))
  t.strictSame(clone.run().calls, [], 'somebody has run npm ci')
  rmSync(clone.path('node_modules/.travertine-install'))
  clone.write('package-lock.json', JSON.stringify(LOCK_FILE))
  t.strictSame(clone.run().calls, [CI, 'tsc'], 'somebody has run npm ci long ago')
  clone.write('package-lock.json', JSON.stringify({ packages: { 'node_modules/new': { integrity: 'c' } } }))
  clone.write('npm-fails', '')
  const failed = clone.run()
  t.match(failed, {
    code: 1,
    stdout: '',
    calls: [CI],
    stderr: /npm ci ended with code 7\n.*network.*python3, make and g\+\+/,
  })
  rmSync(clone.path('npm-fails'))
  t.match(clone.run(), { code: 0, calls: [CI, 'tsc'] }, 'it is tried again')
})

t.test('the addon', async (t) => {
  const clone = new Clone(t)
  clone.write('no-scripts', '')
  t.match(clone.run(), { code: 0, calls: [CI, 'npm rebuild fs-ext', 'tsc'] }, 'npm has skipped install scripts')
  clone.write('node_modules/fs-ext/index.js', 'throw new Error("another version of Node")')
  t.strictSame(clone.run().calls, ['npm rebuild fs-ext'])
  clone.write('node_modules/fs-ext/index.js', 'throw new Error("another version of Node")')
  clone.write('npm-fails', '')
  t.match(clone.run(), { code: 1, stderr: /npm rebuild ended with code 7\n.*python3, make and g\+\+/ })
})

t.test('sources', async (t) => {
  clone.write('protocol/a.ts', '// changed')
  t.strictSame(clone.run().calls, ['tsc'])
  t.equal(readFileSync(clone.path('dist/protocol/a.js'), 'utf8'), '// changed')
  rmSync(clone.path('protocol/b.ts'))
  t.strictSame(clone.run().calls, ['tsc'], 'a source was deleted')
  t.notOk(existsSync(clone.path('dist/protocol/b.js')), 'its output is gone too')
  rmSync(clone.path('dist/protocol/a.js'))
  t.strictSame(clone.run().calls, ['tsc'], 'an output was deleted')
  t.ok(existsSync(clone.path('dist/protocol/a.js')), 'it is there again, whatever the notes of the compiler say')
  clone.write('tsconfig.json', '{ "include": ["protocol"] }')
  t.strictSame(clone.run().calls, ['tsc'], 'an option was changed')
})

t.test('a source that does not compile', async (t) => {
  clone.write('protocol/a.ts', '// error')
  t.match(clone.run(), { code: 1, stdout: '', stderr: /protocol\/a.ts: error\nCannot set up: tsc ended with code 2/ })
  t.match(clone.run(), { code: 1, calls: ['tsc'] }, 'it stays an error')
  const mend = (): void => {
    clone.write('protocol/a.ts', '// mended')
    utimesSync(clone.path('protocol/a.ts'), 1000, 1000)
  }
  mend()
  t.match(clone.run(), { code: 0, calls: ['tsc'] })
  clone.write('protocol/a.ts', '// error')
  clone.run()
  mend()
  t.match(clone.run(), { code: 0, calls: ['tsc'] }, 'it looks as before, but the outputs may be half of each')
})

t.test('Node is too old', async (t) => {
  const clone = new Clone(t)
  const pretend = (version: string): string => {
    const code = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
    clone.write('pretend.cjs', code)
    return clone.path('pretend.cjs')
  }
  const old = clone.run('--require', pretend('20.18.3'))
  t.match(old, { code: 1, calls: [], stderr: /found Node 20.18.3, expected 20.19 or later\n.*nodejs.org/ })
  t.equal(clone.run('--require', pretend('18.20.0')).code, 1)
  t.equal(clone.run('--require', pretend('20.19.0')).code, 0)
  t.equal(clone.run('--require', pretend('22.0.0')).code, 0)
})

t.test('two set-ups at once', async (t) => {
  const clone = new Clone(t)
  clone.write('.setup.lock', String(process.pid))
  const second = spawn(process.execPath, [clone.path('tools/dev/setup.mjs')], { env: clone.env() })
  t.teardown(() => second.kill('SIGKILL'))
  const [said] = await once(second.stderr, 'data')
  t.match(String(said), `Waiting for another set-up of this clone (pid ${process.pid})`)
  t.strictSame(clone.calls(), [], 'it has touched nothing')
  rmSync(clone.path('.setup.lock'))
  t.strictSame(await once(second, 'exit'), [0, null], 'the other one is done: now it is its turn')
  t.strictSame(clone.calls(), [CI, 'tsc'])
  t.notOk(existsSync(clone.path('.setup.lock')))
})

t.test("a set-up that was killed, or has failed, is in nobody's way", async (t) => {
  const clone = new Clone(t)
  const { pid } = spawnSync(process.execPath, ['--version'])
  clone.write('.setup.lock', String(pid))
  t.equal(clone.run().code, 0)
  clone.write('.setup.lock', '')
  clone.write('protocol/a.ts', '// error')
  t.equal(clone.run().code, 1)
  t.notOk(existsSync(clone.path('.setup.lock')))
})
