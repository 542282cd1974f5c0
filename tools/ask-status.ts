/**
 * Asks nodes for their status, and from what they say finds the others: the master that a replica follows, and the
 * members that a master knows. Each node is asked once; what does not answer in time is told with its error.
 */
import { connect } from 'node:net'
import { splitAddress } from '../protocol/address.ts'
import { encodeMessage, MessageReader } from '../protocol/control-message.ts'
import { fromWireError, TravertineError } from '../protocol/errors.ts'
import { HANDSHAKE_MS_MAX } from '../protocol/limits.ts'

/** Status of a node as it came over the wire: another version may have sent it, so fields are read one by one. */
export type StatusFields = Readonly<Record<string, unknown>>

export interface AskedNode {
  readonly address: string
  readonly status?: StatusFields
  readonly error?: TravertineError
}

/** A cluster has a master and 15 replicas; addresses may lead into another one. */
const NODES_ASKED_MAX = 64

/** @throws CONFIG_INVALID for an address that is none */
export async function askCluster(addresses: readonly string[]): Promise<AskedNode[]> {
  const asked = new Map<string, AskedNode>()
  for (let next = [...addresses]; next.length > 0 && asked.size < NODES_ASKED_MAX; ) {
    const answers = await Promise.all(next.map(askNode))
    for (const answer of answers) asked.set(answer.address, answer)
    next = [...new Set(answers.flatMap(({ status }) => othersNamedBy(status)))].filter((address) => !asked.has(address))
  }
  return [...asked.values()]
}

function othersNamedBy(status: StatusFields | undefined): string[] {
  const replicas = listOf(status?.['replicas']).map((replica) => replica['address'])
  return [status?.['masterAddress'], ...replicas]
    .filter((address) => typeof address === 'string')
    .filter((address) => splitAddress(address) !== undefined)
}

export function listOf(value: unknown): readonly StatusFields[] {
  if (!Array.isArray(value)) return []
  return value.filter((one): one is StatusFields => typeof one === 'object' && one !== null)
}

async function askNode(address: string): Promise<AskedNode> {
  try {
    return { address, status: await statusOf(address) }
  } catch (thrown) {
    if (thrown instanceof TravertineError && thrown.code !== 'CONFIG_INVALID') return { address, error: thrown }
    throw thrown
  }
}

function statusOf(address: string): Promise<StatusFields> {
  const parts = splitAddress(address)
  if (parts === undefined) {
    throw new TravertineError('CONFIG_INVALID', `Cannot use address "${address}": expected host:port`, {
      hint: 'for example 127.0.0.1:7400',
    })
  }
  const where = { peer: address }
  return new Promise((resolve, reject) => {
    const socket = connect({ host: parts[0], port: parts[1], noDelay: true })
    const reader = new MessageReader(where)
    const fail = (error: TravertineError): void => {
      socket.destroy()
      reject(error)
    }
    const unreachable = (why: string): void =>
      fail(new TravertineError('CONNECT_FAILED', `Cannot ask ${address} for its status: ${why}`, { where }))
    socket.setTimeout(HANDSHAKE_MS_MAX, () => unreachable(`found no answer within ${HANDSHAKE_MS_MAX} ms`))
    socket.on('error', (error) => unreachable(error.message))
    socket.on('close', () => unreachable('it has closed the connection'))
    socket.on('connect', () => socket.write(encodeMessage({ type: 'status' })))
    socket.on('data', (chunk: Buffer) => {
      try {
        const [message] = reader.push(chunk, 1)
        if (message === undefined) return
        if (message.type === 'error') return fail(fromWireError(message.error, address))
        if (message.type !== 'status_ok') return unreachable(`found a ${message.type} message, expected status_ok`)
        socket.destroy()
        resolve(message.status)
      } catch (thrown) {
        if (!(thrown instanceof TravertineError)) throw thrown
        fail(thrown)
      }
    })
  })
}
