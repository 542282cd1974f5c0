/**
 * Tidiness that neither the compiler nor biome looks at: size of files and functions, headers, names of files,
 * leftovers, re-exports (STYLE A.2, A.3, A.6).
 *
 * Sizes are a ratchet: what is listed as too large may only shrink, and leaves the list when it has.
 */
import ts from 'typescript'
import { type Finding, findingAt, lineOf, parse, type SourceFile, walk } from './source-files.ts'

export const FILE_LINES_MAX = 400
export const FUNCTION_LINES_MAX = 70
/** Less than this says nothing. */
const HEADER_CHARS_MIN = 30

/** path, or path and function name -> the lines it may have until it is split. Meant to stay empty. */
export const RATCHET: Readonly<Record<string, number>> = {}

/** The front doors of the package; everywhere else an import names the file it needs. */
const FRONT_DOORS = ['client/client.ts', 'daemon/node.ts']

// the words are put together here so that this file does not find itself
const LEFTOVERS: readonly (readonly [RegExp, string])[] = [
  [
    new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`),
    'a leftover: an issue number or nothing',
  ],
  [/\bt(ap)?\.only\(/, 'only this test would run'],
]

export function checkTidiness(files: readonly SourceFile[], ratchet = RATCHET): Finding[] {
  return files.flatMap((file) => [
    ...sizeFindings(file, ratchet),
    ...nameFindings(file),
    ...leftoverFindings(file),
    ...(file.path.endsWith('.ts') ? exportFindings(file) : []),
  ])
}

function sizeFindings(file: SourceFile, ratchet: Readonly<Record<string, number>>): Finding[] {
  const findings: Finding[] = []
  const judge = (what: string, line: number, lines: number, normal: number): void => {
    const listed = ratchet[what]
    const max = listed ?? normal
    if (lines > max)
      findings.push({ path: file.path, line, what: `${what} has ${lines} lines, expected at most ${max}` })
    else if (listed !== undefined && lines < listed) {
      findings.push({
        path: file.path,
        line,
        what: `${what} has shrunk to ${lines} lines: change or remove it in RATCHET`,
      })
    }
  }
  judge(file.path, 1, file.text.trimEnd().split('\n').length, FILE_LINES_MAX)
  const source = parse(file)
  walk(source, (node) => {
    if (!ts.isFunctionLike(node) || isTestBody(file.path, node)) return
    const from = lineOf(source, node.getStart(source))
    judge(`${file.path} ${nameOf(node)}`, from, lineOf(source, node.end) - from + 1, FUNCTION_LINES_MAX)
  })
  return findings
}

/** `t.test('...', () => { ... })` is a chapter rather than a function. */
const isTestBody = (path: string, node: ts.Node): boolean =>
  path.startsWith('test/') && ts.isArrowFunction(node) && ts.isCallExpression(node.parent)

function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name !== undefined) return node.name.getText()
  return ts.isVariableDeclaration(node.parent) ? node.parent.name.getText() : 'function'
}

function nameFindings(file: SourceFile): Finding[] {
  const findings: Finding[] = []
  if (!/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)*\.(ts|mjs)$/.test(file.path)) {
    findings.push({ path: file.path, line: 1, what: 'the name of a file is in kebab-case' })
  }
  if (headerOf(file.text).length < HEADER_CHARS_MIN) {
    findings.push({ path: file.path, line: 1, what: 'a file opens with a /** header that says what it is for' })
  }
  return findings
}

/** The words of the opening comment; empty where there is none. */
const headerOf = (text: string): string =>
  (/^(?:#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? '').replace(/[\s*]+/g, ' ').trim()

function leftoverFindings(file: SourceFile): Finding[] {
  return file.text.split('\n').flatMap((text, index) =>
    LEFTOVERS.flatMap(([pattern, why]) => {
      const found = pattern.exec(text)
      return found ? [{ path: file.path, line: index + 1, what: `found '${found[0]}': ${why}` }] : []
    }),
  )
}

function exportFindings(file: SourceFile): Finding[] {
  const source = parse(file)
  const findings: Finding[] = []
  for (const node of source.statements) {
    if (!ts.isExportDeclaration(node) || node.moduleSpecifier === undefined) continue
    if (node.exportClause === undefined) findings.push(findingAt(source, node, 'export * hides what is exported'))
    else if (!FRONT_DOORS.includes(file.path)) {
      findings.push(findingAt(source, node, `only ${FRONT_DOORS.join(' and ')} re-export`))
    }
  }
  return findings
}
