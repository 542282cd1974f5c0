/**
 * Messages of the control channel, and the opening handshake of log connections (REP-10 and following).
 *
 * Each is a u32 little-endian length followed by one msgpack map with a `type` field. The definitions below are data:
 * the codec checks against them in both directions, and docs and tests walk over them. Unknown fields are ignored
 * (a newer peer may send more); a missing or wrong one is MESSAGE_MALFORMED with its name.
 */
import { Packr } from 'msgpackr'
import { type ErrorPlace, TravertineError, type WireError } from './errors.ts'
import { CONTROL_MESSAGE_BYTES_LIMIT } from './limits.ts'
import { type FieldKind, isMap, matches, normalise, type WireMember } from './message-field.ts'

/** Levels of this protocol that this program speaks. Neighbours N and N-1 work together. */
export const PROTOCOL_VERSION_MIN = 1
export const PROTOCOL_VERSION_MAX = 3

export interface WireTerm {
  readonly number: bigint
  readonly nodeId: string
  readonly tag: number
}

/** One mastership in a term history; see wal/term-history.ts for the meaning of the fields. */
export interface WireHistoryEntry extends WireTerm {
  readonly firstEpoch: bigint
  readonly baseEpoch: bigint
  readonly starts: readonly number[]
}

/** Sequences `from` to `to`, both included. */
export type WireRange = readonly [from: number, to: number]

export interface Messages {
  /** client -> node: what are you, and may I write? clusterId '' means "any" */
  client_hello: { versionMin: number; versionMax: number; clusterId: string }
  client_hello_ok: {
    version: number
    clusterId: string
    nodeId: string
    session: bigint
    secret: Uint8Array
    term: WireTerm
    channels: number
    /** Ports of the log channels on the host the client has dialled, one per channel. */
    logPorts: readonly number[]
    stored: bigint
    propagated: bigint
    /** Replicas that PROPAGATED asks for; 0 means that the level is refused with NO_REPLICA_IN_SET. */
    replicas: number
  }
  /** client -> node, a master or a replica: what is your log, and may I read it? clusterId '' means "any" */
  reader_hello: { versionMin: number; versionMax: number; clusterId: string }
  reader_hello_ok: {
    version: number
    clusterId: string
    nodeId: string
    session: bigint
    secret: Uint8Array
    channels: number
    logPorts: readonly number[]
    /** Readers may be shown what is not above this epoch. */
    committed: bigint
    /** Of the log that is read; never empty. */
    history: readonly WireHistoryEntry[]
  }
  /** master -> replica, or a replica that feeds another one in its place */
  session_begin: {
    versionMin: number
    versionMax: number
    clusterId: string
    nodeId: string
    /** host:port of the master's control channel, told to clients that ask a replica. */
    address: string
    channels: number
    term: WireTerm
    history: readonly WireHistoryEntry[]
    /** Ends of the sender's log per channel. */
    ends: readonly number[]
    /** Node ids of the replicas between the master and the receiver, the sender last (level 3); empty: the master is the sender. */
    via: readonly string[]
  }
  session_begin_ok: {
    version: number
    nodeId: string
    session: bigint
    secret: Uint8Array
    /** Durable end of the replica per channel, after it has adopted the master's history. */
    resume: readonly number[]
    logPorts: readonly number[]
  }
  heartbeat: { sequence: number }
  heartbeat_ok: { sequence: number }
  /** master -> replica: highest closed epoch; coalesced, status only. */
  epoch: { epoch: bigint }
  /** master -> replica, node -> reader: readers may be shown what is not above this epoch. */
  group_commit: { epoch: bigint }
  group_commit_ok: { epoch: bigint }
  session_end: { reason: string }
  status: Record<never, never>
  /** who connects -> node, first of all where secrets are asked for; see authentication.ts */
  auth_begin: { role: string; key: Uint8Array; nonce: Uint8Array }
  auth_challenge: { nonce: Uint8Array; proof: Uint8Array }
  auth_proof: { proof: Uint8Array }
  status_ok: { status: Readonly<Record<string, unknown>> }
  /** operator -> master: have these members and this quorum from now on (level 2) */
  config_change: {
    versionMin: number
    versionMax: number
    clusterId: string
    /** Number of the config that the wanted one was made from; where it is not the newest any more: CONFIG_CONFLICT. */
    base: number
    /** PROPAGATED may promise less than before. */
    loosen: boolean
    quorum: number
    members: readonly WireMember[]
  }
  /** The config that rules now: it is STORED, and all channels count by it. */
  config_change_ok: {
    version: number
    number: number
    loosened: number
    quorum: number
    members: readonly WireMember[]
  }
  error: { error: WireError }
  /** first message on a log connection; the fields of the producer are 0 on a replication session (REP-61) */
  log_open: {
    version: number
    session: bigint
    secret: Uint8Array
    channel: number
    producer: bigint
    /** Highest sequence of this producer that was ever handed to a socket; 0: a new producer. */
    sent: number
    /** Every session up to this one is answered: nobody asks for it any more. */
    answered: number
    /** `since` of the last log_open_ok of this producer; 0: it has never had one. */
    since: bigint
    /** What the writers behind it mostly wait for (level 2). `propagated`: STORED may be held back for a moment. */
    level: 'stored' | 'propagated'
  }
  log_open_ok: {
    /** Where the first frame must stand (replication). */
    position: number
    /** Last session of the producer that stands in the log; 0: none. */
    sequence: number
    term: WireTerm
    /** Sessions above `answered` and below `sequence` that do not stand in the log, and never will. */
    missing: readonly WireRange[]
    /** Epoch and term of session `sequence`. */
    lastEpoch: bigint
    lastTerm: WireTerm
    /** No session of the producer is in this epoch or an earlier one; handed back at the next log_open (REP-64). */
    since: bigint
  }
  /** first message on a reader's log connection: send what stands from `position` on and is of `fromEpoch` or later */
  log_read: {
    version: number
    session: bigint
    secret: Uint8Array
    channel: number
    position: number
    fromEpoch: bigint
  }
  /** position: where the first frame stands */
  log_read_ok: { position: number }
}

