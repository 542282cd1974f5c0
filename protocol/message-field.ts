/**
 * Kinds of the fields of control messages (REP-11): what each allows, and the one form that a value of it has here.
 */
import { assertNever } from './assert.ts'
import { isWireError } from './errors.ts'
import { isUuid } from './ids.ts'
import {
  CASCADE_DEPTH_LIMIT,
  CHANNEL_COUNT_LIMIT,
  PRODUCER_RANGE_COUNT_LIMIT,
  REPLICA_COUNT_LIMIT,
  TERM_HISTORY_LIMIT,
} from './limits.ts'

export const SECRET_BYTES = 16
/** HMAC-SHA-256. */
const PROOF_BYTES = 32

/** A replica as an operator knows it: its row on the board is the master's business. */
export interface WireMember {
  readonly address: string
  readonly inSync: boolean
}

export type FieldKind =
  | 'u32'
  | 'u53'
  | 'u64'
  | 'text'
  | 'uuid'
  | 'uuid?'
  | 'bytes'
  | 'proof'
  | 'u53[]'
  | 'port[]'
  | 'range[]'
  | 'term'
  | 'history'
  | 'error'
  | 'map'
  | 'level?'
  | 'uuid[]?'
  | 'flag'
  | 'members'

const TERM_FIELDS = { number: 'u64', nodeId: 'uuid', tag: 'u32' } as const
const HISTORY_ENTRY_FIELDS = { ...TERM_FIELDS, firstEpoch: 'u64', baseEpoch: 'u64', starts: 'u53[]' } as const
const MEMBER_FIELDS = { address: 'text', inSync: 'flag' } as const

export const isMap = (v: unknown): v is Record<string, unknown> =>
  typeof v === 'object' && v !== null && !Array.isArray(v) && !(v instanceof Uint8Array)
const isU53 = (v: unknown): boolean => Number.isSafeInteger(v) && (v as number) >= 0 // isSafeInteger implies number
const isU64 = (v: unknown): boolean => typeof v === 'bigint' && v >= 0n && v < 1n << 64n
const isU32 = (v: unknown): boolean => isU53(v) && (v as number) < 2 ** 32 // isU53 implies number

/** msgpack has one integer: whatever width an encoder chose, u64 fields are bigints here and all others numbers. */
export function normalise(value: Record<string, unknown>, fields: Readonly<Record<string, FieldKind>>): void {
  for (const [name, kind] of Object.entries(fields)) value[name] = normal(value[name], kind)
}

function normal(value: unknown, kind: FieldKind): unknown {
  switch (kind) {
    case 'u64':
      return isU53(value) ? BigInt(value as number) : value // isU53 implies number
    case 'u32':
    case 'u53':
      return typeof value === 'bigint' && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
    case 'u53[]':
    case 'port[]':
      return Array.isArray(value) ? value.map((v) => normal(v, 'u53')) : value
    case 'range[]':
      return Array.isArray(value) ? value.map((v) => normal(v, 'u53[]')) : value
    case 'term':
      if (isMap(value)) normalise(value, TERM_FIELDS)
      return value
    case 'history':
      if (Array.isArray(value)) for (const entry of value) if (isMap(entry)) normalise(entry, HISTORY_ENTRY_FIELDS)
      return value
    case 'level?':
      return value === undefined ? 'stored' : value // a peer of level 1 leaves it out
    case 'uuid[]?':
      return value === undefined ? [] : value // a peer below level 3 leaves it out
    default:
      return value
  }
}

export function matches(value: unknown, kind: FieldKind): boolean {
  switch (kind) {
    case 'u32':
      return isU32(value)
    case 'u53':
      return isU53(value)
    case 'u64':
      return isU64(value)
    case 'text':
      return typeof value === 'string' && value.length <= 4096
    case 'uuid':
      return typeof value === 'string' && isUuid(value)
    case 'uuid?':
      return value === '' || (typeof value === 'string' && isUuid(value))
    case 'bytes':
      return value instanceof Uint8Array && value.length === SECRET_BYTES
    case 'proof':
      return value instanceof Uint8Array && value.length === PROOF_BYTES
    case 'u53[]':
      return Array.isArray(value) && value.length <= CHANNEL_COUNT_LIMIT && value.every(isU53)
    case 'port[]':
      return matches(value, 'u53[]') && (value as number[]).every((port) => port >= 1 && port <= 65_535) // u53[]: numbers
    case 'range[]':
      return Array.isArray(value) && value.length <= PRODUCER_RANGE_COUNT_LIMIT && areRanges(value)
    case 'term':
      return hasFields(value, TERM_FIELDS) && value['tag'] !== 0
    case 'history':
      return (
        Array.isArray(value) &&
        value.length <= TERM_HISTORY_LIMIT &&
        value.every((entry) => hasFields(entry, HISTORY_ENTRY_FIELDS) && entry['tag'] !== 0)
      )
    case 'error':
      return isWireError(value)
    case 'map':
      return isMap(value)
    case 'level?':
      return value === 'stored' || value === 'propagated'
    case 'uuid[]?':
      return Array.isArray(value) && value.length <= CASCADE_DEPTH_LIMIT && value.every((v) => matches(v, 'uuid'))
    case 'flag':
      return typeof value === 'boolean'
    case 'members':
      return (
        Array.isArray(value) &&
        value.length <= REPLICA_COUNT_LIMIT &&
        value.every((member) => hasFields(member, MEMBER_FIELDS))
      )
    default:
      return assertNever(kind)
  }
}

/** Pairs of sequences, ascending and apart from each other. */
function areRanges(value: readonly unknown[]): boolean {
  let above = 0
  for (const range of value) {
    if (!Array.isArray(range) || range.length !== 2 || !range.every(isU53)) return false
    const [from, to] = range as [number, number] // isU53 implies number
    if (from <= above || to < from) return false
    above = to + 1
  }
  return true
}

function hasFields(value: unknown, fields: Readonly<Record<string, FieldKind>>): value is Record<string, unknown> {
  return isMap(value) && Object.entries(fields).every(([name, kind]) => matches(value[name], kind))
}
