/**
 * Transcripts: commands drive a core, its effects are recorded below them (STYLE A.33, after etcd's datadriven tests).
 *
 *   # a comment
 *   wait 3000          one or more commands, one per line
 *   ----
 *   close 1            what the core wants done, one effect per line; `(nothing)` for none
 *
 * Blocks are separated by an empty line. `TRANSCRIPT_REWRITE=1` writes what was seen into the file; commit a rewrite only
 * when you can explain each of its lines.
 */
import { readFileSync, writeFileSync } from 'node:fs'

export interface Driver {
  /** Does one command, and returns what came of it, line by line. */
  command(name: string, args: Arguments): string[]
}

/** The words behind a command: places by order, options by name (`key=value`). Every one has to be used. */
export class Arguments {
  readonly #words: string[]
  readonly #options = new Map<string, string>()

  constructor(words: readonly string[]) {
    this.#words = words.filter((word) => !word.includes('='))
    for (const word of words) {
      const at = word.indexOf('=')
      if (at > 0) this.#options.set(word.slice(0, at), word.slice(at + 1))
    }
  }

  word(): string {
    const word = this.#words.shift()
    if (word === undefined) throw new Error('one more word is needed')
    return word
  }

  number(): number {
    return Number(this.word())
  }

  option(name: string): string | undefined {
    const value = this.#options.get(name)
    this.#options.delete(name)
    return value
  }

  numberOption(name: string, otherwise: number): number {
    return Number(this.option(name) ?? otherwise)
  }

  /** Numbers with commas between them. */
  listOption(name: string, otherwise: readonly number[]): number[] {
    const value = this.option(name)
    if (value === undefined) return [...otherwise]
    return value === '' ? [] : value.split(',').map(Number)
  }

  /** A misspelt option must not be a test that tests nothing. */
  finish(): void {
    const left = [...this.#words, ...this.#options.keys()]
    if (left.length > 0) throw new Error(`nobody knows what to do with ${left.join(', ')}`)
  }
}

interface Block {
  /** Comments and commands as they stand in the file. */
  readonly lines: readonly string[]
  readonly recorded: readonly string[]
}

const DIVIDER = '----'

function parseTranscript(text: string): Block[] {
  const blocks: Block[] = []
  for (const part of text.split(/\n{2,}/)) {
    const lines = part.split('\n').filter((line) => line !== '')
    if (lines.length === 0) continue
    const divider = lines.indexOf(DIVIDER)
    if (divider < 0) blocks.push({ lines, recorded: [] })
    else blocks.push({ lines: lines.slice(0, divider), recorded: lines.slice(divider + 1) })
  }
  return blocks
}

/** The whole transcript as this driver makes it. */
export function runTranscript(text: string, driver: Driver): string {
  const parts = parseTranscript(text).map((block) => {
    const commands = block.lines.filter((line) => !line.startsWith('#'))
    if (commands.length === 0) return block.lines.join('\n')
    const seen = commands.flatMap((line) => runCommand(line, driver))
    return [...block.lines, DIVIDER, ...(seen.length === 0 ? ['(nothing)'] : seen)].join('\n')
  })
  return `${parts.join('\n\n')}\n`
}

function runCommand(line: string, driver: Driver): string[] {
  const [name = '', ...words] = line.split(/\s+/)
  const args = new Arguments(words)
  try {
    const seen = driver.command(name, args)
    args.finish()
    return seen
  } catch (thrown) {
    throw new Error(`the command "${line}" failed`, { cause: thrown })
  }
}

/** Runs the transcript at `path`. @returns what was found and what is wanted: a test compares them */
export function checkTranscript(path: string, driver: Driver): { readonly found: string; readonly wanted: string } {
  const wanted = readFileSync(path, 'utf8')
  const found = runTranscript(wanted, driver)
  if (process.env['TRANSCRIPT_REWRITE'] !== '1') return { found, wanted }
  writeFileSync(path, found)
  return { found, wanted: found }
}
