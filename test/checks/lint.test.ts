/**
 * The tools that look at all of the code: biome (format and lint) and knip (files, exports and packages that nobody
 * uses). Both are run as a developer runs them, and each is shown to reject, under our configuration, what it must.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { PROJECT } from '../project.ts'

interface Outcome {
  readonly code: number | null
  readonly text: string
}

function run(tool: string, args: readonly string[], cwd: string): Outcome {
  const path = `${PROJECT}node_modules/${tool}`
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { cwd, encoding: 'utf8' })
  return { code: status, text: `${stdout}${stderr}` }
}

const biome = (args: readonly string[], cwd: string): Outcome =>
  run('@biomejs/biome/bin/biome', [...args, '--error-on-warnings', '--max-diagnostics=200', '--colors=off'], cwd)
const knip = (cwd: string): Outcome => run('knip/bin/knip.js', ['--no-progress', '--no-config-hints'], cwd)

t.test('biome: the house', async (t) => {
  const { code, text } = biome(['check', '.'], PROJECT)
  t.match(text, /Checked \d{2,} files/, 'there was something to check')
  t.equal(code, 0, 'clean; see `npx biome check --write .`', { output: headlines(text) })
})

t.test('knip: the house', async (t) => {
  const { code, text } = knip(PROJECT)
  t.equal(code, 0, 'clean; see `npx knip`', { output: text })
})

/** Of biome's long report the lines that name a place. */
function headlines(text: string): string {
  return text
    .split('\n')
    .filter((line) => /^\S+ (lint|format|assist|parse)/.test(line))
    .map((line) => line.replace(/ *━+$/, ''))
    .join('\n')
}

/** file -> what is wrong with it, and the rule that must say so */
const BAD_CODE: Readonly<Record<string, readonly [string, string]>> = {
  'default.ts': ['export default 1\n', 'lint/style/noDefaultExport'],
  'any.ts': ['export const a = (b: any): number => b.c\n', 'lint/suspicious/noExplicitAny'],
  'equals.ts': ['export const a = (b: number): boolean => b == 1\n', 'lint/suspicious/noDoubleEquals'],
  'floating.ts': ['const f = async (): Promise<number> => 1\nf()\n', 'lint/nursery/noFloatingPromises'],
  'unused.ts': [`import { EOL } from 'node:os'\n`, 'lint/correctness/noUnusedImports'],
  'format.ts': [`export const a = "double"\n`, 'format'],
}

t.test('biome: what it must reject and accept', async (t) => {
  const bad = Object.entries(BAD_CODE).map(([name, [code]]) => [`wal/${name}`, code])
  const files = { ...Object.fromEntries(bad), 'wal/good.ts': 'export const a = 1\n' }
  const outcome = biome(['check', '.'], project(t.testdir(), files))
  t.equal(outcome.code, 1)
  const found = headlines(outcome.text).split('\n')
  for (const [name, [code, rule]] of Object.entries(BAD_CODE)) {
    t.ok(
      found.some((line) => new RegExp(`^wal/${name}(:\\d+:\\d+)? ${rule}\\b`).test(line)),
      `${rule}: ${code}`,
      { found },
    )
  }
  t.notMatch(outcome.text, 'wal/good.ts', 'good code passes')
})

const USED = `import { used } from '../protocol/a.ts'\n\nused()\n`
const GOOD_PROJECT = {
  'tools/main.ts': `${USED}new Worker(new URL('./job.js', import.meta.url))\n`,
  'tools/job.ts': `import { work } from '../protocol/b.ts'\n\nwork()\n`,
  'protocol/a.ts': 'export const used = () => {}\n',
  'protocol/b.ts': 'export const work = () => {}\n',
  'client/client.ts': 'export const connect = () => {}\n',
  'daemon/node.ts': 'export const startNode = () => {}\n',
}
/** heading of knip -> what it must list below, and where that stands */
const BAD_FILES: Readonly<Record<string, readonly [RegExp, string, string]>> = {
  'Unused files': [/^wal\/dead.ts *$/m, 'wal/dead.ts', 'export const a = 1\n'],
  'Unused exports': [
    /^dead .*protocol\/a.ts/m,
    'protocol/a.ts',
    'export const used = () => {}\nexport const dead = 1\n',
  ],
  'Unlisted dependencies': [
    /^left-out .*protocol\/b.ts/m,
    'protocol/b.ts',
    `import 'left-out'\n\nexport const work = () => {}\n`,
  ],
}

t.test('knip: what it must reject', async (t) => {
  const bad = Object.fromEntries(Object.values(BAD_FILES).map(([, path, text]) => [path, text]))
  const outcome = knip(project(t.testdir(), { ...GOOD_PROJECT, ...bad }))
  t.equal(outcome.code, 1)
  for (const [heading, [listed]] of Object.entries(BAD_FILES)) {
    const [, list = ''] = new RegExp(`^${heading} \\(1\\)\n((?:(?!.*\\(\\d+\\)$).*\n)*)`, 'm').exec(outcome.text) ?? []
    t.match(list, listed, heading, { output: outcome.text })
  }
})

t.test('knip: what it must accept', async (t) => {
  const { code, text } = knip(project(t.testdir(), GOOD_PROJECT))
  t.equal(code, 0, 'front doors and worker files are used', { output: text })
})

/** A small project under the real configuration. */
function project(folder: string, files: Readonly<Record<string, string>>): string {
  for (const name of ['biome.json', 'knip.json', 'tsconfig.json', '.gitignore']) {
    copyFileSync(PROJECT + name, `${folder}/${name}`)
  }
  const manifest = JSON.parse(readFileSync(`${PROJECT}package.json`, 'utf8'))
  const { bin, exports } = manifest
  writeFileSync(`${folder}/package.json`, `${JSON.stringify({ name: 'x', type: 'module', bin, exports }, null, 2)}\n`)
  symlinkSync(`${PROJECT}node_modules`, `${folder}/node_modules`)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(`${folder}/${path}`), { recursive: true })
    writeFileSync(`${folder}/${path}`, text)
  }
  return folder
}
