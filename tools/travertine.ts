/**
 * One line of the `travertine` command: finds the sub-command, prints every error in one place, and says the exit code.
 *
 * A sub-command prints its results and throws what went wrong; one that has to end with another code than 0 without an
 * error sets `process.exitCode`. Nothing here knows what a sub-command does.
 */
import { readFileSync } from 'node:fs'
import { type Command, CommanderError } from 'commander'
import { TravertineError } from '../protocol/errors.ts'
import { exitCodesText, quietCommand } from './command-line.ts'
import { EXIT_CODE_MEANINGS, ExitCode, exitCodeOf } from './exit-codes.ts'
import { reportError } from './output.ts'

/** In the order of the help. Their modules are loaded when they are wanted: most of the time of a short command is loading. */
const SUB_COMMANDS: Readonly<Record<string, () => Promise<() => Command>>> = {
  init: async () => (await import('./init.ts')).initCommand,
  run: async () => (await import('./run.ts')).runCommand,
  up: async () => (await import('./up.ts')).upCommand,
  load: async () => (await import('./load.ts')).loadCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  member: async () => (await import('./member.ts')).memberCommand,
  policy: async () => (await import('./policy.ts')).policyCommand,
  tail: async () => (await import('./tail.ts')).tailCommand,
  inspect: async () => (await import('./inspect.ts')).inspectCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  config: async () => (await import('./config.ts')).configCommand,
  completion: async () => (await import('./completion.ts')).completionCommand,
}

/** It speaks of all the others. */
const KNOWS_ALL = 'completion'

/** @param first word of the command line; anything but a sub-command gets all of them, for help and hints */
async function travertineCommand(first: string): Promise<Command> {
  const program = quietCommand('travertine')
    .description('A write-ahead log kept durable on several machines, with group commit across channels.')
    .version(packageVersion(), '-V, --version', 'show the version')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText(
      'after',
      () => `
Example, a master and a replica on this machine with real data in them:
  travertine up --demo

${exitCodesText(allExitCodes())}`,
    )
  const isAlone = Object.hasOwn(SUB_COMMANDS, first) && first !== KNOWS_ALL
  for (const [name, load] of Object.entries(SUB_COMMANDS)) {
    if (!isAlone || name === first) program.addCommand((await load())())
  }
  return program
}

/** Runs one command line, and prints what went wrong. @returns the exit code */
export async function runTravertine(words: readonly string[]): Promise<number> {
  try {
    await (await travertineCommand(words[0] ?? '')).parseAsync(words, { from: 'user' })
    return Number(process.exitCode ?? ExitCode.DONE)
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return ExitCode.DONE // --help, --version
    const error = thrown instanceof CommanderError ? usageError(thrown) : thrown
    reportError(error, wantsJson(words))
    return exitCodeOf(error)
  }
}

/** commander's texts have an `error: ` in front and a suggestion on a second line. */
function usageError({ message, code }: CommanderError): TravertineError {
  if (code === 'commander.help') {
    return new TravertineError('CONFIG_INVALID', 'Cannot do anything: found no command', { hint: 'travertine --help' })
  }
  const [first = '', ...rest] = message.replace(/^error: /, '').split('\n')
  const hint = [...rest.map((line) => line.replace(/^\((.*)\)$/, '$1')), 'see --help'].join('; ')
  return new TravertineError('CONFIG_INVALID', `Cannot read the command line: ${first.replace(/\.$/, '')}`, { hint })
}

/** Also where the command line is wrong, so that nothing has parsed it. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return words.slice(0, end === -1 ? words.length : end).includes('--json')
}

/** Keys of an object literal are text to the language; these were written as numbers. */
function allExitCodes(): ExitCode[] {
  return Object.keys(EXIT_CODE_MEANINGS).map((code) => Number(code) as ExitCode) // keys of that very table
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return String((JSON.parse(text) as { version: unknown }).version) // our own file
}