export type MessageType = keyof Messages
export type Message<T extends MessageType = MessageType> = { [K in T]: { readonly type: K } & Readonly<Messages[K]> }[T]

/** type -> field -> kind, in the order of the specification. */
export const MESSAGE_FIELDS: { readonly [T in MessageType]: Readonly<Record<keyof Messages[T] & string, FieldKind>> } =
  {
    client_hello: { versionMin: 'u32', versionMax: 'u32', clusterId: 'uuid?' },
    client_hello_ok: {
      version: 'u32',
      clusterId: 'uuid',
      nodeId: 'uuid',
      session: 'u64',
      secret: 'bytes',
      term: 'term',
      channels: 'u32',
      logPorts: 'port[]',
      stored: 'u64',
      propagated: 'u64',
      replicas: 'u32',
    },
    reader_hello: { versionMin: 'u32', versionMax: 'u32', clusterId: 'uuid?' },
    reader_hello_ok: {
      version: 'u32',
      clusterId: 'uuid',
      nodeId: 'uuid',
      session: 'u64',
      secret: 'bytes',
      channels: 'u32',
      logPorts: 'port[]',
      committed: 'u64',
      history: 'history',
    },
    session_begin: {
      versionMin: 'u32',
      versionMax: 'u32',
      clusterId: 'uuid',
      nodeId: 'uuid',
      address: 'text',
      channels: 'u32',
      term: 'term',
      history: 'history',
      ends: 'u53[]',
      via: 'uuid[]?',
    },
    session_begin_ok: {
      version: 'u32',
      nodeId: 'uuid',
      session: 'u64',
      secret: 'bytes',
      resume: 'u53[]',
      logPorts: 'port[]',
    },
    heartbeat: { sequence: 'u53' },
    heartbeat_ok: { sequence: 'u53' },
    epoch: { epoch: 'u64' },
    group_commit: { epoch: 'u64' },
    group_commit_ok: { epoch: 'u64' },
    session_end: { reason: 'text' },
    status: {},
    auth_begin: { role: 'text', key: 'bytes', nonce: 'bytes' },
    auth_challenge: { nonce: 'bytes', proof: 'proof' },
    auth_proof: { proof: 'proof' },
    status_ok: { status: 'map' },
    config_change: {
      versionMin: 'u32',
      versionMax: 'u32',
      clusterId: 'uuid?',
      base: 'u53',
      loosen: 'flag',
      quorum: 'u32',
      members: 'members',
    },
    config_change_ok: { version: 'u32', number: 'u53', loosened: 'u53', quorum: 'u32', members: 'members' },
    error: { error: 'error' },
    log_open: {
      version: 'u32',
      session: 'u64',
      secret: 'bytes',
      channel: 'u32',
      producer: 'u64',
      sent: 'u53',
      answered: 'u53',
      since: 'u64',
      level: 'level?',
    },
    log_open_ok: {
      position: 'u53',
      sequence: 'u53',
      term: 'term',
      missing: 'range[]',
      lastEpoch: 'u64',
      lastTerm: 'term',
      since: 'u64',
    },
    log_read: {
      version: 'u32',
      session: 'u64',
      secret: 'bytes',
      channel: 'u32',
      position: 'u53',
      fromEpoch: 'u64',
    },
    log_read_ok: { position: 'u53' },
  }

const packr = new Packr({ useRecords: false, mapsAsObjects: true, copyBuffers: true })

