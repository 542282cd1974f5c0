/**
 * `travertine completion`: what a shell needs to complete the words of this command, made from the same table as --help.
 *
 * Nothing is written for a command by hand: a new option is completed because it is an option.
 */
import { Argument, type Command, type Option } from 'commander'
import { newCommand } from './command-line.ts'
import { printJson, printLine } from './output.ts'

const SHELLS = ['bash', 'zsh'] as const
type Shell = (typeof SHELLS)[number]

/** One word that may be typed, and what it is for. */
interface Word {
  readonly word: string
  readonly help: string
}

interface CommandWords {
  readonly name: string
  readonly options: readonly Word[]
  /** Options with a value, and what it may be; 'file' for a path, none where nobody but the user knows. */
  readonly values: readonly { readonly words: readonly string[]; readonly choices: readonly string[] | 'file' }[]
  /** What may stand there without a dash. */
  readonly operands: readonly string[]
  readonly takesFiles: boolean
}

export function completionCommand(): Command {
  return newCommand({
    name: 'completion',
    summary: 'print what a shell needs to complete this command',
    description:
      'Prints a script that teaches bash or zsh the commands, options and values of this version. The shell reads it ' +
      'when it starts; see the examples.',
    examples: [
      'travertine completion bash > /etc/bash_completion.d/travertine',
      'travertine completion zsh > /usr/local/share/zsh/site-functions/_travertine',
      "echo 'source <(travertine completion bash)' >> ~/.bashrc",
    ],
    exitCodes: [],
  })
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell, { json }: { readonly json?: boolean }, command: Command) => {
      const commands = (command.parent?.commands ?? []).map((one) => ({ word: one.name(), help: one.summary() }))
      const words = (command.parent?.commands ?? []).map(wordsOf)
      const script = shell === 'bash' ? bashScript(commands, words) : zshScript(commands, words)
      if (json === true) printJson({ ok: true, shell, script })
      else printLine(script.trimEnd())
    })
}

function wordsOf(command: Command): CommandWords {
  const options = command.createHelp().visibleOptions(command)
  const args = command.registeredArguments
  return {
    name: command.name(),
    options: options.flatMap((option) => namesOf(option).map((word) => ({ word, help: option.description }))),
    values: options
      .filter(({ required, optional }) => required || optional)
      .map((option) => ({
        words: namesOf(option),
        choices: option.argChoices ?? (/<(file|directory)>/.test(option.flags) ? ('file' as const) : []),
      })),
    operands: args.flatMap(({ argChoices }) => argChoices ?? []),
    takesFiles: args.some((argument) => /file|director|what/.test(argument.name())),
  }
}

/** Without the short forms: what has one letter needs no completion. */
const namesOf = ({ long }: Option): string[] => (typeof long === 'string' ? [long] : [])

function bashScript(commands: readonly Word[], all: readonly CommandWords[]): string {
  const names = commands.map(({ word }) => word)
  const values = all.flatMap(({ name, values: some }) =>
    some.map(({ words, choices }) => {
      const cases = words.map((word) => `'${name} ${word}'`).join(' | ')
      if (choices === 'file') return `    ${cases}) COMPREPLY=($(compgen -f -- "$current")); return ;;`
      return `    ${cases}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$current")); return ;;`
    }),
  )
  const words = all.map(({ name, options, operands, takesFiles }) => {
    const text = [...operands, ...options.map(({ word }) => word)].join(' ')
    return `    ${name}) words='${text}'; files=${takesFiles ? 'yes' : 'no'} ;;`
  })
  return `# bash completion of travertine
_travertine() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}"
  local command="\${COMP_WORDS[1]}" words='' files=no
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${[...names, 'help', '--help', '--version'].join(' ')}' -- "$current"))
    return
  fi
  case "$command $previous" in
${values.join('\n')}
  esac
  case "$command" in
${words.join('\n')}
    help) words='${names.join(' ')}' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ $files = yes && $current != -* ]] && COMPREPLY+=($(compgen -f -- "$current"))
}
complete -o filenames -F _travertine travertine
`
}

function zshScript(commands: readonly Word[], all: readonly CommandWords[]): string {
  const list = (words: readonly Word[]): string => words.map(({ word, help }) => zshWord(`${word}:${help}`)).join(' ')
  const values = all.flatMap(({ name, values: some }) =>
    some.map(({ words, choices }) => {
      const cases = words.map((word) => `'${name} ${word}'`).join(' | ')
      if (choices === 'file') return `    ${cases}) _files; return ;;`
      return `    ${cases}) ${choices.length === 0 ? '' : `compadd -- ${choices.join(' ')}; `}return ;;`
    }),
  )
  const words = all.map(
    ({ name, options, operands, takesFiles }) =>
      `    ${name}) options=(${list(options)}); operands=(${operands.join(' ')}); files=${takesFiles ? 'yes' : 'no'} ;;`,
  )
  return `#compdef travertine
_travertine() {
  local command="$words[2]" files=no
  local -a commands options operands
  commands=(${list(commands)} 'help:show the help of a command')
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  case "$command $words[CURRENT - 1]" in
${values.join('\n')}
  esac
  case "$command" in
${words.join('\n')}
    help) _describe command commands; return ;;
  esac
  if [[ $words[CURRENT] = -* ]]; then
    _describe option options
  else
    compadd -a operands
    [[ $files = yes ]] && _files
  fi
}
if [[ $funcstack[1] = _travertine ]]; then _travertine "$@"; else compdef _travertine travertine; fi
`
}

/** In single quotes. */
const zshWord = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
