/**
 * Frames and entries as `inspect` shows them: one line for people, one object for programs.
 *
 * Keys and values are any bytes. As text they are shown only if they are UTF-8, quoted so that no control character
 * reaches a terminal; otherwise as hex digits. Values are cut in lines for people, never in objects.
 */
import { isUtf8 } from 'node:buffer'
import { type ConfigRecord, decodeConfig, type Member } from '../protocol/cluster-config.ts'
import type { LoggedEntry, WriteVersion } from '../protocol/entry.ts'
import { TravertineError } from '../protocol/errors.ts'
import { FLAG_EXPLICIT_VERSIONS, FRAME_HEADER_BYTES, type FrameHeader, FrameKind } from '../protocol/frame.ts'
import { decodeMark, decodeSeal } from '../protocol/seal.ts'
import type { ScannedFrame } from '../wal/frame-scan.ts'

const KIND_NAMES = new Map<number, string>(Object.entries(FrameKind).map(([name, kind]) => [kind, name]))
const TEXT_BYTES_SHOWN = 60

/** What a frame says, beside its place. */
export function frameFields({ header, frame, position, end }: ScannedFrame): Readonly<Record<string, unknown>> {
  const { kind, epoch, term } = header
  return {
    position,
    end,
    kind: KIND_NAMES.get(kind) ?? kind,
    epoch,
    term,
    ...bodyFields(header, frame.subarray(FRAME_HEADER_BYTES)),
  }
}

function bodyFields(header: FrameHeader, body: Buffer): Readonly<Record<string, unknown>> {
  try {
    if (header.kind === FrameKind.SEAL) {
      const { prev, participants, stored, durablePosition, wallClockMs } = decodeSeal(body, {})
      return { prev, participants: channelsIn(participants), stored, durablePosition, wallClock: isoTime(wallClockMs) }
    }
    if (header.kind === FrameKind.MARK) return { ...decodeMark(body, {}) }
    if (header.kind === FrameKind.CONFIG) return configFields(decodeConfig(body, {}))
  } catch (error) {
    if (error instanceof TravertineError) return { malformed: error.message }
    throw error
  }
  const { entryCount, producerId, producerSequence, firstMinor, flags } = header
  const producer = producerId.toString(16).padStart(16, '0')
  return {
    entries: entryCount,
    explicitVersions: (flags & FLAG_EXPLICIT_VERSIONS) !== 0,
    firstMinor,
    producer,
    producerSequence,
  }
}

function configFields({ masterId, masterAddress, config }: ConfigRecord): Readonly<Record<string, unknown>> {
  const { number, quorum, loosened, formatLevel, members } = config
  return { masterId, masterAddress, number, quorum, loosened, formatLevel, members: members.map(memberText) }
}

/** `row 2 10.0.0.3:7400 in-sync`, as `inspect` shows it everywhere. */
export function memberText({ row, address, inSync, via }: Member): string {
  return `row ${row} ${address}${inSync ? ' in-sync' : ' async'}${via === 0 ? '' : ` via row ${via}`}`
}

export function frameLine(channel: number, frame: ScannedFrame, isBeyond: boolean): string {
  const { position, end, kind, epoch, term, ...rest } = frameFields(frame)
  const facts = Object.entries(rest).map(
    ([name, value]) => `${name} ${Array.isArray(value) ? value.join(',') : String(value)}`,
  )
  const place = `channel ${channel}  position ${position}  epoch ${epoch}  term ${term}`
  return `${place}  ${kind}  ${Number(end) - Number(position)} bytes  ${facts.join('  ')}${isBeyond ? BEYOND : ''}`
}

const BEYOND = '  [beyond the last whole epoch]'

/** Where an entry stands. */
export interface EntryPlace {
  readonly channel: number
  readonly position: number
  readonly epoch: bigint
  readonly index: number
}

export function entryFields(place: EntryPlace, entry: LoggedEntry): Readonly<Record<string, unknown>> {
  const { op, storage, version } = entry
  const key = 'key' in entry ? bytesField('key', entry.key) : {}
  const value = entry.op === 'put' ? bytesField('value', entry.value) : {}
  return { ...place, op, storage, ...key, ...value, version }
}

export function entryLine(place: EntryPlace, entry: LoggedEntry, isBeyond: boolean): string {
  const { channel, position, epoch, index } = place
  const key = 'key' in entry ? `  key ${shown(entry.key)}` : ''
  const value = entry.op === 'put' ? `  value ${shown(entry.value)}` : ''
  const where = `channel ${channel}  position ${position}  epoch ${epoch}  #${index}`
  return `${where}  ${entry.op}  storage ${entry.storage}${key}${value}  version ${versionText(entry.version)}${isBeyond ? BEYOND : ''}`
}

const versionText = ({ major, minor }: WriteVersion): string => `${major}.${minor}`

/** `key` as text where it is text, `keyHex` where it is not. */
function bytesField(name: string, bytes: Uint8Array): Readonly<Record<string, string>> {
  return isUtf8(bytes)
    ? { [name]: Buffer.from(bytes).toString('utf8') }
    : { [`${name}Hex`]: Buffer.from(bytes).toString('hex') }
}

function shown(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, TEXT_BYTES_SHOWN))
  const more = bytes.length > TEXT_BYTES_SHOWN ? `... (${bytes.length} bytes)` : ''
  // judged as a whole: a cut may fall within a character
  return `${isUtf8(bytes) ? quoted(head.toString('utf8')) : `0x${head.toString('hex')}`}${more}`
}

/** JSON leaves the C1 control characters and DEL alone; terminals do not. */
const quoted = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\u009f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** A seal's participants, one bit each, as channel numbers. */
export function channelsIn(participants: bigint): number[] {
  const channels: number[] = []
  for (let channel = 0; participants >> BigInt(channel) !== 0n; channel++) {
    if (((participants >> BigInt(channel)) & 1n) === 1n) channels.push(channel)
  }
  return channels
}

/** A wall clock can say anything; a date that does not exist is shown as its number. */
function isoTime(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString()
}