/** Length prefix and message in one buffer. */
export function encodeMessage(message: Message): Buffer {
  const fault = faultOf(message)
  if (fault !== undefined) throw malformed(message.type, fault, {})
  const body = packr.pack(message)
  if (body.length > CONTROL_MESSAGE_BYTES_LIMIT) throw tooLarge(body.length, {})
  const buffer = Buffer.allocUnsafe(4 + body.length)
  buffer.writeUInt32LE(body.length, 0)
  body.copy(buffer, 4)
  return buffer
}

/** @throws MESSAGE_MALFORMED, MESSAGE_UNEXPECTED (unknown type) */
export function decodeMessage(body: Buffer, where: ErrorPlace = {}): Message {
  let value: unknown
  try {
    value = packr.unpack(body)
  } catch (error) {
    throw new TravertineError('MESSAGE_MALFORMED', 'Cannot read a message: its bytes are not one msgpack value', {
      where,
      cause: error,
    })
  }
  if (!isMap(value) || typeof value['type'] !== 'string') throw malformed('?', 'a map with a type', where)
  const type = value['type']
  if (!Object.hasOwn(MESSAGE_FIELDS, type)) {
    throw new TravertineError(
      'MESSAGE_UNEXPECTED',
      `Cannot read a message: found type "${type.slice(0, 40)}", expected a known one`,
      { where },
    )
  }
  normalise(value, MESSAGE_FIELDS[type as MessageType]) // hasOwn has shown that it is one
  const message = value as unknown as Message // every field is checked on the next line
  const fault = faultOf(message)
  if (fault !== undefined) throw malformed(type, fault, where)
  return message
}

/**
 * Cuts a byte stream into messages. `push` returns the whole ones; a length above the limit is refused at once.
 * Chunks are joined only when a message is complete, so a peer that sends single bytes costs no more than one who does not.
 */
export class MessageReader {
  #chunks: Buffer[] = []
  #bytes = 0
  /** Bytes that must be there before it is worth looking again. */
  #wanted = 4
  readonly #where: ErrorPlace

  constructor(where: ErrorPlace = {}) {
    this.#where = where
  }

  /** @param most stop after so many messages (the rest stays in `takeRest`) */
  push(chunk: Buffer, most = Number.POSITIVE_INFINITY): Message[] {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    const messages: Message[] = []
    if (this.#bytes < this.#wanted) return messages
    let rest = this.takeRest()
    let wanted = 4
    try {
      while (messages.length < most && rest.length >= 4) {
        const length = rest.readUInt32LE(0)
        if (length > CONTROL_MESSAGE_BYTES_LIMIT || length === 0) throw tooLarge(length, this.#where)
        if (rest.length < 4 + length) {
          wanted = 4 + length
          break
        }
        messages.push(decodeMessage(rest.subarray(4, 4 + length), this.#where))
        rest = rest.subarray(4 + length)
      }
    } finally {
      this.#keep(rest, wanted) // after an error too: the same bytes are refused again
    }
    return messages
  }

  #keep(rest: Buffer, wanted: number): void {
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#bytes = rest.length
    this.#wanted = wanted
  }

  /** Bytes behind the last message: on a log connection they are the first bytes of the stream that follows. */
  takeRest(): Buffer {
    const rest = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks) // one chunk, just counted
    this.#keep(Buffer.alloc(0), 4)
    return rest
  }
}

/** Picks the highest common version. @throws PROTOCOL_VERSION_UNSUPPORTED naming both ranges */
export function negotiateVersion(peer: { versionMin: number; versionMax: number }): number {
  const version = Math.min(peer.versionMax, PROTOCOL_VERSION_MAX)
  if (version >= Math.max(peer.versionMin, PROTOCOL_VERSION_MIN)) return version
  throw new TravertineError(
    'PROTOCOL_VERSION_UNSUPPORTED',
    `Cannot begin a session: found versions ${peer.versionMin} to ${peer.versionMax}, expected ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`,
    { hint: 'upgrade the older side; neighbouring versions work together' },
  )
}

function faultOf(message: Message): string | undefined {
  const value = message as unknown as Record<string, unknown> // read by name from the table
  for (const [name, kind] of Object.entries(MESSAGE_FIELDS[message.type])) {
    if (!matches(value[name], kind)) return `${name} as ${kind}`
  }
  return undefined
}

function malformed(type: string, expected: string, where: ErrorPlace): TravertineError {
  return new TravertineError('MESSAGE_MALFORMED', `Cannot read a ${type.slice(0, 40)} message: expected ${expected}`, {
    where,
  })
}

function tooLarge(bytes: number, where: ErrorPlace): TravertineError {
  return new TravertineError(
    'MESSAGE_TOO_LARGE',
    `Cannot read a message: found a length of ${bytes} bytes, expected 1 to ${CONTROL_MESSAGE_BYTES_LIMIT}`,
    { where, hint: 'is the peer a Travertine of the same protocol, and is this the right port?' },
  )
}
