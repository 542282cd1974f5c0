/**
 * Removes every fdatasync and directory fsync from the code, one at a time, and runs the crash tests against each
 * remainder: a test must turn red. A sync that nobody misses is either not needed or not tested; both are defects.
 *
 *   node dist/test/wal/remove-syncs.js [FIRST]      begin with the FIRST-th sync, 0 if not said
 *
 * Works on a scratch copy of dist/; prints a line per sync; exits 1 if one is not missed.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const SYNC = /^\s*[\w.#!]+\.(syncData|syncDirectory)\(.*\);?\s*$/
/** Where a sync is carried out rather than asked for. */
const DOORS = new Set(['node-disk.js'])
const TESTS = [
  'dist/test/wal/crash-master.test.js',
  'dist/test/wal/crash-replica.test.js',
  'dist/test/wal/crash-again.test.js',
  'dist/test/wal/failed-preparing.test.js',
]
const RUN_MS_MAX = 60_000

interface SyncPlace {
  readonly file: string
  readonly line: number
  readonly text: string
}

/** Every statement in dist/wal that asks for a sync. */
function findSyncs(): SyncPlace[] {
  const places: SyncPlace[] = []
  for (const name of readdirSync(join(ROOT, 'dist/wal')).filter((n) => n.endsWith('.js') && !DOORS.has(n))) {
    const lines = readFileSync(join(ROOT, 'dist/wal', name), 'utf8').split('\n')
    for (const [line, text] of lines.entries())
      if (SYNC.test(text)) places.push({ file: `dist/wal/${name}`, line, text: text.trim() })
  }
  return places
}

/** The first test that fails without this sync; undefined if none does. */
async function missedBy(scratch: string, place: SyncPlace): Promise<string | undefined> {
  const path = join(scratch, place.file)
  const original = readFileSync(path, 'utf8')
  const lines = original.split('\n')
  lines[place.line] = ';'
  writeFileSync(path, lines.join('\n'))
  try {
    const codes = await Promise.all(TESTS.map((test) => run(scratch, test)))
    return TESTS.find((_, i) => codes[i] !== 0)
  } finally {
    writeFileSync(path, original)
  }
}

function run(cwd: string, test: string): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [test], {
      cwd,
      stdio: 'ignore',
      timeout: RUN_MS_MAX,
      killSignal: 'SIGKILL',
      env: { ...process.env, TAP_BAIL: '1', TAP_TIMEOUT: '120' },
    })
    child.on('exit', (code) => resolve(code))
  })
}

async function main(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'travertine-syncs-'))
  let unmissed = 0
  try {
    cpSync(join(ROOT, 'dist'), join(scratch, 'dist'), { recursive: true })
    cpSync(join(ROOT, 'package.json'), join(scratch, 'package.json'))
    symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'node_modules'))
    const intact = await Promise.all(TESTS.map((test) => run(scratch, test)))
    if (intact.some((code) => code !== 0)) throw new Error('the crash tests fail with all syncs in place')
    const places = findSyncs()
    if (places.length < 10) throw new Error(`found ${places.length} syncs, expected at least 10: is the search broken?`)
    for (const place of places.slice(Number(process.argv[2] ?? 0))) {
      const test = await missedBy(scratch, place)
      if (test === undefined) unmissed++
      console.log(
        `${test === undefined ? 'NOT MISSED' : 'missed    '}  ${place.file}:${place.line + 1}  ${place.text}  ${test ?? ''}`,
      )
    }
    console.log(`${places.length - unmissed} of ${places.length} syncs are missed by a test when they are removed`)
  } finally {
    rmSync(scratch, { recursive: true })
  }
  process.exitCode = unmissed === 0 ? 0 : 1
}

await main()
