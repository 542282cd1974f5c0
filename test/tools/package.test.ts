/**
 * The package, as `npm pack` makes it and `npm install --global` installs it: the command runs from its own files alone. The
 * one addon that is compiled at the installation is taken from this clone, to save the time.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { run, start } from './travertine.ts'

/** Nobody answers: said of the registry, and nothing that the package could do about it. */
const NO_REGISTRY = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b/

function npm(words: readonly string[], cwd: string) {
  const { npm_lifecycle_event: _, ...env } = process.env
  return spawnSync('npm', words, { cwd, env, encoding: 'utf8', timeout: 120_000 })
}

t.test('npm pack, npm install --global, travertine --version', async (t) => {
  const directory = temporaryDirectory(t)
  const packed = npm(['pack', '--pack-destination', directory, '--json', '--ignore-scripts'], PROJECT)
  t.equal(packed.status, 0, packed.stderr)
  const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string } // our own
  const file = join(directory, `travertine-${version}.tgz`)
  const prefix = join(directory, 'prefix')
  const words = ['install', '--global', '--prefix', prefix, '--prefer-offline', '--no-audit', '--no-fund']
  const installed = npm([...words, '--ignore-scripts', file], directory)
  if (installed.status !== 0 && NO_REGISTRY.test(installed.stderr)) {
    t.pass('an installed package', { skip: 'the registry of npm does not answer' })
    return
  }
  t.equal(installed.status, 0, installed.stderr)

  const home = join(prefix, 'lib/node_modules/travertine')
  for (const name of ['docs/OPERATIONS.md', 'config/systemd/travertine@.service', 'config/master.toml', 'LICENSE'])
    t.ok(existsSync(join(home, name)), name)
  for (const name of ['dist/test', 'dist/bench', 'test', 'tools', 'config/settings.ts'])
    t.notOk(existsSync(join(home, name)), `${name} stays at home`)

  cpSync(join(PROJECT, 'node_modules/fs-ext/build'), join(home, 'node_modules/fs-ext/build'), { recursive: true })
  const command = spawnSync(join(prefix, 'bin/travertine'), ['--version'], { encoding: 'utf8', cwd: directory })
  t.equal(command.stdout, `${version}\n`)
  const main = join(home, 'dist/tools/main.js')
  t.equal((await run(t, ['init', join(directory, 'a'), '--role', 'master'], { main })).code, 0)
  const node = start(t, ['run', join(directory, 'a'), '--port', '0', '--admin-port', '0'], { main })
  await node.has('stdout', /^master ready on /)
  node.kill('SIGTERM')
  t.equal((await node.ended).code, 0)
})
