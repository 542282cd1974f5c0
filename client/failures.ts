/**
 * Every way in which a session can fail that is not the node's own word, as the application is told.
 */
import type { TravertineError } from '../protocol/errors.ts'
import type { Failure } from './client-error.ts'
import type { CallLimits } from './options.ts'

export function expiredFailure({ deadlineMs }: CallLimits, wasSent: boolean): Failure {
  return {
    code: 'DEADLINE_EXCEEDED',
    reason: `its deadline of ${deadlineMs} ms passed${wasSent ? '' : ' before it was sent'}`,
    ...(wasSent ? SENT : NOT_SENT),
  }
}

export function abortedFailure(signal: AbortSignal, wasSent: boolean): Failure {
  return {
    code: 'ABORTED',
    reason: `its signal was aborted ${wasSent ? 'after' : 'before'} it was sent`,
    cause: signal.reason,
    ...(wasSent ? SENT : NOT_SENT),
  }
}

const SENT = { outcome: 'unknown', hint: 'it was sent and may be in the log; read before you write it again' } as const
const NOT_SENT = { outcome: 'not-applied', hint: 'it was never sent' } as const

export const CLOSED: Failure = {
  code: 'CLIENT_CLOSED',
  outcome: 'not-applied',
  reason: 'the channel was closed by the application',
  hint: 'open another channel, or connect again',
}

export function connectionLost(cause: TravertineError): Failure {
  return {
    code: 'CONNECTION_LOST',
    outcome: 'not-applied',
    reason: `the connection to the node has ended (${cause.code}: ${cause.message})`,
    hint: cause.hint || 'open another channel, or connect again',
    cause,
  }
}

/** The same, for a session that has left this process. */
export const sentBefore = (failure: Failure): Failure => ({
  ...failure,
  outcome: 'unknown',
  hint: 'it was sent and may be in the log',
})

/** The node's table says that it is not in the log and that later ones are: it can come in no more. */
export const REFUSED_UNHEARD: Failure = {
  code: 'CONNECTION_LOST',
  outcome: 'not-applied',
  reason: 'the node has refused it, and its reason was lost with a connection',
  hint: 'write it again if it still matters; it comes behind those that were ended after it',
}

export const LOST: Failure = {
  code: 'SESSION_LOST',
  outcome: 'lost',
  reason: 'it was STORED, and a change of history has cut it from the log: the new master did not have it',
  hint: 'write it again if it still matters; what is PROPAGATED is never lost in this way',
}

export const PRODUCER_FORGOTTEN: Failure = {
  code: 'PRODUCER_EXPIRED',
  outcome: 'unknown',
  reason: 'the node has forgotten this producer, and cannot tell whether the session is in the log',
  hint: 'read before you write it again',
}

/** The same, for a session that was never sent. */
export const FORGOTTEN_BEFORE: Failure = {
  code: 'PRODUCER_EXPIRED',
  outcome: 'not-applied',
  reason: 'the node has forgotten this producer before the session was sent',
  hint: 'write it again',
}

export const NO_REPLICA: Failure = {
  code: 'NO_REPLICA_IN_SET',
  outcome: 'unknown',
  reason: 'the policy of this cluster asks for no replica, so PROPAGATED can never be reached',
  hint: 'wait for `stored`, or add a replica to the in-sync set',
}
