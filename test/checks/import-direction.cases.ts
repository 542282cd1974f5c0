/** The house's imports point one way, every file is looked at, and the check rejects what it must. */
import t from 'tap'
import { PROJECT } from '../project.ts'
import { checkImports } from './import-direction.ts'
import { listProject, projectConfig, readProject, show } from './source-files.ts'

t.test('import-direction: the house', async (t) => {
  const files = readProject(/\.ts$/)
  const report = checkImports(files)
  t.strictSame(report.findings.map(show), [])
  t.ok(report.moduleCount > 0 && report.importCount > report.moduleCount / 2, 'there was something to check')
  t.equal(report.moduleCount, listProject(/\.ts$/).length, 'every source file is a module of the report')
  t.strictSame(
    projectConfig()
      .fileNames.map((name) => name.slice(PROJECT.length))
      .sort(),
    files.map((file) => file.path),
    'the compiler and the checks see the same files',
  )
})

const OTHERS = ['protocol/a.ts', 'wal/a.ts', 'store/a.ts', 'daemon/core/a.ts', 'daemon/io/a.ts', 'daemon/node.ts']
const FILES = [...OTHERS, 'client/client.ts', 'config/a.ts', 'tools/a.ts', 'bench/a.ts', 'test/a.ts']
const findingsOf = (path: string, text: string): string[] =>
  checkImports([{ path, text }, ...FILES.filter((p) => p !== path).map((p) => ({ path: p, text: '' }))]).findings.map(
    (finding) => finding.what,
  )

const REJECTED: readonly (readonly [string, string, string])[] = [
  ['protocol/x.ts', `import { a } from '../wal/a.ts'`, 'protocol must not import wal'],
  ['wal/x.ts', `import { a } from '../store/a.ts'`, 'wal must not import store'],
  ['store/x.ts', `import type { A } from '../daemon/io/a.ts'`, 'store must not import daemon'],
  ['daemon/io/x.ts', `import { a } from '../../tools/a.ts'`, 'daemon must not import tools'],
  ['daemon/io/x.ts', `import { a } from '../../client/client.ts'`, 'daemon must not import client'],
  ['client/x.ts', `import { a } from '../wal/a.ts'`, 'client must not import wal'],
  ['config/x.ts', `import { a } from '../daemon/io/a.ts'`, 'config must not import daemon'],
  ['tools/x.ts', `import { a } from '../test/a.ts'`, 'tools must not import test'],
  ['tools/x.ts', `import { a } from '../bench/a.ts'`, 'tools must not import bench'],
  ['bench/x.ts', `import { a } from '../test/a.ts'`, 'bench must not import test'],
  ['wal/x.ts', `export { a } from '../store/a.ts'`, 'wal must not import store'],
  ['wal/x.ts', `const a = await import('../store/a.ts')`, 'wal must not import store'],
  ['wal/x.ts', `let a: import('../store/a.ts').A`, 'wal must not import store'],
  ['wal/x.ts', `new Worker(new URL('../daemon/io/a.js', import.meta.url))`, 'wal must not import daemon'],
  ['wal/x.ts', `new Worker(new URL(name, import.meta.url))`, 'the target of this import is no literal'],
  ['wal/x.ts', `await import('./' + name)`, 'the target of this import is no literal'],
  ['daemon/io/x.ts', `import { connect } from 'travertine'`, 'daemon must not import client'],
  ['wal/x.ts', `import { a } from './missing.ts'`, './missing.ts is no source file of the project'],
  ['wal/x.ts', `import pino from 'pino'`, 'wal must not import pino'],
  ['protocol/x.ts', `import { z } from 'zod'`, 'protocol must not import zod'],
  ['daemon/core/x.ts', `import { readFileSync } from 'node:fs'`, 'daemon/core must not import node:fs'],
  ['daemon/core/x.ts', `import pino from 'pino'`, 'daemon/core must not import pino'],
  ['daemon/core/x.ts', `import { a } from '../io/a.ts'`, 'daemon/core must not import daemon/io/a.ts'],
  ['daemon/core/x.ts', `import { a } from '../../store/a.ts'`, 'daemon/core must not import store/a.ts'],
]

t.test('import-direction: what it must reject', async (t) => {
  for (const [path, text, what] of REJECTED) t.strictSame(findingsOf(path, text), [what], `${path}: ${text}`)
  t.match(findingsOf('stray/x.ts', `import { a } from '../wal/a.ts'`)[0], /no room of the house/)
})

const ACCEPTED: readonly (readonly [string, string])[] = [
  [
    'wal/x.ts',
    `import { a } from '../protocol/a.ts'; import { crc32 } from 'node:zlib'; import { flockSync } from 'fs-ext'`,
  ],
  ['daemon/core/x.ts', `import { a } from '../../wal/a.ts'`],
  ['daemon/io/x.ts', `import { a } from '../core/a.ts'; new URL('./a.js', import.meta.url)`],
  [
    'tools/x.ts',
    `import { a } from '../client/client.ts'; import { b } from '../daemon/node.ts'; import pino from 'pino'`,
  ],
  ['test/x.ts', `import { a } from '../bench/a.ts'; import(name); new URL('../../golden/', import.meta.url)`],
  ['wal/x.ts', `// import { a } from '../store/a.ts'\nconst text = "import('../store/a.ts')"`],
]

t.test('import-direction: what it must accept', async (t) => {
  for (const [path, text] of ACCEPTED) t.strictSame(findingsOf(path, text), [], `${path}: ${text}`)
})
