/**
 * What `travertine run` runs with, and what of it changes while it runs (SIGHUP).
 *
 * The order of precedence is config/load-config.ts's; here are the names of the options, and the comparison of what is
 * running with what the places say now. Settings that are wrong when they are read again change nothing.
 */
import { SETTINGS, type Setting, type SettingValue, settingText } from '../config/explain.ts'
import { type ConfigSources, type LoadedConfig, loadConfig, settingValue } from '../config/load-config.ts'
import type { NodeConfig, TravertineNode } from '../daemon/node.ts'
import { TravertineError } from '../protocol/errors.ts'
import { NodeLog } from './node-log.ts'
import { readSecurity } from './node-security.ts'
import type { RunOptions } from './run.ts'

export class NodeSettings {
  readonly log: NodeLog
  readonly #sources: ConfigSources
  #running: LoadedConfig['config']
  #isDue = false

  /** @throws CONFIG_INVALID */
  constructor(directory: string | undefined, options: RunOptions) {
    this.#sources = sourcesOf(directory, options)
    const { config, unknownVariables } = loadConfig(this.#sources)
    this.#running = config
    this.log = new NodeLog(config.log)
    for (const name of unknownVariables) {
      const text = `the environment variable ${name} is none of ours and has no effect`
      this.log.write({ level: 'warn', code: 'CONFIG_INVALID', text })
    }
  }

  /** @throws CONFIG_INVALID if nobody says which directory */
  get node(): NodeConfig {
    const { node, listen, admin, cascade, wal, security } = this.#running
    if (node.directory !== undefined)
      return {
        directory: node.directory,
        ...listen,
        ...wal,
        cascade,
        admin: admin.enabled ? admin : undefined,
        security: readSecurity(security),
      }
    throw new TravertineError('CONFIG_INVALID', 'Cannot run a node: found no data directory, expected one', {
      where: { key: 'node.directory' },
      hint: 'travertine run DIRECTORY, or node.directory in the file of --config',
    })
  }

  /** The node is up: what was read again while it started is for it, too. */
  started(node: Pick<TravertineNode, 'renewSecurity' | 'feed'>): void {
    if (this.#isDue) this.reload(node)
  }

  /** Reads all places again, takes over what a running node can change, and says what became of the rest. */
  reload(node: Pick<TravertineNode, 'renewSecurity' | 'feed'> | undefined): void {
    this.#isDue = node === undefined
    const say = (text: string): void => this.log.write({ level: 'info', text })
    const alarm = (code: 'CONFIG_INVALID' | 'RESTART_NEEDED', text: string): void =>
      this.log.write({ level: 'warn', code, text })
    try {
      const { config: wanted } = loadConfig(this.#sources)
      const differing = SETTINGS.filter((one) => textOf(this.#running, one) !== textOf(wanted, one))
      const texts = differing.map((setting) => {
        const [from, to] = [this.#running, wanted].map((config) => textOf(config, setting))
        return { setting, text: `${setting.key} is ${to} instead of ${from}` }
      })
      node?.renewSecurity(readSecurity(wanted.security)) // the files may have changed though their names have not
      node?.feed(wanted.cascade.replicas)
      const { log, security, cascade } = wanted
      this.#running = { ...this.#running, log, security, cascade }
      this.log.set(wanted.log)
      for (const { setting, text } of texts) if (setting.reload) say(`SIGHUP: ${text} from now on`)
      for (const { setting, text } of texts)
        if (!setting.reload) alarm('RESTART_NEEDED', `SIGHUP: ${text} only after the node is started again`)
      if (names(wanted.security)) say('SIGHUP: the files of secrets and certificates were read again')
      if (texts.length === 0) say('SIGHUP: the settings are as they were')
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      alarm('CONFIG_INVALID', `SIGHUP: all settings stay as they are. ${thrown.describe()}`)
    }
  }
}

const textOf = (config: LoadedConfig['config'], setting: Setting): string => settingText(settingValue(config, setting))

/** Does it name a file? */
const names = ({ secretFile, tlsCertificateFile }: LoadedConfig['config']['security']): boolean =>
  secretFile !== '' || tlsCertificateFile !== ''

/** What is written on the command line rules over everything else. */
function sourcesOf(directory: string | undefined, options: RunOptions): ConfigSources {
  const given: readonly (readonly [string, string, SettingValue | undefined])[] = [
    ['node.directory', 'DIRECTORY', directory],
    ['listen.host', '--host', options.host],
    ['listen.port', '--port', options.port],
    ['admin.enabled', '--no-admin', options.admin === false ? false : undefined],
    ['admin.host', '--admin-host', options.adminHost],
    ['admin.port', '--admin-port', options.adminPort],
    ['cascade.replicas', '--feed', options.feed],
    ['wal.segmentsAhead', '--segments-ahead', options.segmentsAhead],
    ['log.format', '--log-format', options.logFormat],
    ['log.level', '--log-level', options.logLevel],
  ]
  const values = given.flatMap(([key, name, value]) => (value === undefined ? [] : [[key, { name, value }] as const]))
  return { file: options.config, environment: process.env, options: Object.fromEntries(values) }
}
