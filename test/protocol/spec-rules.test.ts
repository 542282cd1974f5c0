/**
 * Every normative rule has a test that names it, and every rule that is named exists.
 *
 * A test shows a rule by naming it (`WAL-7`) in a test's name or a comment; transcripts of the core are tests too. Rules
 * that no test names yet are listed below with the file expected; the list must shrink: an entry whose rule is named by
 * a test by now is an error.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repositoryRoot } from './repository-root.ts'
import { readDocument, rulesNamedIn, rulesOf, SPECIFICATIONS } from './spec-document.ts'

/** rule -> the test file that is expected to show it */
const PENDING: Readonly<Record<string, string>> = {
  'WAL-26': 'test/store/apply.test.ts',
  'REP-2': 'test/transcripts/master-client-refused.txt',
  'REP-6': 'test/daemon/bad-input.test.ts',
  'REP-26': 'test/daemon/pressure.test.ts',
  'REP-32': 'test/daemon/replication.test.ts',
  'REP-68': 'test/client/resume.test.ts',
}

/** The list may only become shorter; lower this with it. */
const PENDING_MAX = 6

const THIS_FILE = 'test/protocol/spec-rules.test.ts'

function filesUnder(directory: string, pattern: RegExp): { readonly path: string; readonly text: string }[] {
  const found = readdirSync(join(repositoryRoot, directory), { recursive: true, encoding: 'utf8' })
  return found
    .filter((name) => pattern.test(name))
    .map((name) => ({
      path: `${directory}/${name}`,
      text: readFileSync(join(repositoryRoot, directory, name), 'utf8'),
    }))
}

const rules = SPECIFICATIONS.flatMap((name) => rulesOf(readDocument(name)))
const tests = filesUnder('test', /(\.test\.ts|^transcripts\/.*\.txt)$/).filter(({ path }) => path !== THIS_FILE)
const shown = new Set(tests.flatMap(({ text }) => [...rulesNamedIn(text)]))

/** Rules without a test, and entries of `pending` that are not pending. */
function judge(
  all: readonly string[],
  named: ReadonlySet<string>,
  pending: Readonly<Record<string, string>>,
): { untested: string[]; stale: string[] } {
  return {
    untested: all.filter((rule) => !named.has(rule) && !Object.hasOwn(pending, rule)),
    stale: Object.keys(pending).filter((rule) => named.has(rule) || !all.includes(rule)),
  }
}

t.test('every rule has a test that names it', (t) => {
  t.ok(rules.length > 80, 'the pages have rules')
  const { untested, stale } = judge(rules, shown, PENDING)
  t.same(untested, [], 'rules without a test')
  t.same(stale, [], 'rules in PENDING that a test names, or that do not exist')
  t.equal(Object.keys(PENDING).length, PENDING_MAX, 'PENDING shrinks, and PENDING_MAX with it')
  t.end()
})

t.test('rules are numbered once, in ascending order', (t) => {
  for (const name of SPECIFICATIONS) {
    const numbers = rulesOf(readDocument(name)).map((rule) => Number(rule.slice(4)))
    t.same(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
      name,
    )
    const headings = [...readDocument(name).matchAll(/^\*\*[A-Z]+-\d+/gm)].length
    t.equal(numbers.length, headings, `${name}: every bold number opens a rule`)
  }
  t.end()
})

t.test('every rule that code, tests or pages name exists', (t) => {
  const folders = ['protocol', 'wal', 'daemon', 'client', 'tools', 'test']
  const texts = [
    ...folders.flatMap((folder) => filesUnder(folder, /\.(ts|txt)$/)),
    ...SPECIFICATIONS.map((name) => ({ path: `docs/${name}.md`, text: readDocument(name) })),
  ]
  for (const { path, text } of texts) {
    if (path === THIS_FILE) continue
    const unknown = [...rulesNamedIn(text)].filter((rule) => !rules.includes(rule))
    t.same(unknown, [], path)
  }
  t.end()
})

t.test('the judge is not blind', (t) => {
  const all = ['WAL-1', 'WAL-2', 'REP-1']
  t.same(judge(all, new Set(['WAL-1', 'REP-1']), {}), { untested: ['WAL-2'], stale: [] })
  t.same(judge(all, new Set(['WAL-1', 'REP-1']), { 'WAL-2': 'x' }), { untested: [], stale: [] })
  t.same(judge(all, new Set(all), { 'WAL-2': 'x', 'WAL-3': 'x' }), { untested: [], stale: ['WAL-2', 'WAL-3'] })
  t.same(rulesOf('**WAL-1** A.\n\nB WAL-2 **WAL-3** C\n**REP-4** D'), ['WAL-1', 'REP-4'])
  t.same([...rulesNamedIn("t.test('WAL-10: x') // REP-2 and WAL-1")], ['WAL-10', 'REP-2', 'WAL-1'])
  t.end()
})
