/**
 * The config of the cluster: members, in-sync set and policy; and the body of CONFIG frames, which record it (WAL-37 ff.).
 *
 * A CONFIG frame stands first in every mastership, and where the config changes. It names the master as well, so the log
 * itself tells who wrote it under which policy. Little-endian:
 *
 *   offset size field               then, for each member
 *        0    4 formatLevel           0    1 row
 *        4    1 quorum                1    1 flags          bit 0: in-sync
 *        5    1 memberCount           2    1 via
 *        6    2 addressLength         3    1 zero
 *        8    8 number                4    2 addressLength
 *       16    8 loosened              6    n address
 *       24   16 masterId
 *       40    n masterAddress
 *
 * Equal configs have equal bytes: rows ascend, and nothing is optional. The same bytes travel in control messages.
 */
import { ADDRESS_CHARS_LIMIT, splitAddress } from './address.ts'
import { assert } from './assert.ts'
import { type ErrorPlace, TravertineError } from './errors.ts'
import { readU64Number, writeU64Number } from './frame.ts'
import { type NodeId, nodeId } from './ids.ts'
import { REPLICA_COUNT_LIMIT } from './limits.ts'

/** Frames and bodies of this level are in use. A cluster is raised to a higher one by command, once all its nodes know it. */
export const FORMAT_LEVEL = 1

/** A replica of the cluster. */
export interface Member {
  /** Its row on the board, 1 to 15. */
  readonly row: number
  /** host:port of its control channel. */
  readonly address: string
  /** Does it count for PROPAGATED? */
  readonly inSync: boolean
  /** Row of the member that feeds it; 0: the master does. */
  readonly via: number
}

export interface ClusterConfig {
  /** Counts changes; 1 is what `init` made, 0 a replica that has not met a master. */
  readonly number: number
  /** How many of the changes loosened the policy: see wal/config-change.ts. */
  readonly loosened: number
  readonly formatLevel: number
  /** Least size of the in-sync set. */
  readonly quorum: number
  /** By ascending rows. */
  readonly members: readonly Member[]
}

/** What a CONFIG frame says; the term is in its header. */
export interface ConfigRecord {
  readonly masterId: NodeId
  /** host:port of the master's control channel. */
  readonly masterAddress: string
  readonly config: ClusterConfig
}

export const EMPTY_CONFIG: ClusterConfig = { number: 0, loosened: 0, formatLevel: FORMAT_LEVEL, quorum: 0, members: [] }

export const CONFIG_HEAD_BYTES = 40
export const MEMBER_HEAD_BYTES = 6
export const CONFIG_BYTES_LIMIT =
  CONFIG_HEAD_BYTES + ADDRESS_CHARS_LIMIT + REPLICA_COUNT_LIMIT * (MEMBER_HEAD_BYTES + ADDRESS_CHARS_LIMIT)

const FLAG_IN_SYNC = 1

export function encodeConfig({ masterId, masterAddress, config }: ConfigRecord): Buffer {
  const fault = faultOfConfig(config) ?? faultOfAddress(masterAddress)
  assert(fault === undefined, 'a config that is written is sound', { fault })
  const head = Buffer.alloc(CONFIG_HEAD_BYTES)
  head.writeUInt32LE(config.formatLevel, 0)
  head[4] = config.quorum
  head[5] = config.members.length
  head.writeUInt16LE(masterAddress.length, 6)
  writeU64Number(head, 8, config.number)
  writeU64Number(head, 16, config.loosened)
  head.write(masterId.replaceAll('-', ''), 24, 'hex')
  return Buffer.concat([head, Buffer.from(masterAddress, 'latin1'), ...config.members.map(encodeMember)])
}

function encodeMember({ row, inSync, via, address }: Member): Buffer {
  const head = Buffer.alloc(MEMBER_HEAD_BYTES)
  head[0] = row
  head[1] = inSync ? FLAG_IN_SYNC : 0
  head[2] = via
  head.writeUInt16LE(address.length, 4)
  return Buffer.concat([head, Buffer.from(address, 'latin1')])
}

/**
 * @throws FRAME_VERSION_UNSUPPORTED for a format level above ours, before anything else is read; ENTRY_MALFORMED for
 *   whatever else is wrong
 */
