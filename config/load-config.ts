/**
 * The settings of a node from all places that may say something: defaults, then the file, then the environment, then
 * the command line; the later one rules. Each value knows where it came from.
 *
 * Whatever is wrong is found, not only the first thing: each as an error that names the setting and its place. Nothing
 * is guessed, and a value is never bent into its range.
 */
import type { z } from 'zod'
import { TravertineError } from '../protocol/errors.ts'
import { isTable, lineOfKey, parseToml, readConfigFile } from './config-file.ts'
import { adminPortDefault } from './defaults.ts'
import { findSetting, SECTIONS, SETTINGS, type Setting, type SettingValue } from './explain.ts'
import { nearest } from './nearest.ts'
import { CONFIG_SCHEMA, type Config } from './settings.ts'

/** What a node runs with: nothing is open but the directory, for which there is no default. */
export type FullConfig = Config & { readonly admin: { readonly port: number } }

export type Origin =
  | { readonly from: 'default' }
  | { readonly from: 'file'; readonly file: string; readonly line: number }
  | { readonly from: 'environment'; readonly name: string }
  | { readonly from: 'option'; readonly name: string }

export interface ConfigSources {
  readonly file?: string | undefined
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** From the command line: key of the setting -> what was given, and how the option is called. */
  readonly options?: Readonly<Record<string, { readonly name: string; readonly value: SettingValue }>>
}

export interface LoadedConfig {
  readonly config: FullConfig
  readonly origins: ReadonlyMap<string, Origin>
  /** Variables that look like ours and are not: a misspelt one, or one that some other program has set. */
  readonly unknownVariables: readonly string[]
}

/** @throws CONFIG_INVALID, with the first thing that is wrong; the hint says how many there are */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const { problems, loaded } = checkConfig(sources)
  const [first, ...others] = problems
  if (first === undefined && loaded !== undefined) return loaded
  if (first === undefined) throw new Error('a configuration without problems was not loaded')
  if (others.length === 0) throw first
  const hint = [first.hint, `${others.length} more: see \`travertine config check\``].filter(Boolean).join('; ')
  throw new TravertineError(first.code, first.message, { where: first.where, hint, cause: first.cause })
}

export interface CheckedConfig {
  readonly problems: readonly TravertineError[]
  /** Only without problems. */
  readonly loaded: LoadedConfig | undefined
}

/** All that is wrong. */
export function checkConfig({ file, environment = {}, options = {} }: ConfigSources): CheckedConfig {
  const draft = new Draft()
  try {
    if (file !== undefined) draft.addFile(readConfigFile(file), file)
  } catch (thrown) {
    if (!(thrown instanceof TravertineError)) throw thrown
    return { problems: [thrown], loaded: undefined }
  }
  draft.addEnvironment(environment)
  for (const [key, { name, value }] of Object.entries(options)) draft.set(key, value, { from: 'option', name })
  const result = CONFIG_SCHEMA.safeParse(draft.values)
  if (!result.success) {
    const problems = result.error.issues.flatMap((issue) => draft.problemsOf(issue))
    return { problems: problems.sort((a, b) => (a.where.line ?? 0) - (b.where.line ?? 0)), loaded: undefined }
  }
  const { origins, unknownVariables } = draft
  const config = complete(result.data)
  if (config.admin.port > 65_535) return { problems: [noAdminPort(config)], loaded: undefined }
  return { problems: [], loaded: { config, origins, unknownVariables } }
}

/** One value of a loaded configuration. */
export function settingValue(config: FullConfig, { section, name }: Setting): SettingValue | undefined {
  const tables: Readonly<Record<string, Readonly<Record<string, SettingValue | undefined>>>> = config
  return tables[section]?.[name]
}

/** Values and where they came from, while they are gathered. */
class Draft {
  /** All sections, so that the schema only has to fill settings. Without prototype: `__proto__` is a key like others. */
  readonly values: Record<string, unknown> = Object.assign(
    Object.create(null),
    Object.fromEntries(SECTIONS.map((section) => [section, {}])),
  )
  readonly origins = new Map<string, Origin>(SETTINGS.map(({ key }) => [key, { from: 'default' }]))
  readonly unknownVariables: string[] = []
  #file: { readonly name: string; readonly text: string } | undefined

