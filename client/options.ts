/**
 * Options of client calls, and their checks: whatever an application passes ends in VALUE_INVALID, never in an
 * assertion and never in a silent default.
 */
import type { PeerRole } from '../protocol/authentication.ts'
import type { Clock } from '../protocol/clock.ts'
import { isUuid } from '../protocol/ids.ts'
import {
  CLIENT_ADDRESS_COUNT_LIMIT,
  CLIENT_DEADLINE_MS_DEFAULT,
  CLIENT_DEADLINE_MS_LIMIT,
  SECRET_CHARS_MIN,
} from '../protocol/limits.ts'
import type { World } from '../protocol/world.ts'
import { type TlsMaterial, TlsNetwork } from '../world/tls-network.ts'
import { type Address, parseAddress } from './address.ts'
import { abortedBeforeSending, invalidValue } from './client-error.ts'
import type { Level } from './commit.ts'
import type { Credential } from './introduction.ts'

/** Limits of one call. A call without a deadline of its own has that of `connect`. */
export interface CallOptions {
  /** Milliseconds until the call ends with DEADLINE_EXCEEDED; whole, at least 1. */
  readonly deadlineMs?: number | undefined
  /** Ends the call with ABORTED. */
  readonly signal?: AbortSignal | undefined
}

export interface WriteOptions extends CallOptions {
  /** What the returned promise waits for. */
  readonly level: Level
}

export interface OpenChannelOptions extends CallOptions {
  /** 0 to `info.channels - 1`; without it the client takes one that it uses least. */
  readonly channel?: number | undefined
  /**
   * What the writers of this channel mostly wait for. `stored` unless given: each answer comes as soon as it is true.
   * `propagated`: STORED comes together with PROPAGATED, or at most 10 ms late. Both are told in either case; the node and
   * the application have half as many messages to handle.
   */
  readonly level?: Level | undefined
}

/** `bytes`: values are Uint8Array. `msgpack`: values are anything that msgpack can hold, encoded by the client. */
export type ValueMode = 'bytes' | 'msgpack'
/** The type of values in that mode. */
export type ValueOf<Mode extends ValueMode> = [Mode] extends ['msgpack'] ? unknown : Uint8Array

export interface ConnectOptions<Mode extends ValueMode = ValueMode> extends CallOptions {
  /** `host:port` of control channels. They are tried in turn until one is the master or names it. */
  readonly address: string | readonly string[]
  /** Refuse nodes of another cluster. Without it any cluster will do. */
  readonly clusterId?: string | undefined
  readonly values?: Mode | undefined
  readonly security?: ClientSecurity | undefined
  /**
   * A lost connection is made anew, and what has no answer is sent again unless it is in the log. `false`: the first loss
   * is the end, and what has no answer then is `unknown`.
   */
  readonly reconnect?: boolean | undefined
  /** Told when sessions that were STORED are found to be lost with a change of history. */
  readonly onLost?: ((lost: LostSessions) => void) | undefined
}

/** How this application proves who it is, and how its bytes are hidden. */
export interface ClientSecurity {
  /** The shared secret of the cluster, where its nodes ask for one. It is proven, never sent. */
  readonly secret?: string | undefined
  /** TLS: whom to trust, and a certificate of one's own where nodes ask for it. `true`: the authorities that Node knows. */
  readonly tls?: TlsMaterial | true | undefined
}

/**
 * Sessions `from` to `to` of a channel object were STORED, and are in the log no more. Those of them that were refused
 * at the time never were.
 */
export interface LostSessions {
  readonly channel: number
  readonly from: number
  readonly to: number
}

/** A call's limits with everything filled in. */
export interface CallLimits {
  readonly deadlineMs: number
  /** On the clock of the client's world. */
  readonly deadline: number
  readonly signal: AbortSignal | undefined
}

export interface CheckedConnectOptions extends CallLimits {
  readonly world: World
  readonly addresses: readonly Address[]
  readonly clusterId: string
  readonly values: ValueMode
  readonly reconnect: boolean
  readonly onLost: (lost: LostSessions) => void
  readonly credential: Credential | undefined
}

/** @throws VALUE_INVALID, or ABORTED where the signal has fired already */
export function callLimits(options: CallOptions, deadlineMsDefault: number, clock: Clock): CallLimits {
  const deadlineMs = checkCallOptions(options, deadlineMsDefault)
  return { deadlineMs, deadline: clock.now() + deadlineMs, signal: options.signal }
}

/** Returns the deadline to use. @throws as callLimits */
export function checkCallOptions(options: CallOptions, deadlineMsDefault: number): number {
  const deadlineMs = options.deadlineMs ?? deadlineMsDefault
  if (!Number.isInteger(deadlineMs) || deadlineMs < 1 || deadlineMs > CLIENT_DEADLINE_MS_LIMIT) {
    throw invalidValue(`deadlineMs: found ${deadlineMs}, expected a whole number from 1 to ${CLIENT_DEADLINE_MS_LIMIT}`)
  }
  const signal = options.signal
  if (signal !== undefined) {
    if (!(signal instanceof AbortSignal)) throw invalidValue(`signal: found ${typeof signal}, expected an AbortSignal`)
    if (signal.aborted) throw abortedBeforeSending(signal)
  }
  return deadlineMs
}

export function checkLevel(level: Level): void {
  if (level === 'stored' || level === 'propagated') return
  throw invalidValue(`level: found ${String(level)}, expected stored or propagated`)
}

/** @throws VALUE_INVALID, ABORTED */
export function checkConnectOptions(options: ConnectOptions, plain: World, role: PeerRole): CheckedConnectOptions {
  const { world, credential } = checkSecurity(options.security ?? {}, plain, role)
  const list = typeof options.address === 'string' ? [options.address] : options.address
  if (!Array.isArray(list) || list.length === 0 || list.length > CLIENT_ADDRESS_COUNT_LIMIT) {
    throw invalidValue(`address: expected host:port, or 1 to ${CLIENT_ADDRESS_COUNT_LIMIT} of them`)
  }
  const clusterId = options.clusterId ?? ''
  if (clusterId !== '' && !isUuid(clusterId)) {
    throw invalidValue(`clusterId: found ${clusterId}, expected a UUID in lower case`)
  }
  const values = options.values ?? 'bytes'
  if (values !== 'bytes' && values !== 'msgpack') {
    throw invalidValue(`values: found ${String(values)}, expected bytes or msgpack`)
  }
  const { reconnect = true, onLost = () => {} } = options
  if (typeof reconnect !== 'boolean') throw invalidValue(`reconnect: found ${typeof reconnect}, expected true or false`)
  if (typeof onLost !== 'function') throw invalidValue(`onLost: found ${typeof onLost}, expected a function`)
  const limits = callLimits(options, CLIENT_DEADLINE_MS_DEFAULT, world.clock)
  return { ...limits, world, addresses: list.map(parseAddress), clusterId, values, reconnect, onLost, credential }
}

function checkSecurity(
  { secret, tls }: ClientSecurity,
  world: World,
  role: PeerRole,
): Pick<CheckedConnectOptions, 'world' | 'credential'> {
  if (secret !== undefined && (typeof secret !== 'string' || secret.length < SECRET_CHARS_MIN)) {
    throw invalidValue(`security.secret: expected a text of at least ${SECRET_CHARS_MIN} characters`) // never shown
  }
  const network = tls === undefined ? world.network : new TlsNetwork(tls === true ? {} : tls)
  return { world: { ...world, network }, credential: secret === undefined ? undefined : { secret, role } }
}
