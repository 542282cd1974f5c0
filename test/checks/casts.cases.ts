/** No cast without a reason; the check rejects what it must. */
import t from 'tap'
import { checkCasts } from './casts.ts'
import { readProject, show } from './source-files.ts'

t.test('casts: the house', async (t) => {
  const files = readProject(/\.ts$/)
  t.ok(files.length > 0, 'there was something to check')
  t.strictSame(checkCasts(files).map(show), [])
})

const linesOf = (text: string): number[] => checkCasts([{ path: 'x.ts', text }]).map((finding) => finding.line)

t.test('casts: what it must reject', async (t) => {
  t.strictSame(linesOf('const a = b as string'), [1])
  t.strictSame(linesOf('// about something else\n\nconst a = b as string'), [3], 'an empty line lies between')
  t.strictSame(linesOf('const a = b as string\n// too late'), [1])
  t.strictSame(
    linesOf('function f() {\n  g(b as string)\n  return 1 // one\n}'),
    [2],
    'at the end of another statement',
  )
  t.strictSame(linesOf('const a = b as unknown as string'), [1, 1], 'both halves of a double cast')
  t.strictSame(linesOf(`const a = '// no comment' +\n  (b as string)`), [2], 'a string is no comment')
  t.strictSame(linesOf('const a = <string>b // why'), [1], 'the old form')
  t.strictSame(linesOf('const a = b as A\n// The casts below are right.\n'), [1], 'not what stands above')
  t.strictSame(linesOf('// why\nconst a = b as A\nconst c = 1\nconst d = e as E'), [4], 'the run of casts was broken')
})

t.test('casts: what it must accept', async (t) => {
  t.strictSame(linesOf('const a = b as string // checked above'), [])
  t.strictSame(linesOf('// checked above\nconst a = b as string'), [])
  t.strictSame(linesOf('/** Checked above. */\nconst a = (b: B) => b as string'), [])
  t.strictSame(linesOf('f(\n  b as string, // checked above\n  c,\n)'), [])
  t.strictSame(linesOf('// checked above\nf(\n  c,\n  b as string,\n)'), [], 'above the statement')
  t.strictSame(linesOf('f(\n  b as string,\n) // checked above'), [], 'at the end of the statement')
  t.strictSame(
    linesOf('for (const a of b as A[]) {\n  // checked above\n  c()\n}'),
    [],
    'at the beginning of the block',
  )
  t.strictSame(linesOf('// of our own making\nconst a = b as A\nconst c = d as C'), [], 'a run of casts')
  t.strictSame(
    linesOf('// The casts below are right.\nconst a = b as A\n\nconst c = d as C'),
    [],
    'the rest of the file',
  )
  t.strictSame(linesOf(`import { a as b } from './a.ts'\nexport { b as c }`), [])
  t.strictSame(linesOf('const a = [1] as const\nconst c = { a } satisfies C'), [])
})
