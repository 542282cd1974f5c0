/**
 * Identifiers and counters, branded so that an epoch can never be passed where a term is wanted.
 *
 * Epochs and terms are `bigint`, as on the wire. Positions are numbers: a channel would need eight petabytes to leave
 * the safe-integer range, and `byteOffset` asserts that it has not.
 *
 * Order of the watermarks (DESIGN 1): propagated <= stored <= closed <= open.
 */
import { assert } from './assert.ts'

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** Number of a group commit; exists only if a session was written in it. 0 means "before the first epoch". */
export type Epoch = Branded<bigint, 'Epoch'>
/** Number of a mastership. Grows with every start as master. 0 means "never had a master". */
export type TermNumber = Branded<bigint, 'TermNumber'>
/** Index of a channel, 0 to 63. */
export type ChannelId = Branded<number, 'ChannelId'>
/** Byte offset since the channel was born; the same on every node. */
export type ByteOffset = Branded<number, 'ByteOffset'>
/** UUID in lower-case text form, made by `init`. */
export type ClusterId = Branded<string, 'ClusterId'>
/** UUID in lower-case text form, made by `init`, one per data directory. */
export type NodeId = Branded<string, 'NodeId'>
/** Random u64 that names one producer: one client on one channel. */
export type ProducerId = Branded<bigint, 'ProducerId'>

/** A mastership: who, the how-manieth, and a random tag that tells two masterships of equal number apart. */
export interface Term {
  readonly number: TermNumber
  readonly nodeId: NodeId
  /** u32, never 0. */
  readonly tag: number
}

// The casts below are the only places where a plain value becomes a branded one.
export const epoch = (value: bigint): Epoch => value as Epoch
export const termNumber = (value: bigint): TermNumber => value as TermNumber
export const producerId = (value: bigint): ProducerId => value as ProducerId
export const NO_EPOCH: Epoch = epoch(0n)

export function byteOffset(value: number): ByteOffset {
  assert(Number.isSafeInteger(value) && value >= 0, 'a byte offset is a non-negative safe integer', { value })
  return value as ByteOffset
}

export function channelId(value: number): ChannelId {
  assert(Number.isInteger(value) && value >= 0 && value < 64, 'a channel id is 0 to 63', { value })
  return value as ChannelId
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export const isUuid = (text: string): boolean => UUID.test(text)
export const clusterId = (text: string): ClusterId => uuid(text) as ClusterId
export const nodeId = (text: string): NodeId => uuid(text) as NodeId

function uuid(text: string): string {
  assert(isUuid(text), 'an id is a UUID in lower case', { text })
  return text
}

/** Two terms are the same mastership only if number, node and tag agree. */
export function sameTerm(a: Term, b: Term): boolean {
  return a.number === b.number && a.tag === b.tag && a.nodeId === b.nodeId
}
