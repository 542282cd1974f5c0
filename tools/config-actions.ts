/**
 * The three actions of `travertine config`.
 *
 * `check` tells everything that is wrong at once, each with file, line and key. `show` prints TOML that `run --config`
 * reads again, with the origin of each value behind it.
 */
import { CommanderError } from 'commander'
import { SECTIONS, SETTINGS } from '../config/explain.ts'
import { checkConfig, loadConfig, type Origin, settingValue } from '../config/load-config.ts'
import { assertNever } from '../protocol/assert.ts'
import { toWireError } from '../protocol/errors.ts'
import type { ConfigAction, ConfigOptions } from './config.ts'
import { ExitCode } from './exit-codes.ts'
import { coloursOf, errorText, printJson, printLine } from './output.ts'

export function runConfigAction(action: ConfigAction, what: string | undefined, options: ConfigOptions): void {
  switch (action) {
    case 'explain':
      return explain(what, options)
    case 'check':
      if (what === undefined) throw usage('config check needs a file')
      return check(what, options)
    case 'show':
      return show(what, options)
    default:
      return assertNever(action)
  }
}

function explain(key: string | undefined, { json }: ConfigOptions): void {
  const settings = key === undefined ? SETTINGS : SETTINGS.filter((setting) => setting.key === key)
  if (settings.length === 0) throw usage(`there is no setting '${key}'`)
  const { bold, dim } = coloursOf(process.stdout)
  for (const setting of settings) {
    if (json === true) {
      printJson(setting)
      continue
    }
    printLine(`${bold(setting.key)}  ${dim(`(${setting.unit}, default ${setting.defaultText})`)}`)
    printLine(`    ${setting.text}`)
    printLine(`    range        ${setting.range}`)
    printLine(`    environment  ${setting.environment}`)
    printLine(
      `    SIGHUP       ${setting.reload ? 'changes it in a running node' : 'does not change it: start the node again'}`,
    )
  }
}

function check(file: string, { json }: ConfigOptions): void {
  // the file alone: what this shell's environment says would rule elsewhere too, or not at all
  const { problems } = checkConfig({ file })
  if (json === true) {
    const errors = problems.map(toWireError)
    printJson(errors.length === 0 ? { ok: true, file } : { ok: false, file, error: errors[0], errors })
  } else {
    for (const problem of problems) printLine(errorText(problem, coloursOf(process.stdout)))
    printLine(problems.length === 0 ? `${file}: good` : `${file}: ${problems.length} to correct`)
  }
  if (problems.length > 0) process.exitCode = ExitCode.USAGE
}

function show(file: string | undefined, { effective, json }: ConfigOptions): void {
  const { config: loaded, origins } = loadConfig({ file, environment: process.env })
  const shown = SETTINGS.flatMap((setting) => {
    const origin = origins.get(setting.key) ?? { from: 'default' as const }
    const value = settingValue(loaded, setting)
    return value === undefined || (effective !== true && origin.from === 'default') ? [] : [{ setting, value, origin }]
  })
  if (json === true) {
    for (const { setting, value, origin } of shown) printJson({ key: setting.key, value, ...origin })
    return
  }
  const { dim } = coloursOf(process.stdout)
  for (const section of SECTIONS) {
    const lines = shown.filter(({ setting }) => setting.section === section)
    if (lines.length > 0) printLine(`[${section}]`)
    for (const { setting, value, origin } of lines)
      printLine(`${setting.name} = ${JSON.stringify(value)}  ${dim(`# ${originText(origin)}`)}`)
  }
}

function originText(origin: Origin): string {
  switch (origin.from) {
    case 'default':
      return 'default'
    case 'file':
      return `${origin.file}:${origin.line}`
    case 'environment':
    case 'option':
      return origin.name
  }
}

/** In the form of commander's own refusals: travertine.ts prints it with the hint to `--help`. */
const usage = (text: string): CommanderError => new CommanderError(2, 'travertine.config', `error: ${text}`)
