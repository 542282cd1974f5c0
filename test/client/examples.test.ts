/**
 * docs/CLIENT.md cannot drift: each of its examples is type-checked, is run as a program of its own, must end by itself
 * and print what the page says.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { startExampleNode } from './example-node.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const PROJECT = join(HERE, '..', '..', '..')
const SECONDS_MAX = 60

interface Example {
  readonly code: string
  readonly line: number
  /** What the page says it prints. */
  readonly output: string | undefined
}

/** A block of TypeScript, and the block of text that follows it directly. */
const BLOCK = /^```ts\n([\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm

function examplesOf(page: string): Example[] {
  return [...page.matchAll(BLOCK)].map(({ index, 1: code = '', 2: output }) => {
    return { code, output, line: page.slice(0, index).split('\n').length + 1 }
  })
}

/** The compiler's complaints about the examples, as programs that use the built package. */
function complaints(files: readonly string[]): string[] {
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts'],
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  }
  const program = ts.createProgram([...files], options)
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line + 1
    return `${file?.fileName}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

const page = readFileSync(join(PROJECT, 'docs', 'CLIENT.md'), 'utf8')
const examples = examplesOf(page)
// inside of the package, so that it finds itself by its own name
const folder = mkdtempSync(join(HERE, 'examples-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

t.test('the page has examples', async (t) => {
  t.ok(examples.length >= 6, `${examples.length} examples`)
  t.equal(examples.length, page.split('```ts\n').length - 1, 'all of them were found')
  t.ok(
    examples.every(({ output }) => output !== undefined),
    'each says what it prints',
  )
})

t.test('their types are right', async (t) => {
  const files = examples.map(({ code, line }) => {
    const file = join(folder, `line-${line}.mts`)
    writeFileSync(file, code)
    return file
  })
  const wrong = join(folder, 'wrong.mts')
  writeFileSync(wrong, `import { connect } from 'travertine'\nawait connect({ adress: 'localhost:1' })\n`)
  const found = complaints([...files, wrong]) // of one program: most of its time goes to what all of them import
  t.match(found, [/wrong.mts:2: .*adress/], 'a wrong one is noticed')
  t.equal(found.length, 1, 'none of the page is', { found })
})

t.test('they do what the page says', async (t) => {
  const address = await startExampleNode(t)
  const env = { ...process.env, TRAVERTINE_ADDRESS: address }
  for (const { code, line, output } of examples) {
    const file = join(folder, `line-${line}.mjs`)
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
    writeFileSync(file, ts.transpileModule(code, { compilerOptions }).outputText)
    const run = promisify(execFile)(process.execPath, [file], { env, timeout: SECONDS_MAX * 1000 })
    const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error)
    t.equal(stdout, output, `docs/CLIENT.md line ${line}`)
    t.equal(stderr, '', `nothing on stderr, line ${line}`)
  }
})
