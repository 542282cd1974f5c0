/**
 * Runs the compiled tests, four processes at a time, and judges them: what `npm test` does after the set-up.
 *
 *   npm test                          everything but the slow files
 *   npm test -- wal/ board            only files whose path contains one of the words
 *   npm test -- --slow                the files named *.slow.test.ts too
 *
 * tap is the runner, used as a library: each file is a `t.spawn` of plain `node file.test.js`. tap's own command does
 * the same with a loader in each file; without it a file takes about half the time, and tap needs no build step. Small
 * files of one folder share a process (together.mjs).
 *
 * Invariants:
 *   - The closing line `N passed, N failed, N skipped` counts assertions and comes from tap's totals. A file that
 *     fails as a whole (exit code, signal, time limit, no test in it) counts as one failure.
 *   - Ends with 0 only if something passed and nothing failed.
 *   - Never hangs: each file has a time limit, and whatever processes a file has started die with it.
 */
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect, parseArgs } from 'node:util'
import t from 'tap'

const PROJECT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const TOGETHER = join(PROJECT, 'tools', 'dev', 'together.mjs')
/** Two more than the cores that CI has: many files mostly wait for processes that they have started. */
const JOBS = 4
/**
 * What begins first. Checks of the house are quick, and what they find is quickly mended. Those that take a minute and
 * more come next: at the end they would run alone.
 */
const FIRST = ['checks/', 'torture/', 'board/', 'tools/run-end', 'tools/up', 'tools/member']
/**
 * Small files, which share a process with others of their folder: they start few processes or none, leave their own one as
 * they have found it, and use of tap's own object no hook and no plan.
 */
const SMALL =
  /^(client|config|core|metrics|protocol|sim|wal)\/|^bench\/(floor|meter|report)|^tools\/(command-line|compare|completion|config|demo-compare|inspect-report|loader|node-settings|operations|progress|read-log|record|session-order|verify-(log|rules))/
/** Their processes have listeners of their own, or a hook for the whole file. */
const ALONE = ['client/examples', 'client/lost-connection', 'client/outcomes']
const TOGETHER_MAX = 8
/** Several times what the longest needs on an idle machine. */
const FILE_SECONDS_MAX = 300
const SLOW_FILE_SECONDS_MAX = 1800
/** A file that runs out of time says what it waits for; after this tap ends it, and after as long again we do. */
const REPORT_MS = 2_000
/** Of what a failed file has written to stderr, the end is shown. */
const STDERR_CHARS_SHOWN = 8_000
/** What tap says of a file that printed no test; a file that skips itself gives a reason of its own. */
const NO_TESTS = 'no tests found'
const SLOW_REASON = 'slow; run with: npm test -- --slow'

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    slow: { type: 'boolean', default: false },
    // the next three are for the runner's own test
    root: { type: 'string', default: join(PROJECT, 'dist', 'test') },
    tap: { type: 'string', default: join(PROJECT, '.tap', 'last-run.tap') },
    seconds: { type: 'string' },
  },
})
/** Per process: tap's test object, and what the file has written to stderr. */
const runs = new Map()
/** Processes that run now; each leads a process group. */
const pids = new Set()
const skips = []
const failedFiles = []

async function main() {
  const startedAt = Date.now()
  const files = selectFiles()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupted)
  prepareTap()
  await Promise.all(inProcesses(files).map(runFiles))
  await new Promise((resolve) => {
    t.on('complete', resolve)
    t.end()
  })
  finish(files.length, (Date.now() - startedAt) / 1000)
}

