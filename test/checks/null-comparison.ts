/**
 * Nobody compares with `null` what may be `undefined` but never null: `!== null` is then always true (STYLE A.20).
 *
 * The compiler allows it, so this check asks the compiler for the type of the other side. `typeof x !== 'object' ||
 * x === null` stays allowed: it asks what a caller without types has really passed.
 */
import ts from 'typescript'
import { type Finding, findingAt, walk } from './source-files.ts'

/** @param wanted which of the program's files to look at */
export function checkNullComparisons(program: ts.Program, wanted: (path: string) => boolean): Finding[] {
  const checker = program.getTypeChecker()
  const findings: Finding[] = []
  for (const source of program.getSourceFiles()) {
    if (!wanted(source.fileName)) continue
    walk(source, (node) => {
      const other = comparedWithNull(node)
      if (other === undefined || node.parent.getText(source).includes(`typeof ${other.getText(source)} `)) return
      if (!mayBeNull(checker.getTypeAtLocation(other))) {
        findings.push(
          findingAt(source, node, `${other.getText(source)} is never null: this comparison decides nothing`),
        )
      }
    })
  }
  return findings
}

/** The other side of `=== null`, `null !== ` and their like. */
function comparedWithNull(node: ts.Node): ts.Expression | undefined {
  if (!ts.isBinaryExpression(node)) return undefined
  const { EqualsEqualsEqualsToken, ExclamationEqualsEqualsToken } = ts.SyntaxKind
  if (![EqualsEqualsEqualsToken, ExclamationEqualsEqualsToken].includes(node.operatorToken.kind)) return undefined
  if (node.right.kind === ts.SyntaxKind.NullKeyword) return node.left
  return node.left.kind === ts.SyntaxKind.NullKeyword ? node.right : undefined
}

function mayBeNull(type: ts.Type): boolean {
  const anything = ts.TypeFlags.Null | ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.TypeParameter
  return type.isUnion() ? type.types.some(mayBeNull) : (type.flags & anything) !== 0
}
