/**
 * Makes a clone ready to run: packages, the native addon, the compiled program. `npm start`, `npm test` and
 * `npm run bench` begin with it; when nothing has changed it is done in well under 0.3 s.
 *
 * Invariants:
 *   - Stands on Node's own modules only: on a fresh clone there is no node_modules.
 *   - Writes to stderr only: the last line of `npm start -- --once` on stdout is for programs.
 *   - Each step is judged by what lies on disk, not by whether an earlier run said that it was fine.
 *   - Ends with 0 only when everything is in place; otherwise with a hint that says what to do next.
 *
 * It does not run anything of the program, and does not touch what lies outside the clone.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
/** Lowest Node that is tested; `engines` in package.json says the same. */
const NODE_MIN = [20, 19]
const INSTALL_STAMP = 'node_modules/.travertine-install'
const BUILD_STAMP = 'dist/.build-stamp'
const BUILD_INFO = 'dist/.tsbuildinfo'
const LOCK = '.setup.lock'
/** A first install on a slow line takes minutes; whoever waits longer than this waits for a process that hangs. */
const LOCK_WAIT_MS_MAX = 15 * 60_000
const COMPILER_HINT =
  'fs-ext is compiled on install and needs python3, make and g++ (Debian: apt-get install python3 make g++)'

function main() {
  checkNode()
  process.chdir(ROOT)
  if (isReady()) return
  const startedAt = Date.now()
  takeLock()
  try {
    if (!isInstalled()) install()
    if (!addonWorks()) rebuildAddon()
    if (!isBuilt(fingerprint())) build()
  } finally {
    rmSync(LOCK, { force: true })
  }
  say(`Ready after ${((Date.now() - startedAt) / 1000).toFixed(1)} s.`)
}

function isReady() {
  return isInstalled() && addonWorks() && isBuilt(fingerprint())
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return
  fail(
    `Cannot set up: found Node ${process.versions.node}, expected ${NODE_MIN.join('.')} or later`,
    'install a newer Node (https://nodejs.org) and run the same command again',
  )
}

// Packages

function isInstalled() {
  const lockFile = readFileSync('package-lock.json', 'utf8')
  if (readIfThere(INSTALL_STAMP) === hash(lockFile)) return true
  if (!hasAllPackages(lockFile)) return false
  writeFileSync(INSTALL_STAMP, hash(lockFile)) // somebody ran npm themselves: that is as good
  return true
}

/** Compares with npm's own record of what it has installed, which lacks only what is optional on other systems. */
function hasAllPackages(lockFile) {
  const record = readIfThere('node_modules/.package-lock.json')
  if (record === undefined) return false
  const installed = JSON.parse(record).packages
  return Object.entries(JSON.parse(lockFile).packages).every(
    ([path, wanted]) =>
      path === '' ||
      (installed[path] === undefined ? wanted.optional === true : installed[path].integrity === wanted.integrity),
  )
}

function install() {
  say(
    existsSync('node_modules')
      ? 'Updating packages ...'
      : 'Installing packages, once (needs a network, up to a minute) ...',
  )
  npm(
    ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'],
    `see the lines above: usually the network, or a missing compiler. ${COMPILER_HINT}`,
  )
  writeFileSync(INSTALL_STAMP, hash(readFileSync('package-lock.json', 'utf8')))
}

/** The proof is to load it: npm may skip install scripts, and an addon may be left from another version of Node. */
function addonWorks() {
  try {
    createRequire(import.meta.url)('fs-ext')
    return true
  } catch {
    return false
  }
}

function rebuildAddon() {
  say('Compiling the file-lock addon (fs-ext) ...')
  npm(['rebuild', 'fs-ext', '--ignore-scripts=false', '--foreground-scripts', '--loglevel=error'], COMPILER_HINT)
  if (!addonWorks())
    fail('Cannot load fs-ext although it was just compiled', `remove node_modules and try again. ${COMPILER_HINT}`)
}

