/**
 * Every cast says why it is right: `value as Type` has a comment on its line, on the line above it, above the statement
 * that it stands in, at the end of that statement, or as the first line of the block that it opens (the formatter moves
 * comments to the latter two). Casts on consecutive lines may share the comment above the first, and a comment that
 * speaks of "the casts below" stands for the rest of its file.
 *
 * Not casts: `as const`, `satisfies`, and renames in imports and exports. The old form `<Type>value` is not allowed.
 */
import ts from 'typescript'
import { type Finding, findingAt, lineOf, parse, type SourceFile, walk } from './source-files.ts'

const CASTS_BELOW = /^ *(\/\/|\*|\/\*\*) .*\bthe casts below\b/im

export function checkCasts(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) => findingsOf(parse(file)))
}

function findingsOf(source: ts.SourceFile): Finding[] {
  const findings: Finding[] = []
  let found: Set<number> | undefined
  const explains = (line: number): boolean => {
    found ??= commentLines(source) // most files have no cast
    return found.has(line)
  }
  const allBelow = source.text.search(CASTS_BELOW)
  const explained = new Set<number>()
  walk(source, (node) => {
    if (ts.isTypeAssertionExpression(node)) findings.push(findingAt(source, node, 'write the cast as `value as Type`'))
    if (!ts.isAsExpression(node) || ts.isConstTypeReference(node.type)) return
    if (allBelow !== -1 && node.pos > allBelow) return
    const line = lineOf(source, node.type.getStart(source))
    const statement = statementOf(node)
    const above = [line - 1, lineOf(source, statement.getStart(source)) - 1]
    const below = [lineOf(source, statement.end), opensBlock(source, line) ? line + 1 : line]
    if (below.some(explains) || above.some((other) => explains(other) || explained.has(other))) explained.add(line)
    else findings.push({ ...findingAt(source, node, 'a cast without a comment that says why it is right'), line })
  })
  return findings
}

/** Lines on which a comment stands or ends. */
function commentLines(source: ts.SourceFile): Set<number> {
  const lines = new Set<number>()
  const add = (ranges: ts.CommentRange[] | undefined): void => {
    for (const { pos, end } of ranges ?? []) {
      for (let line = lineOf(source, pos); line <= lineOf(source, end); line++) lines.add(line)
    }
  }
  walk(source, (node) => {
    if (ts.isJSDoc(node)) return
    for (const offset of [node.getFullStart(), node.end]) {
      add(ts.getLeadingCommentRanges(source.text, offset))
      add(ts.getTrailingCommentRanges(source.text, offset))
    }
  })
  return lines
}

const opensBlock = (source: ts.SourceFile, line: number): boolean =>
  /\{\s*$/.test(source.text.split('\n')[line - 1] ?? '')

function statementOf(node: ts.Node): ts.Node {
  let at = node
  while (!ts.isStatement(at) && !ts.isClassElement(at) && !ts.isSourceFile(at.parent)) at = at.parent
  return at
}
