/**
 * The language of the core: what it hears (events) and what it wants done (effects). Plain data, no IO (DESIGN 9).
 *
 * A connection is a number that the shell gives out; a replication session and a client session are u64 numbers that
 * the core gives out. Time is an argument of `step`, in milliseconds of a monotonic clock. Random bytes come in with the
 * event that needs them.
 */

import type { ClusterConfig } from '../../protocol/cluster-config.ts'
import type { Message } from '../../protocol/control-message.ts'
import type { ErrorCode, TravertineError, WireError } from '../../protocol/errors.ts'
import type { KnownTerms, TermHistory } from '../../wal/term-history.ts'

export type ConnectionId = number
/** What a log connection that names a session may do: write sessions, append stamped frames, or read. */
export type SessionKind = 'client' | 'replication' | 'reader'

export type Event =
  /** A control connection came in, or one that was dialled is up (`row` is set). */
  | {
      readonly type: 'connected'
      readonly connection: ConnectionId
      readonly peer: string
      readonly secret: Uint8Array
      readonly row?: number
    }
  | { readonly type: 'dialFailed'; readonly row: number; readonly error: TravertineError }
  | { readonly type: 'message'; readonly connection: ConnectionId; readonly message: Message }
  | { readonly type: 'closed'; readonly connection: ConnectionId; readonly error?: TravertineError }
  /** All channel threads know the session's secret. */
  | { readonly type: 'sessionReady'; readonly session: bigint }
  /** A channel thread streams to the replica of this row / has stored UNKNOWN for it. */
  | {
      readonly type: 'rowOpen' | 'rowDown'
      readonly row: number
      readonly session: bigint
      readonly channel: number
      readonly error?: TravertineError
    }
  /** A channel thread has ended a reader's log connection: what the reader did, or what the files did. */
  | { readonly type: 'readerFailed'; readonly session: bigint; readonly error: TravertineError }
  /** The replica's channel threads are quiet, and the history with its cut is durable; or why not. */
  | { readonly type: 'adopted'; readonly connection: ConnectionId; readonly result: AdoptedHistory | TravertineError }
  /** The CONFIG of this number is STORED, the manifest knows it, and all channels count by it. The first one of a mastership begins it. */
  | { readonly type: 'configDurable'; readonly number: number }
  | { readonly type: 'watermarks'; readonly closed: bigint; readonly stored: bigint; readonly propagated: bigint }
  | { readonly type: 'ends'; readonly ends: readonly number[] }
  /** The replicas that this one shall feed from now on. */
  | { readonly type: 'cascade'; readonly addresses: readonly string[] }
  | { readonly type: 'tick' }
  | { readonly type: 'shutdown' }
  | { readonly type: 'drained' }

export interface AdoptedHistory {
  readonly resume: readonly number[]
  /** The terms this node has promised now. */
  readonly terms: KnownTerms
}

export type Effect =
  | { readonly type: 'send'; readonly connection: ConnectionId; readonly message: Message }
  /** Sends what was queued, then closes. */
  | { readonly type: 'close'; readonly connection: ConnectionId }
  | { readonly type: 'dial'; readonly row: number; readonly address: string }
  | {
      readonly type: 'registerSession'
      readonly session: bigint
      /** Level of the protocol that the session has agreed on. */
      readonly version: number
      readonly secret: Uint8Array
      readonly kind: SessionKind
    }
  | { readonly type: 'forgetSession'; readonly session: bigint }
  | {
      readonly type: 'openRow'
      readonly row: number
      readonly session: bigint
      readonly peerSession: bigint
      /** Level of the protocol that the session has agreed on. */
      readonly version: number
      readonly secret: Uint8Array
      readonly host: string
      readonly ports: readonly number[]
      readonly resume: readonly number[]
    }
  | { readonly type: 'closeRow'; readonly row: number; readonly session: bigint }
  | { readonly type: 'adopt'; readonly connection: ConnectionId; readonly history: TermHistory }
  | { readonly type: 'groupCommit'; readonly epoch: bigint }
  /** Write it into the log and make it rule; `configDurable` comes back. One at a time. */
  | { readonly type: 'changeConfig'; readonly config: ClusterConfig }
  | { readonly type: 'drain' }
  | { readonly type: 'stop' }
  | { readonly type: 'log'; readonly level: 'info'; readonly text: string }
  | { readonly type: 'log'; readonly level: 'warn'; readonly text: string; readonly code: ErrorCode }

/** A node of either role. `step` is synchronous, deterministic and does no IO. */
export interface Core {
  step(now: number, event: Event): readonly Effect[]
}

export const errorMessage = (error: WireError): Message => ({ type: 'error', error })
