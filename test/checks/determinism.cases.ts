/** No clock, chance or timer where tests hand them in; daemon/core is synchronous; the check rejects what it must. */
import t from 'tap'
import { checkDeterminism, staleExceptions } from './determinism.ts'
import { readProject, show } from './source-files.ts'

t.test('determinism: the house', async (t) => {
  const files = readProject(/^(protocol|wal|daemon|client)\/.*\.ts$/)
  t.ok(files.length > 0, 'there was something to check')
  t.strictSame(checkDeterminism(files).map(show), [])
  t.strictSame(staleExceptions(files), [], 'every exception is needed')
})

const findingsOf = (path: string, text: string): string[] =>
  checkDeterminism([{ path, text }]).map((finding) => finding.what)

const REJECTED: readonly (readonly [string, string, string])[] = [
  ['wal/x.ts', 'const now = Date.now()', 'must not use Date'],
  ['wal/x.ts', 'const now = new Date()', 'must not use Date'],
  ['protocol/x.ts', 'const r = Math.random()', 'must not use Math.random'],
  ['wal/x.ts', 'setTimeout(() => {}, 1)', 'must not use setTimeout'],
  ['wal/x.ts', `import { setInterval } from 'node:timers'`, 'must not use setInterval'],
  ['wal/x.ts', 'const t = performance.now()', 'must not use performance'],
  ['wal/x.ts', 'const t = process.hrtime()', 'must not use hrtime'],
  ['wal/x.ts', `import { randomUUID } from 'node:crypto'`, 'must not use randomUUID'],
  ['wal/x.ts', 'const b = crypto.getRandomValues(a)', 'must not use getRandomValues'],
  ['daemon/io/x.ts', 'setImmediate(flush)', 'must not use setImmediate'],
  ['client/x.ts', 'const now = performance.now()', 'must not use performance'],
  ['daemon/core/x.ts', 'const p = Promise.resolve()', 'must not use Promise'],
  ['daemon/core/x.ts', 'const p = process.pid', 'must not use process'],
  ['daemon/core/x.ts', 'const v = await step()', 'must be synchronous'],
  ['daemon/core/x.ts', 'async function step() {}', 'must be synchronous'],
  ['daemon/core/x.ts', 'for await (const x of xs) {}', 'must be synchronous'],
]

t.test('determinism: what it must reject', async (t) => {
  for (const [path, text, what] of REJECTED) t.strictSame(findingsOf(path, text), [what], `${path}: ${text}`)
})

t.test('determinism: what it must accept', async (t) => {
  t.strictSame(findingsOf('world/x.ts', 'await new Promise((r) => setTimeout(r, Date.now()))'), [], 'another room')
  t.strictSame(findingsOf('wal/x.ts', 'const date = clock.now() // not Date.now()'), [], 'a comment')
  t.strictSame(findingsOf('daemon/core/x.ts', 'state.process = { process: 1 }'), [], 'a field of that name')
})

t.test('determinism: exceptions', async (t) => {
  const files = [{ path: 'wal/x.ts', text: 'Date.now()' }]
  t.strictSame(checkDeterminism(files, { 'wal/x.ts': 'a reason' }), [])
  t.strictSame(staleExceptions(files, { 'wal/x.ts': 'a reason', 'wal/gone.ts': 'a reason' }), ['wal/gone.ts'])
})
