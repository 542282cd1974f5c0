/** Settings: where they come from, and that whatever is wrong is refused with file, line and key. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lineOfKey } from '../../config/config-file.ts'
import { SETTINGS } from '../../config/explain.ts'
import { checkConfig, loadConfig } from '../../config/load-config.ts'
import { nearest } from '../../config/nearest.ts'
import { CONFIG_BYTES_LIMIT } from '../../protocol/limits.ts'
import { temporaryDirectory } from '../temp-directory.ts'

const directory = temporaryDirectory(t)

function fileWith(text: string): string {
  const file = join(directory, 'node.toml')
  writeFileSync(file, text)
  return file
}

t.test('defaults: loopback, and everything but the directory', async (t) => {
  const { config, origins, unknownVariables } = loadConfig({})
  t.same(config, {
    node: {},
    listen: { host: '127.0.0.1', port: 7400 },
    admin: { enabled: true, host: '127.0.0.1', port: 7480, tls: false },
    cascade: { replicas: [] },
    security: {
      secretFile: '',
      tlsCertificateFile: '',
      tlsKeyFile: '',
      tlsAuthorityFile: '',
      tlsRequireClientCertificate: false,
      insecure: false,
    },
    wal: { segmentsAhead: 2 },
    log: { format: 'pretty', level: 'info' },
  })
  t.same(
    [...origins.keys()],
    SETTINGS.map(({ key }) => key),
  )
  for (const origin of origins.values()) t.same(origin, { from: 'default' })
  t.same(unknownVariables, [])
})

t.test('file over defaults, environment over file, options over environment; each knows its origin', async (t) => {
  const file = fileWith('[listen]\nport = 1\nhost = "a"\n[log]\nlevel = "warn"\n')
  const environment = { TRAVERTINE_LISTEN_PORT: '2', TRAVERTINE_LISTEN_HOST: 'b', TRAVERTINE_WAL_SEGMENTS_AHEAD: '7' }
  const options = { 'listen.port': { name: '--port', value: 3 } }
  const { config, origins } = loadConfig({ file, environment, options })
  t.match(config, {
    listen: { host: 'b', port: 3 },
    wal: { segmentsAhead: 7 },
    log: { level: 'warn', format: 'pretty' },
  })
  t.same(origins.get('listen.port'), { from: 'option', name: '--port' })
  t.same(origins.get('listen.host'), { from: 'environment', name: 'TRAVERTINE_LISTEN_HOST' })
  t.same(origins.get('log.level'), { from: 'file', file, line: 5 })
  t.same(origins.get('log.format'), { from: 'default' })
})

t.test('every setting can come from a file and from its variable', async (t) => {
  for (const { key, section, name, kind, environment, default: usual, range } of SETTINGS) {
    const value = {
      text: 'x',
      integer: 11,
      boolean: usual !== true,
      choice: range.split(' ').at(-1),
      list: ['a.example:7400', '[::1]:7400'],
    }[kind]
    const file = fileWith(`[${section}]\n${name} = ${JSON.stringify(value)}\n`)
    for (const sources of [{ file }, { environment: { [environment]: String(value) } }]) {
      const { config } = loadConfig(sources)
      t.match(config, { [section]: { [name]: value } }, key)
    }
  }
})

t.test('all that is wrong, in the order of its lines, each with file, line and key', async (t) => {
  const file = fileWith(`# a comment
[listen]
port = 65536
prot = 5
host = """
"""
[wal]
# another
segmentsAhead = [
  1,
]
[lostem]
level = "info"
[log]
level = "loud"
"a.b" = 1
__proto__ = 2
[__proto__]
x = 1
`)
  const { problems, loaded } = checkConfig({ file })
  t.equal(loaded, undefined)
  t.same(
    problems.map(({ code, where }) => [code, where.file, where.line, where.key]),
    [
      [3, 'listen.port'],
      [4, 'listen.prot'],
      [5, 'listen.host'],
      [9, 'wal.segmentsAhead'],
      [12, 'lostem'],
      [15, 'log.level'],
      [16, 'log.a.b'],
      [17, 'log.__proto__'],
      [18, '__proto__'],
    ].map(([line, key]) => ['CONFIG_INVALID', file, line, key]),
  )
  const texts = problems.map((problem) => problem.describe())
  t.match(texts[0], /found listen.port = 65536, expected a whole number from 0 to 65535/)
  t.match(texts[1], /found the unknown key listen.prot, expected a known one .*did you mean listen.port instead\?/)
  t.match(texts[3], /found wal.segmentsAhead = \[1\], expected a whole number from 1 to 1024/)
  t.match(texts[4], /unknown section lostem.*did you mean listen instead/)
  t.match(texts[5], /found log.level = "loud", expected info or warn or error/)
  t.throws(() => loadConfig({ file }), {
    code: 'CONFIG_INVALID',
    where: { line: 3 },
    hint: /8 more: see `travertine config check`/,
  })
})

t.test('other ways to be wrong', async (t) => {
  const first = (text: string): unknown => checkConfig({ file: fileWith(text) }).problems[0]
  t.match(first('[listen]\nport = 1\nport = 2\n'), { code: 'CONFIG_INVALID', where: { line: 3 } }, 'twice')
  t.match(first('[listen]\nport = \n'), {
    code: 'CONFIG_INVALID',
    where: { line: 2 },
    message: /column \d+, expected TOML/,
  })
  t.match(first('\nlisten = 5\n'), { message: /found listen = 5, expected a table \[listen\]/, where: { line: 2 } })
  t.match(first('[[listen]]\nport = 5\n'), { message: /expected a table/, where: { line: 1 } })
  t.match(first('[listen]\nport = "7400"\n'), { message: /found listen.port = "7400"/ }, 'a text is no number')
  t.match(first('[listen]\nport = 1.5\n'), { message: /found listen.port = 1.5/ })
  t.match(first('[listen]\nport = 99999999999999999999\n'), { where: { line: 2 } }, 'beyond what a number holds')
  t.match(first('[log]\nlevel = 2024-01-01\n'), { where: { line: 2, key: 'log.level' } })
  t.match(first(`#${'x'.repeat(CONFIG_BYTES_LIMIT)}`), { message: /expected a file of settings/ })
  t.match(checkConfig({ file: join(directory, 'none.toml') }).problems[0], {
    where: { file: /none.toml/ },
    message: /ENOENT/,
  })
  t.match(checkConfig({ file: directory }).problems[0], { code: 'CONFIG_INVALID', message: /EISDIR/ })
  t.equal(checkConfig({ file: fileWith('') }).problems.length, 0, 'an empty file says nothing')
})

t.test('variables: texts become values only where they fit; unknown ones are told', async (t) => {
  for (const text of ['', ' 1', '1e3', '0x10', '1.5', '-', 'NaN', '9'.repeat(20)]) {
    const { problems } = checkConfig({ environment: { TRAVERTINE_LISTEN_PORT: text } })
    t.match(problems, [{ where: { key: 'listen.port (TRAVERTINE_LISTEN_PORT)' } }], JSON.stringify(text))
  }
  t.match(checkConfig({ environment: { TRAVERTINE_NODE_DIRECTORY: '' } }).problems, [
    { where: { key: /node.directory/ } },
  ])
  const { unknownVariables } = loadConfig({
    environment: { TRAVERTINE_LISTEN_PROT: '1', PATH: '/bin', TRAVERTINE: '' },
  })
  t.same(unknownVariables, ['TRAVERTINE_LISTEN_PROT'])
})

t.test('a list: commas or blanks in a variable; what is wrong in it is wrong with the whole setting', async (t) => {
  const of = (text: string) => checkConfig({ environment: { TRAVERTINE_CASCADE_REPLICAS: text } })
  t.same(of(' a:1, b:2 c:3,').loaded?.config.cascade.replicas, ['a:1', 'b:2', 'c:3'])
  t.same(of('').loaded?.config.cascade.replicas, [])
  const many = Array.from({ length: 16 }, (_, i) => `a:${i + 1}`).join(' ')
  for (const text of ['a', 'a:1,b:0', 'a:1 a:1', many]) {
    t.match(of(text).problems, [
      {
        code: 'CONFIG_INVALID',
        message: /expected a list of at most 15, each host:port/,
        where: { key: /cascade\.replicas/ },
      },
    ])
  }
  t.match(checkConfig({ file: fileWith('[cascade]\nreplicas = ["a:1", 7]\n') }).problems, [{ where: { line: 2 } }])
})

t.test('the admin port follows the other one, unless it is given', async (t) => {
  const port = (sources: Parameters<typeof loadConfig>[0]): number => loadConfig(sources).config.admin.port
  t.equal(port({ environment: { TRAVERTINE_LISTEN_PORT: '7500' } }), 7580)
  t.equal(port({ environment: { TRAVERTINE_LISTEN_PORT: '0' } }), 0, 'the system chooses both')
  t.equal(port({ environment: { TRAVERTINE_LISTEN_PORT: '0', TRAVERTINE_ADMIN_PORT: '9000' } }), 9000)
  const { problems } = checkConfig({ environment: { TRAVERTINE_LISTEN_PORT: '65500' } })
  t.match(problems, [{ message: /admin.port would be 65580, expected at most 65535/, where: { key: 'admin.port' } }])
})

t.test('the line of a key, however it is written', async (t) => {
  const text = 'a.b = 1\n\n"c" = { d = 2, e = { f = 3 } }\n[g.h]\ni = """\nj = 1\n"""\n# k = 1\nj = [\n 1,\n 2]\nk = 9'
  const lines: readonly (readonly [string, number])[] = [
    ['a.b', 1],
    ['c.d', 3],
    ['c.e.f', 3],
    ['g', 4],
    ['g.h', 4],
    ['g.h.i', 5],
    ['g.h.j', 9],
    ['g.h.k', 12],
  ]
  for (const [path, line] of lines) t.equal(lineOfKey(text, path.split('.')), line, path)
})

t.test('what was meant', async (t) => {
  t.equal(nearest('listn', ['log', 'listen', 'wal']), 'listen')
  t.equal(nearest('LISTEN', ['listen']), 'listen')
  t.equal(nearest('quorum', ['log', 'listen', 'wal']), undefined)
  t.equal(nearest('', ['log']), undefined)
})