function npm(args, hint) {
  const cli = process.env.npm_execpath ?? ''
  const [command, first] = /npm-cli\.c?js$/.test(cli) ? [process.execPath, [cli]] : ['npm', []]
  run(command, [...first, ...args], { ...process.env, ...localHeaders() }, `npm ${args[0]}`, hint)
}

/** Where Node's headers lie beside Node, node-gyp need not download them. */
function localHeaders() {
  const prefix = dirname(dirname(process.execPath))
  const present =
    existsSync(join(prefix, 'include/node/node.h')) && existsSync(join(prefix, 'include/node/common.gypi'))
  return present && process.env.npm_config_nodedir === undefined ? { npm_config_nodedir: prefix } : {}
}

// Compiled program

/** What the build depends on, cheaply: names, sizes and times of the sources, the compiler and its options. */
function fingerprint() {
  const files = sources().map((path) => {
    const { size, mtimeMs } = statSync(path)
    return `${path} ${size} ${mtimeMs}`
  })
  return hash([...files, readFileSync('tsconfig.json', 'utf8'), readIfThere(INSTALL_STAMP) ?? ''].join('\n'))
}

const sources = () =>
  JSON.parse(readFileSync('tsconfig.json', 'utf8')).include.flatMap((folder) =>
    listFiles(folder).filter((path) => path.endsWith('.ts')),
  )

const isBuilt = (wanted) => readIfThere(BUILD_STAMP) === wanted && outputsAreThere()
const outputsAreThere = () => sources().every((path) => existsSync(join('dist', path.replace(/\.ts$/, '.js'))))

function build() {
  say('Compiling ...')
  const wanted = fingerprint() // taken first: a source that changes meanwhile is compiled by the next run
  rmSync(BUILD_STAMP, { force: true })
  removeStaleOutputs()
  if (!outputsAreThere()) rmSync(BUILD_INFO, { force: true }) // else tsc believes that it has written them already
  const tsc = 'node_modules/typescript/bin/tsc'
  run(process.execPath, [tsc, '-p', 'tsconfig.json'], process.env, 'tsc', 'mend the errors above; nothing was started')
  mkdirSync('dist', { recursive: true })
  writeFileSync(BUILD_STAMP, wanted)
}

/** A test whose source was deleted must not go on passing. */
function removeStaleOutputs() {
  for (const path of listFiles('dist')) {
    const match = /^dist\/(.+?)(\.js|\.js\.map|\.d\.ts)$/.exec(path)
    if (match && !existsSync(`${match[1]}.ts`)) rmSync(path)
  }
}

// Helpers

function listFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative('.', join(entry.parentPath ?? entry.path, entry.name)))
    .sort()
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

const hash = (text) => createHash('sha256').update(text).digest('hex')

/** Two set-ups at once (`npm start` here, `npm test` there) would pull node_modules from under each other. */
function takeLock() {
  for (let waitedMs = 0; ; waitedMs += 200) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: 'wx' })
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const owner = Number(readIfThere(LOCK))
    if (waitedMs >= 1000 && !isAlive(owner))
      rmSync(LOCK, { force: true }) // its owner was killed
    else if (waitedMs === 1000) say(`Waiting for another set-up of this clone (pid ${owner}) ...`)
    if (waitedMs > LOCK_WAIT_MS_MAX)
      fail(`Cannot set up: pid ${owner} holds ${LOCK}`, `stop it, or remove ${join(ROOT, LOCK)}`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function run(command, args, env, what, hint) {
  const { status, signal, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2], env })
  if (status === 0) return
  rmSync(LOCK, { force: true })
  fail(`Cannot set up: ${what} ended with ${error?.message ?? signal ?? `code ${status}`}`, hint)
}

function say(line) {
  process.stderr.write(`${line}\n`)
}

function fail(line, hint) {
  say(`${line}\n  ${hint}`)
  process.exit(1)
}

main()
