/**
 * Imports point one way (DESIGN 10): protocol <- wal <- store <- daemon <- tools; config and world stand on protocol
 * only, client on protocol and the production doors in world; test and bench may use everything, and nobody uses them.
 *
 * What counts as an import: static and dynamic imports, re-exports, imports of types, and `new URL('./x.js',
 * import.meta.url)`, by which worker files are named. A dynamic one whose target is no literal is a finding of its own,
 * since nobody can judge it. Rooms low in the house also depend on few packages (STYLE A.9).
 */
import { posix } from 'node:path'
import ts from 'typescript'
import { type Finding, findingAt, parse, type SourceFile, walk } from './source-files.ts'

/** room -> the rooms it may import, besides itself */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  wal: ['protocol'],
  store: ['protocol', 'wal'],
  config: ['protocol'],
  world: ['protocol'],
  client: ['protocol', 'world'],
  daemon: ['protocol', 'wal', 'store', 'config', 'world'],
  tools: ['protocol', 'wal', 'store', 'config', 'world', 'client', 'daemon'],
  bench: ['protocol', 'wal', 'store', 'config', 'world', 'client', 'daemon', 'tools'],
  test: ['protocol', 'wal', 'store', 'config', 'world', 'client', 'daemon', 'tools', 'bench'],
}

/** The decisions: a room within a room, which may not see the sockets and threads beside it. */
const CORE = 'daemon/core'
const CORE_MAY_IMPORT = ['protocol', 'wal', CORE]

/** Packages beyond Node's own modules, where they are limited. The core may not even have Node's own. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  protocol: ['msgpackr'],
  wal: ['fs-ext'],
  [CORE]: [],
}

/** The package as its users see it: examples import it by name. */
const OWN_NAME = new Map([
  ['travertine', 'client/client.ts'],
  ['travertine/node', 'daemon/node.ts'],
])

export interface ImportReport {
  readonly moduleCount: number
  readonly importCount: number
  readonly findings: readonly Finding[]
}

export function checkImports(files: readonly SourceFile[]): ImportReport {
  const known = new Set(files.map((file) => file.path))
  const findings: Finding[] = []
  let importCount = 0
  for (const file of files) {
    const source = parse(file)
    for (const { node, specifier } of importsOf(source)) {
      importCount++
      const what = judge(file.path, specifier, known)
      if (what !== undefined) findings.push(findingAt(source, node, what))
    }
  }
  return { moduleCount: files.length, importCount, findings }
}

interface Import {
  readonly node: ts.Node
  /** undefined: not a literal */
  readonly specifier: string | undefined
}

function importsOf(source: ts.SourceFile): Import[] {
  const imports: Import[] = []
  const add = (node: ts.Node, target: ts.Node | undefined): void => {
    imports.push({ node, specifier: target && ts.isStringLiteralLike(target) ? target.text : undefined })
  }
  walk(source, (node) => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier)
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) add(node, node.moduleSpecifier)
    else if (ts.isImportTypeNode(node))
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node, node.arguments[0])
    else if (isModuleUrl(node)) add(node, node.arguments?.[0])
  })
  return imports
}

/** `new URL(target, import.meta.url)`, unless the target is plainly something else than a module. */
function isModuleUrl(node: ts.Node): node is ts.NewExpression {
  if (!ts.isNewExpression(node) || node.expression.getText() !== 'URL') return false
  const [target, base] = node.arguments ?? []
  if (target === undefined || base?.getText() !== 'import.meta.url') return false
  return !ts.isStringLiteralLike(target) || /\.[cm]?[jt]s$/.test(target.text)
}

function judge(from: string, specifier: string | undefined, known: ReadonlySet<string>): string | undefined {
  const room = roomOf(from)
  if (room === undefined) return `the folder of this file is no room of the house (${Object.keys(ROOMS).join(', ')})`
  if (specifier === undefined) return room === 'test' ? undefined : 'the target of this import is no literal'
  const to = specifier.startsWith('.') ? resolve(from, specifier) : OWN_NAME.get(specifier)
  if (to === undefined) return judgePackage(from, specifier)
  if (!known.has(to)) return `${specifier} is no source file of the project`
  const target = roomOf(to)
  if (from.startsWith(`${CORE}/`) && !CORE_MAY_IMPORT.some((folder) => to.startsWith(`${folder}/`))) {
    return `${CORE} must not import ${to}`
  }
  const allowed = target === room || (target !== undefined && ROOMS[room]?.includes(target) === true)
  return allowed ? undefined : `${room} must not import ${target ?? to}`
}

function judgePackage(from: string, specifier: string): string | undefined {
  const isNodes = specifier.startsWith('node:')
  for (const [folder, packages] of Object.entries(PACKAGES)) {
    if (!from.startsWith(`${folder}/`)) continue
    if (isNodes ? folder === CORE : !packages.includes(specifier)) return `${folder} must not import ${specifier}`
  }
  return undefined
}

function roomOf(path: string): string | undefined {
  const room = path.slice(0, path.indexOf('/'))
  return Object.hasOwn(ROOMS, room) ? room : undefined
}

/** Workers are named by their compiled file; its source stands at the same place. */
const resolve = (from: string, specifier: string): string =>
  posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts')
