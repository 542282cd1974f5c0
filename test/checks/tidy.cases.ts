/** The house is tidy and speaks its own words; the checks reject what they must. */
import t from 'tap'
import { readProject, type SourceFile, show } from './source-files.ts'
import { checkTidiness, FILE_LINES_MAX, FUNCTION_LINES_MAX, RATCHET } from './tidy.ts'
import { checkWords, FORBIDDEN } from './words.ts'

t.test('tidy: the house', async (t) => {
  const files = readProject(/\.(ts|mjs)$/)
  t.ok(files.length > 0, 'there was something to check')
  t.strictSame(checkTidiness(files).map(show), [])
  const paths = files.map((file) => file.path)
  t.strictSame(
    Object.keys(RATCHET).filter((key) => !paths.includes(key.split(' ')[0] ?? '')),
    [],
    'the ratchet names files that exist',
  )
})

t.test('tidy: the words of the house', async (t) => {
  const quoting = /^(docs\/decisions\/|test\/checks\/(words|tidy\.cases)\.ts$)/
  const files = readProject(/\.(ts|mjs|md)$/).filter((file) => !quoting.test(file.path))
  t.strictSame(checkWords(files).map(show), [])
})

const HEADER = '/** What this file is for, and what it is not for. */\n'
const findingsOf = (text: string, path = 'wal/x.ts', ratchet = {}): string[] =>
  checkTidiness([{ path, text }], ratchet).map((finding) => finding.what)
const linesOf = (count: number): string => `${HEADER}${'a()\n'.repeat(count - 1)}`
const functionOf = (lines: number): string => `${HEADER}function f() {\n${'a()\n'.repeat(lines - 2)}}\n`

t.test('tidy: sizes', async (t) => {
  t.strictSame(findingsOf(linesOf(FILE_LINES_MAX)), [])
  t.strictSame(findingsOf(linesOf(401)), ['wal/x.ts has 401 lines, expected at most 400'])
  t.strictSame(findingsOf(functionOf(FUNCTION_LINES_MAX)), [])
  t.strictSame(findingsOf(functionOf(71)), ['wal/x.ts f has 71 lines, expected at most 70'])
  t.strictSame(findingsOf(linesOf(410), 'wal/x.ts', { 'wal/x.ts': 410 }), [], 'listed as too large')
  t.match(findingsOf(linesOf(411), 'wal/x.ts', { 'wal/x.ts': 410 }), [/at most 410/], 'it may not grow')
  t.match(findingsOf(linesOf(405), 'wal/x.ts', { 'wal/x.ts': 410 }), [/has shrunk to 405/], 'it may not grow again')
  const chapter = `${HEADER}t.test('a', async (t) => {\n${'a()\n'.repeat(80)}})\n`
  t.strictSame(findingsOf(chapter, 'test/x.test.ts'), [], 'a test body is no function')
  t.match(findingsOf(chapter, 'wal/x.ts'), [/has 82 lines/])
})

t.test('tidy: headers and names', async (t) => {
  const header = ['a file opens with a /** header that says what it is for']
  t.strictSame(findingsOf('export const a = 1\n'), header)
  t.strictSame(findingsOf(`import a from './a.ts'\n${HEADER}`), header, 'not the first thing')
  t.strictSame(findingsOf('/** x */\nconst a = 1\n'), header, 'says nothing')
  t.strictSame(findingsOf('/**\n *\n */\nconst a = 1\n/** A comment further down that says very much. */\n'), header)
  t.strictSame(findingsOf('// What this file is for, and what it is not for.\n'), header)
  t.strictSame(findingsOf(`#!/usr/bin/env node\n${HEADER}`, 'tools/main.ts'), [])
  t.strictSame(findingsOf(HEADER, 'wal/channelLog.ts'), ['the name of a file is in kebab-case'])
  t.strictSame(findingsOf(HEADER, 'test/wal/channel-log.slow.test.ts'), [])
})

t.test('tidy: leftovers', async (t) => {
  for (const word of ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX']) {
    t.match(findingsOf(`${HEADER}// ${word}: later\n`), [/a leftover/], word)
  }
  t.match(findingsOf(`${HEADER}t.${'only'}('a', () => {})\n`, 'test/x.test.ts'), [/only this test would run/])
  t.strictSame(findingsOf(`${HEADER}const only = todoList.only\n`), [])
})

t.test('tidy: re-exports', async (t) => {
  t.match(findingsOf(`${HEADER}export { a } from './a.ts'\n`), [/only client\/client.ts and daemon\/node.ts re-export/])
  t.match(findingsOf(`${HEADER}export type { A } from './a.ts'\n`), [/re-export/])
  t.match(findingsOf(`${HEADER}export * from './a.ts'\n`, 'client/client.ts'), [/export \* hides/])
  t.strictSame(findingsOf(`${HEADER}export { a } from './a.ts'\n`, 'client/client.ts'), [])
  t.strictSame(findingsOf(`${HEADER}const a = 1\nexport { a }\n`), [])
})

t.test('tidy: words', async (t) => {
  const wordsOf = (text: string): number => checkWords([{ path: 'x.ts', text } satisfies SourceFile]).length
  for (const word of Object.keys(FORBIDDEN)) {
    t.equal(wordsOf(`// the ${word} is`), 1, word)
    t.equal(wordsOf(`const ${word.replace(' ', '_').toUpperCase()} = 1`), 1, `${word} in capitals`)
  }
  for (const text of ['currentLeader', 'leaderId', 'myLSN', 'flushPosition', 'commit-index', 'a.commitIndex']) {
    t.equal(wordsOf(text), 1, text)
  }
  for (const text of ['misleaders', 'enslave', 'commit the index', 'flush at a position', 'ringleader']) {
    t.equal(wordsOf(text), 0, text)
  }
})
