/** docs/DURABILITY.md claims nothing without a test or a rule, and what it names is there. */
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { FAULT_KINDS } from '../simulator/configuration.ts'

const page = readFileSync(`${PROJECT}docs/DURABILITY.md`, 'utf8')
const rulesIn = (file: string): string => readFileSync(`${PROJECT}test/simulator/${file}`, 'utf8')

const filesNamedIn = (text: string): string[] =>
  [...text.matchAll(/(?<!dist\/)\btest\/[\w./-]+/g)].map(([path]) => path.replace(/\.$/, ''))

/** `a` in "rule `a`", "rules `a` and `b`". */
const namedAs = (word: string, text: string): string[] =>
  [...text.matchAll(new RegExp(`\\b${word}s?((?:(?:,| and)? \`[^\`]+\`)+)`, 'g'))].flatMap(([, list]) =>
    [...list!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!),
  )

t.test('durability: files that are named exist', async (t) => {
  const files = filesNamedIn(page)
  t.ok(files.length > 40, `${files.length} names`)
  t.strictSame(
    files.filter((path) => !existsSync(PROJECT + path)),
    [],
  )
})

t.test('durability: rules and faults that are named exist', async (t) => {
  const source = rulesIn('checkers.ts') + rulesIn('rot.ts')
  const rules = namedAs('rule', page)
  t.ok(rules.length > 10, `${rules.length} rules`)
  t.strictSame(
    rules.filter((rule) => !source.includes(`'${rule}'`)),
    [],
  )
  const kinds: readonly string[] = FAULT_KINDS
  const faults = namedAs('fault', page)
  t.ok(faults.length > 8, `${faults.length} faults`)
  t.strictSame(
    faults.filter((fault) => !kinds.includes(fault)),
    [],
  )
})

t.test('durability: what it must reject', async (t) => {
  t.strictSame(filesNamedIn('| x | test/wal/no-such.test.ts; rule |'), ['test/wal/no-such.test.ts'])
  t.strictSame(namedAs('rule', 'by rules `a` and `b c`, fault `d`'), ['a', 'b c'])
})
