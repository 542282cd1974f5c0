/**
 * What a channel thread tells of itself: numbers in shared memory, one slot each, which the control thread reads when
 * somebody asks. Counting is one plain store; nothing is sent, nobody waits, and a thread that hangs can still be read.
 *
 * Written by one thread only. Numbers are doubles: exact up to 2^53, and never torn, since they are aligned.
 *
 *   scalars     the list below
 *   rows        per replica row: the list below that
 *   errors      one counter per error code, in the order of ERROR_CODES
 *   stages      per stage of a commit: a counter per bound of STAGE_BOUNDS_SECONDS and one above, then the sum
 */
import { assert } from '../../protocol/assert.ts'
import { ERROR_CODES, type ErrorCode } from '../../protocol/errors.ts'
import { REPLICA_COUNT_LIMIT } from '../../protocol/limits.ts'

const SCALARS = [
  'heartbeats',
  'flushes',
  'sessions',
  'entries',
  'frames',
  'writtenBytes',
  'appendedPosition',
  'durablePosition',
  'queuedBytes',
  /** Why epochs were closed: see docs/METRICS.md. */
  'closedDrained',
  'closedFull',
  'closedByOthers',
  'clients',
  'readers',
  'masters',
  'loopDelayMeanSeconds',
  'loopDelayP99Seconds',
  'loopDelayMaxSeconds',
] as const

const ROW_FIELDS = ['streaming', 'durablePosition', 'lagSeconds'] as const

/** What a commit waits for, one behind the other; `network` and `replica_fdatasync` run beside `write` and `fdatasync`. */
export const STAGES = ['queue', 'write', 'fdatasync', 'network', 'replica_fdatasync'] as const
export type Stage = (typeof STAGES)[number]

/** From a tenth of a fast disk's flush to what nobody waits for. */
export const STAGE_BOUNDS_SECONDS: readonly number[] = Array.from({ length: 18 }, (_, i) => (25 * 2 ** i) / 1e6)

export type Scalar = (typeof SCALARS)[number]
export type RowField = (typeof ROW_FIELDS)[number]

const CODES = Object.keys(ERROR_CODES) as ErrorCode[] // its own keys
const ROWS = 1 + REPLICA_COUNT_LIMIT
const STAGE_SLOTS = STAGE_BOUNDS_SECONDS.length + 2

const ROWS_AT = SCALARS.length
const ERRORS_AT = ROWS_AT + ROWS * ROW_FIELDS.length
const STAGES_AT = ERRORS_AT + CODES.length
const SLOT_COUNT = STAGES_AT + STAGES.length * STAGE_SLOTS

const indexOf = <K extends string>(names: readonly K[]): Readonly<Record<K, number>> =>
  Object.fromEntries(names.map((name, index) => [name, index])) as Record<K, number> // one entry per name

const SCALAR_AT = indexOf(SCALARS)
const ROW_FIELD_AT = indexOf(ROW_FIELDS)
const CODE_AT = indexOf(CODES)
const STAGE_AT = indexOf(STAGES)

export interface StageTotals {
  /** Per bound, and one above all: how many fell there. */
  readonly counts: readonly number[]
  readonly sumSeconds: number
}

export class StatSlots {
  readonly memory: SharedArrayBuffer
  readonly #slots: Float64Array

  constructor(memory = new SharedArrayBuffer(SLOT_COUNT * 8)) {
    assert(memory.byteLength === SLOT_COUNT * 8, 'all threads have the same table of slots')
    this.memory = memory
    this.#slots = new Float64Array(memory)
  }

  get(scalar: Scalar): number {
    return this.#slots[SCALAR_AT[scalar]]! // every scalar has a slot
  }

  set(scalar: Scalar, value: number): void {
    this.#slots[SCALAR_AT[scalar]] = value
  }

  add(scalar: Scalar, value: number): void {
    const at = SCALAR_AT[scalar]
    this.#slots[at] = this.#slots[at]! + value
  }

  row(row: number, field: RowField): number {
    return this.#slots[rowAt(row, field)]! // rows are checked against their limit where they are made
  }

  setRow(row: number, field: RowField, value: number): void {
    this.#slots[rowAt(row, field)] = value
  }

  errors(code: ErrorCode): number {
    return this.#slots[ERRORS_AT + CODE_AT[code]]! // a slot per code
  }

  countError(code: ErrorCode): void {
    const at = ERRORS_AT + CODE_AT[code]
    this.#slots[at] = this.#slots[at]! + 1
  }

  /** Something took so long. */
  observe(stage: Stage, milliseconds: number): void {
    const seconds = milliseconds / 1_000
    const at = STAGES_AT + STAGE_AT[stage] * STAGE_SLOTS
    let bucket = 0
    while (bucket < STAGE_BOUNDS_SECONDS.length && seconds > STAGE_BOUNDS_SECONDS[bucket]!) bucket++
    this.#slots[at + bucket] = this.#slots[at + bucket]! + 1
    this.#slots[at + STAGE_SLOTS - 1] = this.#slots[at + STAGE_SLOTS - 1]! + seconds
  }

  stage(stage: Stage): StageTotals {
    const at = STAGES_AT + STAGE_AT[stage] * STAGE_SLOTS
    const slots = this.#slots.slice(at, at + STAGE_SLOTS)
    return { counts: [...slots.subarray(0, -1)], sumSeconds: slots.at(-1) ?? 0 }
  }
}

const rowAt = (row: number, field: RowField): number => ROWS_AT + row * ROW_FIELDS.length + ROW_FIELD_AT[field]
