/**
 * `npm run sim:mutants`: plants each defect of mutants.ts in a scratch copy of dist/ and reports how many seeds the
 * simulator needs to find it. Exits 1 if one is not found.
 *
 *   node dist/test/simulator/mutants-main.js [WORD]     only mutants whose name contains WORD
 *   SEEDS=N                                             give up after N seeds, 1000 unless said
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SIM_MUTANTS, type SimMutant } from './mutants.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const SEEDS = Number(process.env['SEEDS'] ?? 1000)

/** Plants it, runs, and takes it out again. @returns the line of the first failure; undefined if there is none */
async function find(scratch: string, mutant: SimMutant): Promise<string | undefined> {
  const originals = new Map<string, string>()
  try {
    for (const [file, replacements] of Object.entries(mutant.patches)) {
      const path = join(scratch, 'dist', file)
      let text = readFileSync(path, 'utf8')
      originals.set(path, text)
      for (const [from, to] of replacements) {
        const parts = text.split(from)
        if (parts.length !== 2)
          throw new Error(
            `Cannot plant "${mutant.name}": found ${parts.length - 1} places in ${file}, expected 1: ${from}`,
          )
        text = parts.join(to)
      }
      writeFileSync(path, text)
    }
    return await simulate(scratch)
  } finally {
    for (const [path, text] of originals) writeFileSync(path, text)
  }
}

function simulate(cwd: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const args = ['dist/test/simulator/main.js', '--seeds', String(SEEDS), '--stop']
    const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    child.on('exit', () => resolve(/^FAILED: .*$/m.exec(text)?.[0]))
  })
}

const scratch = mkdtempSync(join(tmpdir(), 'travertine-sim-mutants-'))
let missed = 0
try {
  cpSync(join(ROOT, 'dist'), join(scratch, 'dist'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(scratch, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'node_modules'))
  for (const mutant of SIM_MUTANTS.filter(({ name }) => name.includes(process.argv[2] ?? ''))) {
    const begin = performance.now()
    const failure = await find(scratch, mutant)
    const seconds = ((performance.now() - begin) / 1000).toFixed(0)
    if (failure === undefined) missed++
    console.log(`${failure === undefined ? 'MISSED' : 'found '} ${mutant.name} (${seconds} s)`)
    console.log(`         ${failure ?? `not within ${SEEDS} seeds`}`)
  }
} finally {
  rmSync(scratch, { recursive: true })
}
process.exitCode = missed === 0 ? 0 : 1
