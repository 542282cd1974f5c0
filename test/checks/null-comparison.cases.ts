/** Comparisons with null decide something; the check rejects what it must. */
import t from 'tap'
import ts from 'typescript'
import { checkNullComparisons } from './null-comparison.ts'
import { projectConfig, projectProgram, show } from './source-files.ts'

t.test('null-comparison: the house', async (t) => {
  const files = new Set(projectConfig().fileNames)
  t.strictSame(checkNullComparisons(projectProgram(), (path) => files.has(path)).map(show), [])
  t.ok(files.size > 0, 'there was something to check')
})

t.test('null-comparison: what it must reject and accept', async (t) => {
  const folder = t.testdir({
    'x.ts': `declare const a: string | undefined
declare const b: string | null | undefined
declare const c: unknown
declare const d: { e?: number; f: RegExpExecArray | null }[]
export const bad = [a === null, null !== a, d[0]?.e !== null, d === null]
export const good = [b === null, c === null, d[0]?.f !== null, a === undefined]
export const asked = typeof d !== 'object' || d === null
export const generic = <T>(g: T): boolean => g === null
`,
  })
  const program = ts.createProgram([`${folder}/x.ts`], { strict: true, noEmit: true, types: [] })
  const findings = checkNullComparisons(program, (path) => path.endsWith('/x.ts'))
  t.strictSame(
    findings.map((finding) => [finding.line, finding.what.split(' ')[0]]),
    ['a', 'a', 'd[0]?.e', 'd'].map((name) => [5, name]),
  )
})
