/**
 * Every failure of a client call says which of three things is true (DESIGN 5, 4b):
 *
 * - `not-applied`: the session is certainly in no log. It was never sent, or the node has refused it.
 * - `unknown`: it was sent and no answer came in time. It may be in the log.
 * - `lost`: it was STORED, and is in the log no more: a change of history has cut it off before it was PROPAGATED.
 *
 * The remaining ending, "level reached", is not an error. Nothing turns one ending into another afterwards.
 */
import { type ErrorCode, type ErrorOptions, TravertineError } from '../protocol/errors.ts'
import type { Commit } from './commit.ts'

export type Outcome = 'not-applied' | 'unknown' | 'lost'

export interface ClientErrorOptions extends ErrorOptions {
  /** Set where STORED was reached and only PROPAGATED was not. */
  readonly stored?: Commit | undefined
}

export class ClientError extends TravertineError {
  readonly outcome: Outcome
  /** The session is durable on the master; only the wait for the replicas has failed. */
  readonly stored: Commit | undefined

  constructor(code: ErrorCode, message: string, outcome: Outcome, options: ClientErrorOptions = {}) {
    super(code, message, options)
    this.outcome = outcome
    this.stored = options.stored
  }
}

function attempt(failure: Failure, stored: Commit | undefined): string {
  if (failure.outcome === 'not-applied') return 'write'
  return stored !== undefined || failure.code === 'NO_REPLICA_IN_SET' ? 'reach PROPAGATED for' : 'tell the outcome of'
}

/** An error from protocol/ or from a node, with what it means for the call that met it. */
export function asClientError(error: TravertineError, outcome: Outcome): ClientError {
  if (error instanceof ClientError) return error
  return new ClientError(error.code, error.message, outcome, {
    where: error.where,
    hint: error.hint,
    cause: error.cause ?? error,
  })
}

/** A failure that many receipts share: each makes its own error from it, and only if somebody looks. */
export interface Failure {
  readonly code: ErrorCode
  readonly outcome: Outcome
  /** Completes the sentence "Cannot tell the outcome of session 7: ..." */
  readonly reason: string
  readonly hint: string
  readonly cause?: unknown
}

export function sessionError(
  failure: Failure,
  session: { channel: number; sequence: number; stored?: Commit | undefined },
): ClientError {
  const name = `session ${session.sequence}`
  return new ClientError(
    failure.code,
    `Cannot ${attempt(failure, session.stored)} ${name}: ${failure.reason}`,
    failure.outcome,
    {
      where: { channel: session.channel },
      hint: failure.hint,
      cause: failure.cause,
      stored: session.stored,
    },
  )
}

export function invalidValue(what: string, cause?: unknown): ClientError {
  return new ClientError('VALUE_INVALID', `Cannot use ${what}`, 'not-applied', { cause })
}

export function abortedBeforeSending(signal: AbortSignal): ClientError {
  return new ClientError('ABORTED', 'Cannot finish the call: its signal was aborted', 'not-applied', {
    cause: signal.reason,
  })
}

/** @param why what has kept the call from being done, as far as anybody knows */
export function expiredBeforeSending(deadlineMs: number, what: string, why?: TravertineError): ClientError {
  const reason = why === undefined ? '' : ` (${why.code}: ${why.message})`
  return new ClientError(
    'DEADLINE_EXCEEDED',
    `Cannot ${what}: its deadline of ${deadlineMs} ms passed${reason}`,
    'not-applied',
    {
      hint: 'nothing was sent; try again, with a longer deadline if the node is busy',
      cause: why,
    },
  )
}
