/**
 * The project's sources as the house checks see them, and the shape of what they find.
 *
 * A check is a pure function from files to findings, so that its own test can hand it files that it must reject. It
 * sees the files of the working tree, committed or not, and trusts no list: `listProject` walks the folders itself.
 */
import { readdirSync, readFileSync } from 'node:fs'
import ts from 'typescript'
import { PROJECT } from '../project.ts'

export interface SourceFile {
  /** Relative to the project, with `/`. */
  readonly path: string
  readonly text: string
}

export interface Finding {
  readonly path: string
  /** From 1. */
  readonly line: number
  readonly what: string
}

const OUTSIDE = /^(node_modules|dist|\.git|\.tap)(\/|$)/

/** Files of the project whose path matches, sorted. */
export function listProject(pattern: RegExp): string[] {
  return readdirSync(PROJECT, { withFileTypes: true })
    .filter((entry) => !OUTSIDE.test(entry.name))
    .flatMap((entry) =>
      entry.isDirectory()
        ? readdirSync(`${PROJECT}${entry.name}`, { recursive: true, encoding: 'utf8' }).map((p) => `${entry.name}/${p}`)
        : [entry.name],
    )
    .filter((path) => pattern.test(path))
    .sort()
}

const read = new Map<string, SourceFile>()

export const readProject = (pattern: RegExp): SourceFile[] =>
  listProject(pattern).map((path) => {
    const file = read.get(path) ?? { path, text: readFileSync(PROJECT + path, 'utf8') }
    read.set(path, file)
    return file
  })

/** What the compiler compiles, by tsconfig.json. */
export const projectConfig = (): ts.ParsedCommandLine =>
  ts.parseJsonConfigFileContent(JSON.parse(readFileSync(`${PROJECT}tsconfig.json`, 'utf8')), ts.sys, PROJECT)

let program: ts.Program | undefined

/** The whole project with its types: seconds of work, so that all checks share it, and run in one process. */
export function projectProgram(): ts.Program {
  if (program !== undefined) return program
  const { options, fileNames } = projectConfig()
  const own = { ...options, noEmit: true, incremental: false }
  program = ts.createProgram(fileNames, own, ts.createCompilerHost(own, true))
  return program
}

const parsed = new WeakMap<SourceFile, ts.SourceFile>()

/** Several rules look at one file: it is parsed once, those of the project with the program. */
export function parse(file: SourceFile): ts.SourceFile {
  const known = parsed.get(file)
  if (known !== undefined) return known
  const ours = read.get(file.path) === file ? projectProgram().getSourceFile(PROJECT + file.path) : undefined
  const source = ours ?? ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2023, true)
  parsed.set(file, source)
  return source
}

/** Calls `visit` for every node of the tree, parents first. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  node.forEachChild((child) => walk(child, visit))
}

export const lineOf = (source: ts.SourceFile, offset: number): number =>
  source.getLineAndCharacterOfPosition(offset).line + 1

export const findingAt = (source: ts.SourceFile, node: ts.Node, what: string): Finding => ({
  path: source.fileName.startsWith(PROJECT) ? source.fileName.slice(PROJECT.length) : source.fileName,
  line: lineOf(source, node.getStart(source)),
  what,
})

export const show = (finding: Finding): string => `${finding.path}:${finding.line} ${finding.what}`