  /** @throws CONFIG_INVALID if it is not TOML */
  addFile(text: string, file: string): void {
    this.#file = { name: file, text }
    for (const [section, table] of Object.entries(parseToml(text, file))) {
      if (!isTable(table)) {
        this.values[section] = table // the schema says what is wrong with it
        continue
      }
      this.values[section] = { ...table }
      for (const name of Object.keys(table)) {
        const key = `${section}.${name}`
        if (this.origins.has(key)) this.origins.set(key, { from: 'file', file, line: lineOfKey(text, [section, name]) })
      }
    }
  }

  addEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
    const known = new Set(SETTINGS.map((setting) => setting.environment))
    for (const name of Object.keys(environment)) {
      if (name.startsWith('TRAVERTINE_') && !known.has(name)) this.unknownVariables.push(name)
    }
    for (const setting of SETTINGS) {
      const text = environment[setting.environment]
      if (text !== undefined) {
        this.set(setting.key, valueOfText(setting, text), { from: 'environment', name: setting.environment })
      }
    }
  }

  set(key: string, value: unknown, origin: Origin): void {
    const [section = '', name = ''] = key.split('.')
    const table = this.values[section]
    this.values[section] = { ...(isTable(table) ? table : {}), [name]: value }
    this.origins.set(key, origin)
  }

  problemsOf(issue: z.core.$ZodIssue): TravertineError[] {
    const path = issue.path.slice(0, 2).map(String) // of a list the whole setting
    if (issue.code === 'unrecognized_keys') return issue.keys.map((name) => this.#unknown([...path, name]))
    const setting = findSetting(path.join('.'))
    const found = this.#found(path)
    if (setting === undefined) {
      const where = this.#place(path)
      return [invalid(`${path.join('.')} = ${JSON.stringify(found)}`, `a table [${path.join('.')}]`, where)]
    }
    const hint = `${setting.text} See \`travertine config explain ${setting.key}\``
    return [invalid(`${setting.key} = ${shown(found)}`, setting.range, this.#place(path), hint)]
  }

  #unknown(path: readonly string[]): TravertineError {
    const key = path.join('.')
    const close = nearest(key, path.length === 1 ? SECTIONS : SETTINGS.map((setting) => setting.key))
    const hint =
      close === undefined ? '`travertine config explain` lists all settings' : `did you mean ${close} instead?`
    return invalid(
      `the unknown ${path.length === 1 ? 'section' : 'key'} ${key}`,
      'a known one',
      this.#place(path),
      hint,
    )
  }

  /** Where the value of `path` was given. */
  #place(path: readonly string[]): TravertineError['where'] {
    const key = path.join('.')
    const origin = this.origins.get(key)
    if (origin?.from === 'environment' || origin?.from === 'option') return { key: `${key} (${origin.name})` }
    const file = this.#file
    return file === undefined ? { key } : { file: file.name, line: lineOfKey(file.text, path), key }
  }

  #found(path: readonly string[]): unknown {
    let at: unknown = this.values
    for (const name of path) at = isTable(at) ? at[name] : undefined
    return at
  }
}

/** Texts of the environment are what the setting's kind makes of them; what does not fit stays a text, and is refused. */
function valueOfText({ kind }: Setting, text: string): SettingValue {
  if (kind === 'integer' && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (kind === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  if (kind === 'list') return text.split(/[\s,]+/).filter(Boolean)
  return text
}

function complete(config: Config): FullConfig {
  const port = config.admin.port ?? adminPortDefault(config.listen.port)
  return { ...config, admin: { ...config.admin, port } }
}

function noAdminPort({ listen, admin }: FullConfig): TravertineError {
  const found = `listen.port = ${listen.port}, with which admin.port would be ${admin.port}`
  return invalid(found, 'at most 65535', { key: 'admin.port' }, 'give admin.port a value of its own')
}

function invalid(found: string, expected: string, where: TravertineError['where'], hint = ''): TravertineError {
  return new TravertineError('CONFIG_INVALID', `Cannot use a setting: found ${found}, expected ${expected}`, {
    where,
    hint,
  })
}

const shown = (value: unknown): string =>
  typeof value === 'bigint' || typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing')
