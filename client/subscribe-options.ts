/** Options of `subscribe`, and their checks: whatever an application passes ends in VALUE_INVALID. */

import type { U64 } from '../protocol/entry-encoder.ts'
import { CLIENT_DEADLINE_MS_LIMIT, READER_MEMORY_BYTES_DEFAULT, READER_MEMORY_BYTES_MIN } from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import type { Address } from './address.ts'
import { invalidValue } from './client-error.ts'
import { checkU64 } from './entry-checks.ts'
import type { Credential } from './introduction.ts'
import { type CallLimits, type CallOptions, type ClientSecurity, checkConnectOptions } from './options.ts'
import type { SubscriptionInfo } from './subscription.ts'

/** An epoch and the term in which it was written: a `Commit`, or a `CommittedEpoch`. */
export interface EpochMark {
  readonly term: { readonly number: U64; readonly tag: number }
  readonly epoch: U64
}

/** `deadlineMs` is that of the first connection; a `signal` ends the subscription. */
export interface SubscribeOptions extends CallOptions {
  /** `host:port` of control channels, of masters and replicas alike. Any of them will do; they are tried in turn. */
  readonly address: string | readonly string[]
  /** Refuse nodes of another cluster. Without it any cluster will do. */
  readonly clusterId?: string | undefined
  readonly security?: ClientSecurity | undefined
  /** First epoch that is wanted; from the oldest one without it. */
  readonly fromEpoch?: U64 | undefined
  /** Go on behind this epoch instead, and make sure that it is in the log: HISTORY_DIVERGED if not. */
  readonly after?: EpochMark | undefined
  /** Only entries of these storages; epochs without any are passed over. */
  readonly storages?: readonly U64[] | undefined
  /** false: end with the epoch that is the newest committed one when the subscription begins. */
  readonly follow?: boolean | undefined
  /** Milliseconds without a connection after which it gives up; without it, it tries for ever. */
  readonly reconnectMs?: number | undefined
  /** Bytes that are read ahead of the application, 16 MiB at least; beyond them only what the next epoch needs. */
  readonly memoryBytes?: number | undefined
  /** The connection was lost, and is being made again. */
  readonly onLost?: ((error: Error) => void) | undefined
  /** The connection was made again. */
  readonly onResumed?: ((info: SubscriptionInfo) => void) | undefined
}

export interface CheckedSubscribeOptions {
  readonly world: World
  readonly credential: Credential | undefined
  readonly limits: CallLimits
  readonly addresses: readonly Address[]
  readonly clusterId: string
  readonly fromEpoch: bigint
  readonly after: { readonly number: bigint; readonly tag: number; readonly epoch: bigint } | undefined
  readonly storages: ReadonlySet<bigint> | undefined
  readonly follow: boolean
  readonly reconnectMs: number
  readonly memoryBytes: number
  readonly onLost: (error: Error) => void
  readonly onResumed: (info: SubscriptionInfo) => void
}

/** @throws VALUE_INVALID, ABORTED */
export function checkSubscribeOptions(options: SubscribeOptions, world: World): CheckedSubscribeOptions {
  const { address, clusterId, deadlineMs, signal, security, after } = options
  const connect = { address, clusterId, deadlineMs, signal, security }
  const { addresses, ...connecting } = checkConnectOptions(connect, world, 'reader')
  if (after !== undefined && options.fromEpoch !== undefined) {
    throw invalidValue('fromEpoch together with after: expected one of them')
  }
  const checkedAfter = after === undefined ? undefined : checkMark(after)
  return {
    world: connecting.world,
    credential: connecting.credential,
    limits: connecting,
    addresses,
    clusterId: connecting.clusterId,
    fromEpoch: checkedAfter?.epoch ?? firstEpoch(options.fromEpoch ?? 1n),
    after: checkedAfter,
    storages: checkStorages(options.storages),
    follow: checkFollow(options.follow ?? true),
    reconnectMs: checkMs('reconnectMs', options.reconnectMs ?? Number.POSITIVE_INFINITY),
    memoryBytes: checkMemory(options.memoryBytes ?? READER_MEMORY_BYTES_DEFAULT),
    onLost: checkCallback('onLost', options.onLost),
    onResumed: checkCallback('onResumed', options.onResumed),
  }
}

function checkMark({ term, epoch }: EpochMark): CheckedSubscribeOptions['after'] {
  const tag = term?.tag
  if (!Number.isInteger(tag) || tag < 1 || tag >= 2 ** 32) {
    throw invalidValue(`after.term.tag: found ${String(tag)}, expected a whole number from 1 to 2^32 - 1`)
  }
  const mark = { number: u64('after.term.number', term.number), tag, epoch: u64('after.epoch', epoch) }
  if (mark.epoch > 0n) return mark
  throw invalidValue('after.epoch: found 0, expected an epoch')
}

/** There is no epoch 0. */
function firstEpoch(from: U64): bigint {
  return u64('fromEpoch', from) || 1n
}

function u64(name: string, value: U64): bigint {
  checkU64(name, value)
  return BigInt(value)
}

function checkStorages(storages: readonly U64[] | undefined): ReadonlySet<bigint> | undefined {
  if (storages === undefined) return undefined
  if (!Array.isArray(storages) || storages.length === 0)
    throw invalidValue('storages: expected at least one storage id')
  return new Set(storages.map((storage) => u64('a storage id', storage)))
}

function checkFollow(follow: boolean): boolean {
  if (typeof follow === 'boolean') return follow
  throw invalidValue(`follow: found ${String(follow)}, expected true or false`)
}

function checkMs(name: string, ms: number): number {
  if (ms === Number.POSITIVE_INFINITY || (Number.isInteger(ms) && ms >= 1 && ms <= CLIENT_DEADLINE_MS_LIMIT)) return ms
  throw invalidValue(`${name}: found ${ms}, expected a whole number from 1 to ${CLIENT_DEADLINE_MS_LIMIT}`)
}

function checkMemory(bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= READER_MEMORY_BYTES_MIN) return bytes
  throw invalidValue(`memoryBytes: found ${bytes}, expected a whole number of at least ${READER_MEMORY_BYTES_MIN}`)
}

function checkCallback<T>(name: string, callback: ((value: T) => void) | undefined): (value: T) => void {
  if (callback === undefined) return () => undefined
  if (typeof callback === 'function') return callback
  throw invalidValue(`${name}: found ${typeof callback}, expected a function`)
}
