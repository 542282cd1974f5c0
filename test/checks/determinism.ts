/**
 * Rooms that must not look at a clock, draw a random number or start a timer by themselves: their tests and the simulator hand them
 * all of that through arguments and doors (STYLE A.1), and a second source would make a seed no longer reproduce a run.
 *
 * daemon/core is stricter: it decides and returns, so it has no `await`, no promise, no process and no console either.
 * The check goes by names: it does not follow an alias (`const c = globalThis`), which a reader would ask about.
 */
import ts from 'typescript'
import { type Finding, findingAt, parse, type SourceFile, walk } from './source-files.ts'

/** file -> why it may after all */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'daemon/metrics/heartbeat.ts': 'whether the event loop of this thread turns is seen on its real clock only',
  'daemon/metrics/loop-delay.ts': 'the same',
  'daemon/metrics/measured-disk.ts':
    'how long the real disk takes; it stands around the disk door, and decides nothing',
  'daemon/node-probe.ts': 'whether the event loop of the control thread turns, the same',
  'daemon/init-node.ts': 'ids of a new cluster and node are made once, by a command; no node runs yet',
  'wal/directory-lock.ts': 'the owner record tells people since when it is held; no decision rests on it',
}

const CLOCK_AND_CHANCE = [
  'Date',
  'performance',
  'hrtime',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'nextTick',
  'randomBytes',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'getRandomValues',
]
const WORLD = ['Promise', 'process', 'console', 'globalThis', 'fetch', 'Worker', 'Atomics']

const ROOMS: readonly (readonly [string, ReadonlySet<string>])[] = [
  ['protocol/', new Set(CLOCK_AND_CHANCE)],
  ['wal/', new Set(CLOCK_AND_CHANCE)],
  ['daemon/core/', new Set([...CLOCK_AND_CHANCE, ...WORLD])],
  ['daemon/', new Set(CLOCK_AND_CHANCE)],
  ['client/', new Set(CLOCK_AND_CHANCE)],
]

export function checkDeterminism(files: readonly SourceFile[], exceptions = EXCEPTIONS): Finding[] {
  return files.flatMap((file) => {
    const forbidden = ROOMS.find(([folder]) => file.path.startsWith(folder))?.[1]
    if (forbidden === undefined || Object.hasOwn(exceptions, file.path)) return []
    return findingsOf(file, forbidden, file.path.startsWith('daemon/core/'))
  })
}

/** An exception for a file that is gone, or that no longer needs it, is a finding too. */
export function staleExceptions(files: readonly SourceFile[], exceptions = EXCEPTIONS): string[] {
  const needed = new Set(checkDeterminism(files, {}).map((finding) => finding.path))
  return Object.keys(exceptions).filter((path) => !needed.has(path))
}

function findingsOf(file: SourceFile, forbidden: ReadonlySet<string>, synchronous: boolean): Finding[] {
  const source = parse(file)
  const findings: Finding[] = []
  walk(source, (node) => {
    if (ts.isIdentifier(node) && forbidden.has(node.text) && !isOwnName(node)) {
      findings.push(findingAt(source, node, `must not use ${node.text}`))
    } else if (ts.isPropertyAccessExpression(node) && node.getText(source) === 'Math.random') {
      findings.push(findingAt(source, node, 'must not use Math.random'))
    } else if (synchronous && isAsynchronous(node)) {
      findings.push(findingAt(source, node, 'must be synchronous'))
    }
  })
  return findings
}

/** `effect.process` or `{ process: 1 }` is a name of ours; `process.hrtime` and a bare `process` are the world's. */
function isOwnName(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node && !isWorldly(parent.expression)
  return (
    (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent)) &&
    parent.name === node
  )
}

const isWorldly = (node: ts.Node): boolean =>
  ts.isIdentifier(node) && ['process', 'crypto', 'globalThis', 'timers'].includes(node.text)

function isAsynchronous(node: ts.Node): boolean {
  return (
    ts.isAwaitExpression(node) ||
    node.kind === ts.SyntaxKind.AsyncKeyword ||
    (ts.isForOfStatement(node) && node.awaitModifier !== undefined)
  )
}
