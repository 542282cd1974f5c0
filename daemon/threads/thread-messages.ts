/**
 * What the control thread and the channel threads say to each other. Plain data over the worker's message port; nothing
 * of the commit path goes this way.
 */

import type { MessagePort } from 'node:worker_threads'
import type { ConfigRecord } from '../../protocol/cluster-config.ts'
import type { WireError } from '../../protocol/errors.ts'
import type { ClusterId, NodeId, Term } from '../../protocol/ids.ts'
import type { BoardHandle } from '../../wal/board.ts'
import type { ProducerTableState } from '../../wal/producer-table.ts'
import type { ConfigPlace, RecoveryPoint } from '../../wal/recovery-point.ts'
import type { ReceivedConfig } from '../../wal/replica-log.ts'
import type { SegmentFilling } from '../../wal/segments.ts'
import type { TermHistory } from '../../wal/term-history.ts'
import type { FoundSeal } from '../../wal/whole-epoch.ts'
import type { TlsMaterial } from '../../world/tls-network.ts'
import type { SessionKind } from '../core/events.ts'

/** workerData of a channel thread. */
export interface ChannelThreadStart {
  readonly start: ChannelStart
  /** One port to every other channel thread, at its index. */
  readonly wakePorts: readonly (MessagePort | undefined)[]
  /** TLS on the log port, and towards replicas. */
  readonly tls: TlsMaterial | undefined
}

/** control thread -> channel thread; for the thread itself, its channel does not hear of it */
export interface RenewTls {
  readonly type: 'renewTls'
  readonly tls: TlsMaterial
}

/** What a channel has to know of its node. */
export interface ChannelStart {
  readonly channel: number
  readonly channels: number
  readonly directory: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly segmentBytes: number
  readonly segmentsAhead: number
  readonly host: string
  /** Port to listen on; 0 lets the system choose. */
  readonly port: number
  /** Where the log goes on. */
  readonly position: number
  /** CONFIGs below, as recovery has found them. */
  readonly configs: readonly ConfigPlace[]
  /** The producer table as of that position. */
  readonly producers: ProducerTableState
  /** Answers of the preparer: see segment-preparer.ts. */
  readonly doorbell: SharedArrayBuffer
  /** On a replica: last whole epoch, one u64, written by the control thread. */
  readonly whole: SharedArrayBuffer
  /** What the thread tells of itself: see metrics/stat-slots.ts. */
  readonly stats: SharedArrayBuffer
  readonly master: MasterStart | undefined
}

export interface MasterStart {
  readonly board: BoardHandle
  readonly term: Term
  readonly history: TermHistory
}

/** control thread -> channel thread */
export type ToChannel =
  | {
      readonly type: 'registerSession'
      readonly session: bigint
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
      readonly version: number
      readonly secret: Uint8Array
      readonly host: string
      readonly port: number
      readonly resume: number
    }
  | { readonly type: 'closeRow'; readonly row: number; readonly session: bigint }
  /** Close all replication links, make everything durable, answer with `quiet`. */
  | { readonly type: 'quiesce' }
  /** Follow this history from this position on. `producers` is set where something was cut off there. */
  | {
      readonly type: 'follow'
      readonly history: TermHistory
      readonly position: number
      readonly producers: ProducerTableState | undefined
    }
  /** To the master's channel 0: write this CONFIG, and answer with `configStored` when it is STORED. */
  | { readonly type: 'config'; readonly record: ConfigRecord }
  /** The policy of the board has changed: look at the board, and answer with `recounted`. */
  | { readonly type: 'recount'; readonly number: number }
  | { readonly type: 'prepared' }
  | { readonly type: 'diskLow'; readonly low: boolean }
  /** Refuse new sessions, answer what is in flight, then say `drained`. */
  | { readonly type: 'drain' }
  /** Close everything; the thread ends. */
  | { readonly type: 'stop' }

/** channel thread -> control thread */
export type FromChannel =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'sessionReady'; readonly session: bigint }
  | { readonly type: 'rowOpen'; readonly row: number; readonly session: bigint }
  | { readonly type: 'rowDown'; readonly row: number; readonly session: bigint; readonly error?: WireError }
  | { readonly type: 'readerFailed'; readonly session: bigint; readonly error: WireError }
  | { readonly type: 'quiet'; readonly position: number }
  | { readonly type: 'seals'; readonly seals: readonly FoundSeal[] }
  /** From a replica's channel 0: CONFIGs that are durable here. */
  | { readonly type: 'configs'; readonly configs: readonly ReceivedConfig[] }
  | { readonly type: 'configStored'; readonly number: number }
  | { readonly type: 'recounted'; readonly number: number }
  | { readonly type: 'recoveryPoint'; readonly point: RecoveryPoint }
  | { readonly type: 'prepare'; readonly base: number; readonly filling: SegmentFilling }
  | { readonly type: 'drained' }
  /** The thread cannot go on: a poisoned channel, a port taken. */
  | { readonly type: 'failed'; readonly error: WireError }
