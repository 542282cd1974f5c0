/**
 * `travertine config`: explains settings, checks a file, shows what a node would run with. Starts nothing, writes nothing.
 *
 * What it does is in config-actions.ts, loaded when it is asked for: the schema is a large package, and every other
 * command starts without it.
 */
import { Argument, type Command } from 'commander'
import { newCommand } from './command-line.ts'

/** In words of the command line. */
export const CONFIG_ACTIONS = ['explain', 'check', 'show'] as const
export type ConfigAction = (typeof CONFIG_ACTIONS)[number]

export interface ConfigOptions {
  readonly effective?: boolean
  readonly json?: boolean
}

export function configCommand(): Command {
  return newCommand({
    name: 'config',
    summary: 'explain settings, check a file of them, show what rules',
    description:
      'explain [KEY] tells of every setting, or of one: unit, default, range, what it is for, and the environment ' +
      'variable that overrides it. check FILE tells everything that is wrong with a file. show [FILE] prints the ' +
      'settings that the file, the environment or neither give; with --effective the defaults too.',
    examples: [
      'travertine config explain',
      'travertine config explain listen.port',
      'travertine config check /etc/travertine/master.toml',
      'travertine config show /etc/travertine/master.toml --effective',
    ],
    exitCodes: [],
  })
    .addArgument(new Argument('<action>', 'what to do').choices(CONFIG_ACTIONS))
    .argument('[what]', 'the file for check and show, a setting for explain')
    .option('--effective', 'show: with the defaults, that is all a node would run with')
    .action(async (action: ConfigAction, what: string | undefined, options: ConfigOptions) => {
      const { runConfigAction } = await import('./config-actions.ts')
      runConfigAction(action, what, options)
    })
}
