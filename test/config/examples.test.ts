/** The example files are complete and start a node; the page and `explain` say what the schema says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isTable, parseToml } from '../../config/config-file.ts'
import { SETTINGS } from '../../config/explain.ts'
import { checkConfig, loadConfig } from '../../config/load-config.ts'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from '../tools/in-process.ts'
import { newMaster, newReplica } from '../tools/node-pair.ts'
import { lastObject, run, start } from '../tools/travertine.ts'

const EXAMPLES = ['master', 'replica'] as const
const fileOf = (name: string): string => join(PROJECT, 'config', `${name}.toml`)

t.test('each example is good, has every setting, and a comment for each', async (t) => {
  for (const name of EXAMPLES) {
    t.same(checkConfig({ file: fileOf(name) }).problems, [])
    const text = readFileSync(fileOf(name), 'utf8')
    const keys = Object.entries(parseToml(text, name)).flatMap(([section, table]) =>
      isTable(table) ? Object.keys(table).map((key) => `${section}.${key}`) : [section],
    )
    t.same(
      keys,
      SETTINGS.map(({ key }) => key),
    )
    for (const { name: key } of SETTINGS) t.match(text, new RegExp(`^# .+\n${key} = `, 'm'))
  }
})

t.test('what an example does not say otherwise is the default', async (t) => {
  const usual = loadConfig({}).config
  t.same(loadConfig({ file: fileOf('master') }).config, {
    ...usual,
    node: { directory: '/var/lib/travertine/master' },
    log: { ...usual.log, format: 'json' },
  })
})

t.test('each example starts a node, which says so and ends in good order', async (t) => {
  const directory = temporaryDirectory(t)
  const clusterId = newMaster(join(directory, 'master'))
  newReplica(join(directory, 'replica'), clusterId)
  for (const name of EXAMPLES) {
    const env = {
      TRAVERTINE_NODE_DIRECTORY: join(directory, name),
      TRAVERTINE_LISTEN_PORT: '0',
      TRAVERTINE_ADMIN_PORT: '0',
    }
    const node = start(t, ['run', '--config', fileOf(name), '--json'], { env })
    const [line] = await node.has('stdout', /^.+\n/)
    t.match(JSON.parse(line), {
      ok: true,
      role: name,
      host: '127.0.0.1',
      clusterId,
      admin: { host: '127.0.0.1', port: Number },
    })
    node.kill('SIGTERM')
    const { code, stderr } = await node.ended
    t.equal(code, 0)
    for (const text of stderr.trimEnd().split('\n')) t.match(JSON.parse(text), { level: 'info' }, 'a log of JSON')
  }
})

t.test('docs/CONFIGURATION.md has the table of the schema', async (t) => {
  const page = readFileSync(join(PROJECT, 'docs/CONFIGURATION.md'), 'utf8')
  const [, table = ''] = /\n\|---\|---\|---\|---\|---\|---\|\n([\s\S]+?)\n\n/.exec(page) ?? []
  t.same(
    table.split('\n'),
    SETTINGS.map(
      (s) =>
        `| \`${s.key}\` | ${s.unit} | ${s.defaultText} | ${s.range} | ${s.reload ? 'yes' : 'restart'} | \`${s.environment}\` |`,
    ),
  )
  for (const { key, text } of SETTINGS) t.match(page, `\n- \`${key}\`: ${text}\n`)
})

t.test('each setting is explained in one sentence', async (t) => {
  for (const { key, text, unit } of SETTINGS) {
    t.match(text, /^[A-Z][^.]+(\.[a-z][^.]*)*\.$/, key)
    t.ok(unit.length > 0)
  }
  const { code, stdout } = await run(t, ['config', 'explain'])
  t.equal(code, 0)
  for (const { key, text, range, environment, defaultText } of SETTINGS) {
    t.match(stdout, new RegExp(`^${key} .*default ${defaultText.replace(/[+()]/g, '\\$&')}\\)$`, 'm'))
    for (const part of [text, range, environment]) t.match(stdout, part)
  }
  const json = await runHere(['config', 'explain', 'log.level', '--json'])
  t.same(
    lastObject(json),
    SETTINGS.find(({ key }) => key === 'log.level'),
  )
})
