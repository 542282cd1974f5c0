/**
 * Whether and when to try again after a connection has failed.
 *
 * Waits double from RECONNECT_MS_MIN to RECONNECT_MS_MAX, each shortened at random by up to a half, so that a thousand
 * clients of a master that has restarted do not come at the same moment. There is no last try: deadlines end the calls
 * that wait, and `close()` ends the tries. What another try cannot mend is not tried again.
 */
import type { ErrorCode, TravertineError } from '../protocol/errors.ts'
import { RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'

export class Backoff {
  readonly #world: World
  #delayMs = RECONNECT_MS_MIN

  constructor(world: World) {
    this.#world = world
  }

  /** Milliseconds to wait before the next try. */
  next(): number {
    const delayMs = this.#delayMs
    this.#delayMs = Math.min(2 * delayMs, RECONNECT_MS_MAX)
    return delayMs * (1 - this.#world.randomBytes(4).readUInt32LE() / 2 ** 33)
  }

  /** A connection has ended. One that has lasted was a success, whatever came before it. */
  lasted(ms: number): void {
    if (ms >= RECONNECT_MS_MAX) this.#delayMs = RECONNECT_MS_MIN
  }
}

/** This is another cluster, or it speaks another language. */
const CLIENT_ENDS: ReadonlySet<ErrorCode> = new Set([
  'CLUSTER_MISMATCH',
  'CHANNEL_COUNT_MISMATCH',
  'PROTOCOL_VERSION_UNSUPPORTED',
])

/** One of the two sides breaks the protocol, and would do so again. */
const CHANNEL_ENDS: ReadonlySet<ErrorCode> = new Set([
  'FRAME_VERSION_UNSUPPORTED',
  'FRAME_KIND_UNKNOWN',
  'FRAME_TOO_LARGE',
  'FRAME_EMPTY',
  'ENTRY_MALFORMED',
  'PRODUCER_SEQUENCE',
  'PROTOCOL_VERSION_UNSUPPORTED',
  'MESSAGE_MALFORMED',
  'MESSAGE_TOO_LARGE',
  'MESSAGE_UNEXPECTED',
  'CHANNEL_UNKNOWN',
])

export const endsClient = (error: TravertineError): boolean => CLIENT_ENDS.has(error.code)
export const endsChannel = (error: TravertineError): boolean => CHANNEL_ENDS.has(error.code)
