/** `travertine completion`: what bash and zsh themselves make of the script, for words half typed. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { runHere } from './in-process.ts'
import { lastObject, run } from './travertine.ts'

/** Words typed so far, the last one half; and some of what must be offered, and must not. */
const TYPED: readonly (readonly [readonly string[], readonly string[], readonly string[]])[] = [
  [['st'], ['status'], ['tail']],
  [[''], ['init', 'run', 'load', 'status', 'completion', 'help'], ['--json']],
  [['run', '--log-'], ['--log-format', '--log-level'], ['--host']],
  [
    ['run', '--log-format', ''],
    ['pretty', 'json'],
    ['--host', '--log-level'],
  ],
  [['load', '--level', 'st'], ['stored'], ['propagated']],
  [['load', '--sec'], ['--secret-file'], ['--storage']],
  [['load', '--batch', ''], [], ['--json', 'stored']],
  [['config', ''], ['explain', 'check', 'show'], ['status']],
  [['completion', ''], ['bash', 'zsh'], ['status']],
  [['help', 'ini'], ['init'], ['inspect']],
  [['load', 'package'], ['package.json'], []],
  [['run', '--config', 'package'], ['package.json'], []],
]

const BASH = `eval "$SCRIPT"
COMP_WORDS=(travertine "$@"); COMP_CWORD=$#
_travertine; printf '%s\\n' "\${COMPREPLY[@]}"`

/** What zsh's own functions would show, told apart by nothing but their names. */
const ZSH = `compdef() {}
offer() { for word in "$@"; do [[ $word = $PREFIX* ]] && print -r -- $word; done }
_describe() { local name=$2; offer "\${(@)\${(P)name}%%:*}" }
compadd() { if [[ $1 = -a ]]; then offer "\${(@P)2}"; else shift; offer "$@"; fi }
_files() { offer *(N) }
PREFIX="\${@[-1]}"
eval "$SCRIPT"
words=(travertine "$@"); CURRENT=$#words
_travertine`

for (const [shell, text] of [
  ['bash', BASH],
  ['zsh', ZSH],
] as const) {
  const missing = spawnSync(shell, ['--version']).status !== 0 && `${shell} is not installed`
  t.test(shell, { skip: missing }, async (t) => {
    const { stdout, code } = await run(t, ['completion', shell])
    t.equal(code, 0)
    for (const [typed, offered, left] of TYPED) {
      const ran = spawnSync(shell, ['-c', text, shell, ...typed], {
        encoding: 'utf8',
        env: { ...process.env, SCRIPT: stdout },
      })
      t.equal(ran.stderr, '', typed.join(' '))
      const words = ran.stdout.split('\n')
      t.same(
        offered.filter((word) => !words.includes(word)),
        [],
        `${typed.join(' ')}: ${words.join(' ')}`,
      )
      t.same(
        left.filter((word) => words.includes(word)),
        [],
      )
    }
  })
}

t.test('every option of every command is offered', async (t) => {
  const script = String(lastObject(await runHere(['completion', 'bash', '--json']))['script'])
  const { stdout } = await runHere(['--help'])
  for (const [, name = ''] of stdout.matchAll(/^ {2}([a-z]+) .*\S {2,}\S/gm)) {
    const help = (await runHere([name, '--help'])).stdout
    const [line = ''] = new RegExp(`^    ${name}\\) words=.*$`, 'm').exec(script) ?? []
    if (name === 'help') continue
    for (const [, option = ''] of help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)) t.match(line, option, name)
  }
})

t.test('an unknown shell is a wrong command line', async (t) => {
  t.equal((await runHere(['completion', 'fish'])).code, 2)
})