function selectFiles() {
  if (!existsSync(options.root)) return []
  const wanted = words.map((word) => word.replace(/^(dist\/)?test\//, '').replace(/\.(ts|js)$/, ''))
  const rank = (path) => `${FIRST.findIndex((start) => path.startsWith(start)) + 1 || FIRST.length + 1} ${path}`
  return readdirSync(options.root, { recursive: true })
    .filter((path) => path.endsWith('.test.js'))
    .filter(hasSource)
    .filter((path) => wanted.length === 0 || wanted.some((word) => path.includes(word)))
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
}

/** A compiler that runs without the set-up leaves behind what it has once made of a source that is gone. */
function hasSource(path) {
  const sources = join(options.root, '..', '..', 'test')
  return !existsSync(sources) || existsSync(join(sources, path.replace(/\.js$/, '.ts')))
}

/** @returns for each process the files that run in it */
function inProcesses(paths) {
  const processes = []
  const open = new Map()
  for (const path of paths) {
    const isSmall =
      SMALL.test(path) && !path.endsWith('.slow.test.js') && !ALONE.some((start) => path.startsWith(start))
    const folder = isSmall ? dirname(path) : undefined
    const together = folder === undefined ? undefined : open.get(folder)
    if (together !== undefined && together.length < TOGETHER_MAX) together.push(path)
    else {
      const fresh = [path]
      processes.push(fresh)
      open.set(folder, fresh)
    }
  }
  return processes
}

function prepareTap() {
  mkdirSync(dirname(options.tap), { recursive: true })
  t.pipe(createWriteStream(options.tap)) // for whoever wants to read more than the failures
  t.setTimeout(0)
  t.jobs = JOBS
  t.on('spawn', (test) => {
    const run = { test, stderr: '' }
    runs.set(test.name, run)
    // a process group of its own, so that a file can be ended together with all that it has started
    test.on('preprocess', (spawnOptions) => Object.assign(spawnOptions, { detached: true }))
    test.on('process', (child) => watch(run, child, test.options.timeout + REPORT_MS))
    test.on('complete', refuseEmpty)
  })
}

function watch(run, child, msMax) {
  pids.add(child.pid)
  const timer = setTimeout(() => killGroup(child.pid), msMax) // a file may have lifted tap's limit
  child.stderr.setEncoding('utf8').on('data', (text) => {
    run.stderr = (run.stderr + text).slice(-STDERR_CHARS_SHOWN)
  })
  child.once('exit', () => {
    clearTimeout(timer)
    pids.delete(child.pid)
    killGroup(child.pid) // a process left behind would hold the pipes open, and tap waits for their end
  })
}

async function runFiles(paths) {
  const [path] = paths
  const name = paths.length === 1 ? path : `${path} and ${paths.length - 1} more of ${dirname(path)}/`
  const slow = path.endsWith('.slow.test.js')
  if (slow && !options.slow) {
    t.pass(path, { skip: SLOW_REASON })
    skips.push(`${path}: ${SLOW_REASON}`)
    return
  }
  const seconds = Number(options.seconds ?? (slow ? SLOW_FILE_SECONDS_MAX : FILE_SECONDS_MAX))
  const results = await t.spawn(
    process.execPath,
    paths.length === 1 ? [join(options.root, path)] : [TOGETHER, options.root, ...paths],
    {
      buffered: true,
      cwd: PROJECT,
      env: { ...process.env, TAP_TIMEOUT: String(seconds) },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: seconds * 1000 + REPORT_MS,
    },
    name,
  )
  report(name, results)
}

/** A file without a test is a skip to tap, and a mistake to us: whatever it was to test is not tested. */
function refuseEmpty(results) {
  if (results.plan.skipReason !== NO_TESTS) return
  results.plan.skipAll = false
  results.ok = false
}

function report(path, results) {
  const { test, stderr } = runs.get(path)
  const { counts, lists } = test
  const good = results?.ok === true
  const figure = good ? `${counts.pass}` : counts.fail > 0 ? `${counts.fail} of ${counts.total}` : 'file'
  console.log(`${good ? 'ok  ' : 'FAIL'} ${figure.padStart(9)}  ${path}  ${(test.time / 1000).toFixed(1)} s`)
  if (good && results.plan.skipAll) skips.push(`${path}: ${results.plan.skipReason}`)
  for (const skip of [...lists.skip, ...lists.todo]) skips.push(`${nameOf(skip)}: ${reasonOf(skip)}`)
  if (good) return
  failedFiles.push(path)
  for (const failure of lists.fail) console.log(describe(failure))
  if (lists.fail.length === 0) console.log(`  ${reasonWithoutFailure(test)}`)
  if (stderr) console.log(indent(`stderr:\n${inSources(stderr)}`))
}

/** A shared process is no part of a test's name: the file is. */
const nameOf = ({ fullname }) => fullname.replace(/^.* more of \S+ > /, '')

function reasonOf({ skip, todo }) {
  const reason = skip || todo
  return typeof reason === 'string' ? reason : 'no reason given'
}

function reasonWithoutFailure({ timedOut, options: { exitCode, signal } }) {
  if (timedOut) return `ran out of time and was ended by ${signal}`
  if (signal || exitCode) return `ended with ${signal ?? `exit code ${exitCode}`}`
  return 'there is no test in this file'
}

function describe({ fullname, diag }) {
  const { diff, output, stack, source, at, args, command, stdio, jobId, tapCaught, compare, ...rest } = diag ?? {}
  const place = stack?.trim() || (at?.fileName ? `${at.fileName}:${at.lineNumber}` : '')
  const others = Object.keys(rest).length > 0 ? inspect(rest, { depth: 6, breakLength: 110 }) : ''
  const parts = [diff, output, others, place].filter(Boolean).map((part) => indent(inSources(textOf(part)).trimEnd()))
  return [`  not ok ${nameOf({ fullname })}`, ...parts].join('\n')
}

/** What a failed test tells may be named as ours are, and be anything. */
const textOf = (part) => (typeof part === 'string' ? part : inspect(part, { depth: 6, breakLength: 110 }))

/** Places in compiled files become those in their sources: Node would read all maps for it in each process and thread. */
function inSources(text) {
  return text.replaceAll(/(?:file:\/\/)?([\w./@+-]+\.js):(\d+):(\d+)/g, (place, file, line, column) => {
    const compiled = resolve(PROJECT, file)
    if (!existsSync(`${compiled}.map`)) return place
    const map = new SourceMap(JSON.parse(readFileSync(`${compiled}.map`, 'utf8')))
    const { originalSource, originalLine, originalColumn } = map.findEntry(line - 1, column - 1)
    if (originalSource === undefined) return place
    return `${relative(PROJECT, resolve(dirname(compiled), originalSource))}:${originalLine + 1}:${originalColumn + 1}`
  })
}

function indent(text) {
  return text.replace(/^/gm, '    ')
}

/** tap does not count a file that broke its plan and nothing else. */
function isCounted(path) {
  return t.lists.fail.some(({ fullname, diag }) => fullname.includes(`> ${path}`) || diag?.expired === path)
}

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error // the usual case: nobody is left
  }
}

function interrupted() {
  for (const pid of pids) killGroup(pid)
  console.log('Interrupted: the rest did not run')
  process.exit(130)
}

function finish(fileCount, seconds) {
  if (fileCount === 0)
    console.log(`Cannot test: found no file in ${options.root} for ${words.join(' ') || '*.test.js'}`)
  if (skips.length > 0) console.log(`\nSkipped, and why:\n${skips.map((line) => `  ${line}`).join('\n')}`)
  const { pass, skip, todo } = t.counts
  const fail = t.counts.fail + failedFiles.filter((path) => !isCounted(path)).length
  console.log(`\n${fileCount} files in ${seconds.toFixed(1)} s; all output is in ${options.tap}`)
  console.log(`${pass} passed, ${fail} failed, ${skip + todo} skipped`)
  process.exit(fail === 0 && pass > 0 && t.results.ok ? 0 : 1)
}

await main()
