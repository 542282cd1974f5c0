/**
 * How every sub-command is made: the same options, the same shape of help, the same refusal of what is wrong.
 *
 * Each help text ends with examples and the exit codes that can occur; both are data here, so that a test can ask for
 * them. Refusals are thrown (commander's `CommanderError`), never printed here: travertine.ts prints all errors.
 */
import { Command, InvalidArgumentError } from 'commander'
import { PORT_DEFAULT } from '../config/defaults.ts'
import { joinAddress, splitAddress } from '../protocol/address.ts'
import { EXIT_CODE_MEANINGS, type ExitCode } from './exit-codes.ts'

export interface CommandFacts {
  readonly name: string
  /** One line. */
  readonly summary: string
  /** What it does and does not do, as a paragraph. */
  readonly description: string
  /** Command lines, ready to be copied. */
  readonly examples: readonly string[]
  /** Beside 0, 1 and 2, which every command has. */
  readonly exitCodes: readonly ExitCode[]
}

const EXIT_CODES_OF_ALL: readonly ExitCode[] = [0, 1, 2]

/** A sub-command without its options and action. Has `--json`. */
export function newCommand(facts: CommandFacts): Command {
  const codes = [...new Set([...EXIT_CODES_OF_ALL, ...facts.exitCodes])].sort((a, b) => a - b)
  return quietCommand(facts.name)
    .summary(facts.summary)
    .description(facts.description)
    .option('--json', 'print results and errors as JSON, one object per line')
    .addHelpText('after', () => `\n${examplesText(facts.examples)}\n\n${exitCodesText(codes)}`)
}

/** Throws instead of printing errors and ending the process. */
export function quietCommand(name: string): Command {
  return new Command(name)
    .helpOption('-h, --help', 'show this help')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
}

function examplesText(examples: readonly string[]): string {
  return [examples.length === 1 ? 'Example:' : 'Examples:', ...examples.map((line) => `  ${line}`)].join('\n')
}

export function exitCodesText(codes: readonly ExitCode[]): string {
  return ['Exit codes:', ...codes.map((code) => `  ${String(code).padEnd(4)} ${EXIT_CODE_MEANINGS[code]}`)].join('\n')
}

/** Parser of an option: a whole number in decimal digits. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`)
  }
}

/** Parser of a path: an empty one is a variable that was not set, and would mean the working directory. */
export function path(text: string): string {
  if (text !== '') return text
  throw new InvalidArgumentError('Expected a path, found an empty text.')
}

/** Parser of the address of a node: host:port, or a host that listens on the default port. @returns host:port */
export function nodeAddress(text: string): string {
  const parts = splitAddress(text) ?? splitAddress(`${text}:${PORT_DEFAULT}`)
  if (parts !== undefined) return joinAddress(...parts)
  throw new InvalidArgumentError(`Expected host:port, or a host that listens on port ${PORT_DEFAULT}.`)
}

/** The same where several may be given. */
export function nodeAddresses(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, nodeAddress(text)]
}
