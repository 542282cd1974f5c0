/**
 * What a command prints, and where.
 *
 * stdout carries results only: lines for people, or with `--json` JSON alone, one object per line. Everything that
 * accompanies the work (progress, notes, errors) goes to stderr, so that a pipe gets nothing else than results. With
 * `--json` an error is one object on stdout as well: {"ok":false,"error":{"code","message","hint","where"}}.
 *
 * Colours only where a terminal is behind the stream, and never where NO_COLOR is set.
 */
import { once } from 'node:events'
import picocolors from 'picocolors'
import { asError, DEFECT_CODE, TravertineError, toWireError, type WireError } from '../protocol/errors.ts'
import { ExitCode } from './exit-codes.ts'

export type Colours = ReturnType<typeof picocolors.createColors>

export function coloursOf(stream: NodeJS.WriteStream): Colours {
  // an empty NO_COLOR counts as not set (no-color.org)
  return picocolors.createColors(stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '')
}

/**
 * Called once, first of all: whoever reads our output may stop reading. Then a command ends, as SIGPIPE would end it,
 * unless it has work that goes on without readers.
 */
export function watchBrokenPipe(): void {
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (brokenPipeIsFine) return
    if (code !== 'ENOSPC') process.exit(ExitCode.PIPE_CLOSED)
    process.stderr.write('DISK_FULL: Cannot print: found no room for stdout; what was printed is not whole\n')
    process.exit(ExitCode.DISK)
  })
  process.stderr.on('error', () => undefined) // nobody reads our notes: no reason to stop the work
}

let brokenPipeIsFine = false

export function ignoreBrokenPipe(): void {
  brokenPipeIsFine = true
}

/** One line of results, for people. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** One object of results, on one line. */
export function printJson(value: object): void {
  process.stdout.write(`${jsonText(value)}\n`)
}

/** Long results wait for their reader with this now and then, or they would all gather in memory. */
export async function outputRoom(): Promise<void> {
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
}

/**
 * Resolves when everything printed so far has left this process, or nobody wants it any more. Results wait for a slow
 * reader as long as it takes; notes do not: a node must be able to end though nobody empties the pipe of its log.
 */
export async function outputDone(): Promise<void> {
  const notesLimit = new Promise<void>((resolve) => setTimeout(resolve, NOTES_WAIT_MS_MAX))
  await Promise.all([written(process.stdout), Promise.race([written(process.stderr), notesLimit])])
}

const NOTES_WAIT_MS_MAX = 1_000

const written = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => stream.write('', () => resolve()))

/** A note beside the results. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Epochs and terms are JSON numbers wherever a number can hold them; the rest of u64 is decimal text. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (typeof v !== 'bigint') return v
    return v <= BigInt(Number.MAX_SAFE_INTEGER) && v >= 0n ? Number(v) : v.toString()
  })
}

/** An error for people: the line of `describe()`, with the hint on a line of its own. A defect shows its stack. */
export function errorText(thrown: unknown, colours: Colours): string {
  if (!(thrown instanceof TravertineError)) {
    const { stack, message } = asError(thrown)
    return `${colours.red('Defect in Travertine:')} ${stack ?? message}`
  }
  const text = thrown.describe()
  const hint = thrown.hint === '' || !text.endsWith(thrown.hint) ? '' : thrown.hint
  const line = hint === '' ? text : text.slice(0, -hint.length).replace(/; $/, '')
  const [code, rest] = [line.slice(0, thrown.code.length), line.slice(thrown.code.length)]
  return `${colours.red(code)}${rest}${hint === '' ? '' : `\n  ${colours.dim(hint)}`}`
}

/** The same for programs. A defect has no code of the list: INTERNAL says so. */
export function errorJson(thrown: unknown): { readonly ok: false; readonly error: WireError } {
  if (thrown instanceof TravertineError) return { ok: false, error: toWireError(thrown) }
  return {
    ok: false,
    error: {
      code: DEFECT_CODE,
      message: asError(thrown).message,
      hint: 'report this, with the text on stderr',
      where: {},
    },
  }
}

export function reportError(thrown: unknown, json: boolean): void {
  say(errorText(thrown, coloursOf(process.stderr)))
  if (json) printJson(errorJson(thrown))
}