export function decodeConfig(body: Uint8Array, where: ErrorPlace): ConfigRecord {
  const reader = new BodyReader(body, where)
  const head = reader.take(CONFIG_HEAD_BYTES)
  const formatLevel = head.readUInt32LE(0)
  if (formatLevel > FORMAT_LEVEL) throw tooNew(formatLevel, where)
  const masterAddress = reader.take(head.readUInt16LE(6)).toString('latin1')
  const members: Member[] = []
  for (let i = 0; i < head.readUInt8(5); i++) members.push(decodeMember(reader))
  reader.expectEnd()
  const config: ClusterConfig = {
    number: readU64Number(head, 8),
    loosened: readU64Number(head, 16),
    formatLevel,
    quorum: head.readUInt8(4),
    members,
  }
  const fault = faultOfConfig(config) ?? faultOfAddress(masterAddress)
  if (fault !== undefined) throw malformed(fault, where)
  return { masterId: nodeId(uuidText(head.subarray(24))), masterAddress, config }
}

function decodeMember(reader: BodyReader): Member {
  const head = reader.take(MEMBER_HEAD_BYTES)
  const flags = head.readUInt8(1)
  if (flags > FLAG_IN_SYNC || head[3] !== 0) throw reader.malformed(`a member with flags ${flags} or without its zero`)
  const address = reader.take(head.readUInt16LE(4)).toString('latin1')
  return { row: head.readUInt8(0), address, inSync: flags === FLAG_IN_SYNC, via: head.readUInt8(2) }
}

/** What makes a config none, wherever it comes from: a frame, a message, a manifest. Undefined if it is sound. */
export function faultOfConfig(config: ClusterConfig): string | undefined {
  const { number, loosened, formatLevel, quorum, members } = config
  if (!Number.isSafeInteger(number) || !Number.isSafeInteger(loosened)) return 'a count of 2^53 or more'
  if (formatLevel < 1) return 'format level 0'
  if (quorum > REPLICA_COUNT_LIMIT) return `quorum ${quorum}`
  if (members.length > REPLICA_COUNT_LIMIT) return `${members.length} members`
  if (new Set(members.map((m) => m.address)).size < members.length) return 'one address twice'
  return members.map((member, i) => faultOfMember(member, members, members[i - 1]?.row ?? 0)).find(Boolean)
}

function faultOfMember(member: Member, members: readonly Member[], rowBefore: number): string | undefined {
  const { row, inSync, via, address } = member
  if (row <= rowBefore || row > REPLICA_COUNT_LIMIT) return `row ${row} behind row ${rowBefore}`
  if (inSync && via !== 0) return `row ${row} in-sync, but not fed by the master`
  return (
    faultOfAddress(address) ??
    (isFed(member, members) ? undefined : `row ${row} fed by row ${via}, which no master feeds`)
  )
}

/** Does the way up from a member end at the master? */
function isFed(member: Member, members: readonly Member[]): boolean {
  let at: Member | undefined = member
  for (let step = 0; at !== undefined && step <= members.length; step++) {
    if (at.via === 0) return true
    const { via }: Member = at
    at = members.find((m) => m.row === via)
  }
  return false
}

const faultOfAddress = (address: string): string | undefined =>
  splitAddress(address) === undefined ? `${JSON.stringify(address)} as an address` : undefined

class BodyReader {
  readonly #body: Buffer
  readonly #where: ErrorPlace
  #at = 0

  constructor(body: Uint8Array, where: ErrorPlace) {
    this.#body = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    this.#where = where
  }

  take(bytes: number): Buffer {
    const end = this.#at + bytes
    if (end > this.#body.length) throw this.malformed(`${this.#body.length} bytes, expected more`)
    const part = this.#body.subarray(this.#at, end)
    this.#at = end
    return part
  }

  expectEnd(): void {
    if (this.#at < this.#body.length) throw this.malformed(`${this.#body.length} bytes, expected ${this.#at}`)
  }

  malformed(found: string): TravertineError {
    return malformed(found, this.#where)
  }
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

function malformed(found: string, where: ErrorPlace): TravertineError {
  return new TravertineError('ENTRY_MALFORMED', `Cannot read a CONFIG body: found ${found}`, { where })
}

function tooNew(level: number, where: ErrorPlace): TravertineError {
  return new TravertineError(
    'FRAME_VERSION_UNSUPPORTED',
    `Cannot read a CONFIG body: found format level ${level}, expected at most ${FORMAT_LEVEL}`,
    { where, hint: 'the cluster was raised to a newer format; run the newer version on this node' },
  )
}
