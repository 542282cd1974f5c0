/** `travertine config`, and the settings of `travertine run`: precedence, refusals, SIGHUP. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../config/load-config.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster } from './node-pair.ts'
import { errorCode, freePorts, lastObject, run, start } from './travertine.ts'

t.test('config check: good, wrong, absent', async (t) => {
  const file = join(temporaryDirectory(t), 'node.toml')
  writeFileSync(file, '[listen]\nport = 7500\n')
  const good = await run(t, ['config', 'check', file])
  t.match(good, { code: 0, stdout: `${file}: good\n`, stderr: '' })
  t.same(lastObject(await runHere(['config', 'check', file, '--json'])), { ok: true, file })
  writeFileSync(file, '[listen]\nprot = 7500\nport = -1\n')
  const wrong = await runHere(['config', 'check', file], { TRAVERTINE_LISTEN_PORT: '1' })
  t.equal(wrong.code, 2)
  t.match(wrong.stdout, /line 2, key listen.prot[\s\S]+line 3, key listen.port[\s\S]+2 to correct\n$/)
  const json = await run(t, ['config', 'check', file, '--json'])
  t.equal(json.code, 2)
  t.match(lastObject(json), {
    ok: false,
    file,
    error: { code: 'CONFIG_INVALID', where: { file, line: 2, key: 'listen.prot' } },
    errors: [{ where: { line: 2 } }, { where: { line: 3 } }],
  })
  t.equal((await runHere(['config', 'check', `${file}.none`])).code, 2)
  for (const words of [['config'], ['config', 'check'], ['config', 'mend', file], ['config', 'explain', 'listen']]) {
    const { code, stdout } = await runHere([...words, '--json'])
    t.equal(code, 2, words.join(' '))
    t.equal(errorCode(JSON.parse(stdout)), 'CONFIG_INVALID', words.join(' '))
  }
})

t.test('config show: what was given, where; --effective can be read again', async (t) => {
  const file = join(temporaryDirectory(t), 'node.toml')
  writeFileSync(file, '[node]\ndirectory = "/data/\\"a"\n[log]\nlevel = "warn"\n')
  const env = { TRAVERTINE_LISTEN_PORT: '7500' }
  const given = await runHere(['config', 'show', file], env)
  t.equal(
    given.stdout,
    `[node]\ndirectory = "/data/\\"a"  # ${file}:2\n[listen]\nport = 7500  # TRAVERTINE_LISTEN_PORT\n[log]\nlevel = "warn"  # ${file}:4\n`,
  )
  const effective = await runHere(['config', 'show', file, '--effective'], env)
  t.match(effective.stdout, /^host = "127.0.0.1" {2}# default$/m)
  const copy = `${file}.copy`
  writeFileSync(copy, effective.stdout)
  t.same(loadConfig({ file: copy }).config, loadConfig({ file, environment: env }).config)
  const json = await run(t, ['config', 'show', file, '--json'], { env })
  t.same(
    json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { key: 'node.directory', value: '/data/"a', from: 'file', file, line: 2 },
      { key: 'listen.port', value: 7500, from: 'environment', name: 'TRAVERTINE_LISTEN_PORT' },
      { key: 'log.level', value: 'warn', from: 'file', file, line: 4 },
    ],
  )
})

t.test('run: file, environment and options; the directory may come from any', async (t) => {
  const directory = temporaryDirectory(t)
  newMaster(join(directory, 'a'))
  const file = join(directory, 'node.toml')
  const [inFile, inEnvironment, asOption] = [await freePorts(2), await freePorts(2), await freePorts(2)]
  writeFileSync(
    file,
    `[node]\ndirectory = "${join(directory, 'a')}"\n[listen]\nport = ${inFile}\n[log]\nformat = "json"\n`,
  )
  const cases: readonly (readonly [number, Record<string, string>, readonly string[]])[] = [
    [inFile, {}, []],
    [inEnvironment, { TRAVERTINE_LISTEN_PORT: String(inEnvironment) }, []],
    [asOption, { TRAVERTINE_LISTEN_PORT: String(inEnvironment) }, ['--port', String(asOption)]],
  ]
  for (const [port, env, words] of cases) {
    const node = start(t, ['run', '--config', file, '--admin-port', '0', '--json', ...words], {
      env: { ...env, TRAVERTINE_OTHER: 'x' },
    })
    const [line] = await node.has('stdout', /^.+\n/)
    t.equal(JSON.parse(line).port, port)
    const warning = JSON.parse(node.stderr.split('\n')[0] ?? '')
    t.match(warning, { level: 'warn', code: 'CONFIG_INVALID', text: /TRAVERTINE_OTHER/ })
    node.kill('SIGTERM')
    t.equal((await node.ended).code, 0)
  }
})

t.test('run: refused before anything is touched', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'node.toml')
  writeFileSync(file, '[listen]\nport = 0\n')
  const nowhere = await runHere(['run', '--config', file, '--json'])
  t.equal(nowhere.code, 2)
  t.match(lastObject(nowhere), { error: { code: 'CONFIG_INVALID', where: { key: 'node.directory' } } })
  writeFileSync(file, '[listen]\nport = "x"\n')
  const wrong = await runHere(['run', directory, '--config', file, '--json'])
  t.equal(wrong.code, 2)
  t.match(lastObject(wrong), { error: { code: 'CONFIG_INVALID', where: { file, line: 2, key: 'listen.port' } } })
})

t.test('SIGHUP: takes over what it can, says what it cannot, and a wrong file changes nothing', async (t) => {
  const directory = temporaryDirectory(t)
  newMaster(join(directory, 'a'))
  const file = join(directory, 'node.toml')
  const write = (text: string): void => writeFileSync(file, `[node]\ndirectory = "${join(directory, 'a')}"\n${text}`)
  write('[listen]\nport = 0\n')
  const node = start(t, ['run', '--config', file])
  await node.has('stdout', /\n/)
  node.kill('SIGHUP')
  await node.has('stderr', /info {2}SIGHUP: the settings are as they were\n/)
  write('[listen]\nport = 1\n[log]\nformat = "json"\nlevel = "warn"\n')
  node.kill('SIGHUP')
  const [line] = await node.has('stderr', /^\{.+\}$/m)
  t.match(JSON.parse(line), { level: 'warn', code: 'RESTART_NEEDED', text: /listen.port is 1 instead of 0 only after/ })
  t.notMatch(node.stderr, /log.level is warn/, 'that is an info, and warn rules already')
  write('[log]\nlevel = "info"\nformat = "xml"\n')
  node.kill('SIGHUP')
  const [, refused = ''] = await node.has('stderr', /^(\{.+CONFIG_INVALID.+\})$/m)
  t.match(JSON.parse(refused), { level: 'warn', text: /all settings stay as they are.*log.format = "xml".*line 5/ })
  write('[listen]\nport = 0\n')
  node.kill('SIGHUP')
  await node.has('stderr', /info {2}SIGHUP: log.format is pretty instead of json from now on\n/)
  await node.has('stderr', /info {2}SIGHUP: log.level is info instead of warn from now on\n/)
  node.kill('SIGTERM')
  t.equal((await node.ended).code, 0)
})
