/**
 * Conditions of the world, as typed errors with a closed list of codes.
 *
 * Text has the form "Cannot <do X>: found <a>, expected <b>" without a full stop; `hint` is one line that says what to
 * do next; `where` names file, channel, epoch, byte offset. docs/ERRORS.md has a section per code (a test compares).
 * Broken invariants of our own are not in here: see assert.ts.
 */
import { assert } from './assert.ts'
import { ERROR_HINT_CHARS_LIMIT, ERROR_TEXT_CHARS_LIMIT } from './limits.ts'

/** code -> [number on the wire, may the same call succeed later without a change?] */
export const ERROR_CODES = {
  // frames and entries
  FRAME_CORRUPT: [1, false],
  FRAME_VERSION_UNSUPPORTED: [2, false],
  FRAME_KIND_UNKNOWN: [3, false],
  FRAME_TOO_LARGE: [4, false],
  FRAME_EMPTY: [5, false],
  ENTRY_MALFORMED: [6, false],
  VERSION_ABOVE_EPOCH: [7, false],
  PRODUCER_SEQUENCE: [8, false],
  PRODUCER_EXPIRED: [9, false],
  // sessions and handshakes
  PROTOCOL_VERSION_UNSUPPORTED: [20, false],
  CLUSTER_MISMATCH: [21, false],
  CHANNEL_COUNT_MISMATCH: [22, false],
  SECRET_INVALID: [23, false],
  NOT_MASTER: [24, true],
  TERM_STALE: [25, false],
  TERM_CONFLICT: [26, false],
  HANDSHAKE_TIMEOUT: [27, true],
  MESSAGE_MALFORMED: [28, false],
  MESSAGE_TOO_LARGE: [29, false],
  MESSAGE_UNEXPECTED: [30, false],
  CHANNEL_UNKNOWN: [31, false],
  CONNECTION_LIMIT: [32, true],
  POSITION_MISMATCH: [33, false],
  MEMBER_UNKNOWN: [34, false],
  HISTORY_DIVERGED: [35, false],
  LOG_DROPPED: [36, false],
  CASCADE_LOOP: [37, false],
  FED_ALREADY: [38, true],
  NAMED_TWICE: [39, false],
  // node
  CHANNEL_POISONED: [40, false],
  DISK_LOW: [41, true],
  SHUTTING_DOWN: [42, true],
  PORT_IN_USE: [43, false],
  NO_REPLICA_IN_SET: [44, false],
  AUTHENTICATION_FAILED: [45, false],
  PERMISSION_DENIED: [46, false],
  NOT_READY: [47, true],
  CONFIG_CONFLICT: [48, false],
  POLICY_LOOSENED: [49, false],
  REPLICA_AHEAD: [50, false],
  // data directory
  DIRECTORY_MISSING: [60, false],
  DIRECTORY_NOT_EMPTY: [61, false],
  DIRECTORY_NOT_INITIALISED: [62, false],
  DIRECTORY_LOCKED: [63, true],
  DIRECTORY_READ_ONLY: [64, false],
  FORMAT_UNSUPPORTED: [65, false],
  MANIFEST_CORRUPT: [66, false],
  LOG_DAMAGED: [67, false],
  LOG_INCOMPLETE: [68, false],
  DISK_FULL: [69, true],
  DISK_FAILED: [70, false],
  // client
  CONNECT_FAILED: [80, true],
  CONNECTION_LOST: [81, true],
  DEADLINE_EXCEEDED: [82, true],
  ABORTED: [83, false],
  SESSION_ENDED: [84, false],
  SESSION_EMPTY: [85, false],
  SESSION_TOO_LARGE: [86, false],
  CLIENT_CLOSED: [87, false],
  VALUE_INVALID: [88, false],
  WINDOW_FULL: [89, true],
  SESSION_LOST: [90, false],
  // tools and configuration
  CONFIG_INVALID: [100, false],
  INPUT_INVALID: [101, false],
  INPUT_UNREADABLE: [102, false],
  HISTORIES_DIFFER: [103, false],
  INTERRUPTED: [104, true],
  RESTART_NEEDED: [105, false],
} as const satisfies Record<string, readonly [number, boolean]>

export type ErrorCode = keyof typeof ERROR_CODES

/** Where a code is wanted and the error is none of the list: a defect of ours. */
export const DEFECT_CODE = 'INTERNAL'

/** Where it happened. Only what is known is present. */
export interface ErrorPlace {
  readonly file?: string
  readonly channel?: number
  readonly epoch?: bigint
  /** Byte offset in the file, message or channel named beside it. */
  readonly offset?: number
  readonly peer?: string
  readonly line?: number
  readonly key?: string
}

export interface ErrorOptions {
  readonly where?: ErrorPlace
  /** One line: what to do next. */
  readonly hint?: string
  readonly cause?: unknown
}

export class TravertineError extends Error {
  override readonly name = 'TravertineError'
  readonly code: ErrorCode
  readonly where: ErrorPlace
  readonly hint: string

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.where = options.where ?? {}
    this.hint = (options.hint ?? '').slice(0, ERROR_HINT_CHARS_LIMIT)
  }

  /** May the same call succeed later without a change by its caller? */
  get retryable(): boolean {
    return ERROR_CODES[this.code][1]
  }

  /** One line for people: code, text, place, hint. */
  describe(): string {
    const place = Object.entries(this.where).map(([k, v]) => `${k} ${v}`)
    return `${this.code}: ${this.message}${place.length ? ` (${place.join(', ')})` : ''}${this.hint ? `; ${this.hint}` : ''}`
  }
}

/** An error as it travels: in control messages, log replies and `--json` output. */
export interface WireError {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly where: Readonly<Record<string, string | number | bigint>>
}

/** Texts are cut to a limit, so that an error about a huge thing never is one itself. */
export function toWireError(error: TravertineError): WireError {
  const where: Record<string, string | number | bigint> = {}
  for (const [key, value] of Object.entries(error.where)) if (value !== undefined) where[key] = cut(value)
  return { code: error.code, message: cut(error.message), hint: error.hint, where }
}

const cut = <T>(value: T): T | string => (typeof value === 'string' ? value.slice(0, ERROR_TEXT_CHARS_LIMIT) : value)

/** Is this, from a peer, an error in the form of the wire? */
export function isWireError(value: unknown): value is WireError {
  if (typeof value !== 'object' || value === null) return false
  const { code, message, hint, where } = value as Record<string, unknown> // an object, just checked
  if (typeof code !== 'string' || typeof message !== 'string' || typeof hint !== 'string') return false
  if (typeof where !== 'object' || where === null || Array.isArray(where) || ArrayBuffer.isView(where)) return false
  return Object.values(where).every((v) => typeof v === 'string' || typeof v === 'number' || typeof v === 'bigint')
}

/** A peer's error as our own type. An unknown code is a peer newer than we are: kept in the text, never thrown away. */
export function fromWireError(wire: WireError, peer?: string): TravertineError {
  const known = isErrorCode(wire.code)
  const place = peer === undefined ? { ...wire.where } : { ...wire.where, peer }
  return new TravertineError(
    known ? wire.code : 'MESSAGE_UNEXPECTED',
    known ? wire.message : `${wire.code}: ${wire.message}`,
    { where: place, hint: wire.hint },
  )
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text)
}

/** Total: whatever was thrown becomes an Error, so that no handler has to guess. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

assert(
  new Set(Object.values(ERROR_CODES).map(([n]) => n)).size === Object.keys(ERROR_CODES).length,
  'error numbers are unique',
)
