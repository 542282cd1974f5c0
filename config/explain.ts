/**
 * All settings as data: for `config explain`, for docs/CONFIGURATION.md, and for whoever turns texts into values.
 *
 * Default, kind and range are read from the schema itself, so that what is explained is what is checked.
 */
import { z } from 'zod'
import { assert } from '../protocol/assert.ts'
import { CONFIG_SCHEMA, SETTING_FACTS } from './settings.ts'

export type SettingValue = string | number | boolean | readonly string[]

/** As a text for people, and for comparing. */
export const settingText = (value: SettingValue | undefined): string =>
  typeof value === 'object' ? value.join(', ') : String(value)

export interface Setting {
  /** `listen.port` */
  readonly key: string
  readonly section: string
  readonly name: string
  readonly kind: 'text' | 'integer' | 'boolean' | 'choice' | 'list'
  readonly unit: string
  /** undefined: see `defaultText`. */
  readonly default: SettingValue | undefined
  readonly defaultText: string
  /** What is accepted, completes "expected ...". */
  readonly range: string
  readonly text: string
  readonly reload: boolean
  readonly environment: string
}

export const SETTINGS: readonly Setting[] = Object.entries(CONFIG_SCHEMA.shape).flatMap(([section, table]) =>
  Object.entries<z.ZodType>(table.shape).map(([name, schema]) => describeSetting(section, name, schema)),
)

export const SECTIONS: readonly string[] = Object.keys(CONFIG_SCHEMA.shape)

export const findSetting = (key: string): Setting | undefined => SETTINGS.find((setting) => setting.key === key)

/** The part of a JSON schema that the settings use. */
interface Shape {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly default?: SettingValue
  readonly maxItems?: number
}

function describeSetting(section: string, name: string, schema: z.ZodType): Setting {
  const facts = SETTING_FACTS.get(schema)
  assert(facts !== undefined, 'every setting is explained', { section, name })
  const shape = z.toJSONSchema(schema, { io: 'input' }) as Shape // of our own schema; the test reads all of them
  const { unit, text, reload, defaultText } = facts
  return {
    key: `${section}.${name}`,
    section,
    name,
    kind: kindOf(shape),
    unit,
    default: shape.default,
    defaultText: defaultText ?? settingText(shape.default),
    range: rangeOf(shape, unit),
    text,
    reload,
    environment: environmentName(section, name),
  }
}

function kindOf(shape: Shape): Setting['kind'] {
  if (shape.enum !== undefined) return 'choice'
  if (shape.type === 'array') return 'list'
  return shape.type === 'integer' || shape.type === 'boolean' ? shape.type : 'text'
}

function rangeOf(shape: Shape, unit: string): string {
  if (shape.enum !== undefined) return shape.enum.join(' or ')
  if (shape.type === 'boolean') return 'true or false'
  if (shape.type === 'integer') return `a whole number from ${shape.minimum} to ${shape.maximum}`
  if (shape.type === 'array') return `a list of at most ${shape.maxItems}, each ${unit}, each once`
  return `a text of ${shape.minLength} to ${shape.maxLength} characters`
}

/** `wal.segmentsAhead` -> TRAVERTINE_WAL_SEGMENTS_AHEAD */
function environmentName(section: string, name: string): string {
  return `TRAVERTINE_${section}_${name.replace(/[A-Z]/g, '_$&')}`.toUpperCase()
}
