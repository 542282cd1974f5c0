/**
 * Asks nodes for their status, and from what they say finds the others: the master that a replica follows, and the
 * members that a master knows. Each node is asked once; what does not answer in time is told with its error.
 */
import type { ClientSecurity } from '../client/client.ts'
import { shakeHands } from '../client/handshake.ts'
import { checkConnectOptions } from '../client/options.ts'
import { splitAddress } from '../protocol/address.ts'
import type { PeerRole } from '../protocol/authentication.ts'
import { TravertineError } from '../protocol/errors.ts'
import { nodeWorld } from '../world/node-world.ts'

/** Status of a node as it came over the wire: another version may have sent it, so fields are read one by one. */
export type StatusFields = Readonly<Record<string, unknown>>

export interface AskedNode {
  readonly address: string
  readonly status?: StatusFields
  readonly error?: TravertineError
}

/** A cluster has a master and 15 replicas; addresses may lead into another one. */
const NODES_ASKED_MAX = 64

export async function askCluster(addresses: readonly string[], security: ClientSecurity): Promise<AskedNode[]> {
  const asked = new Map<string, AskedNode>()
  for (let next = [...addresses]; next.length > 0 && asked.size < NODES_ASKED_MAX; ) {
    const answers = await Promise.all(next.map((address) => askNode(address, security)))
    for (const answer of answers) asked.set(answer.address, answer)
    next = [...new Set(answers.flatMap(({ status }) => othersNamedBy(status)))].filter((address) => !asked.has(address))
  }
  return [...asked.values()]
}

/** Addresses of the master and the replicas that a node knows. */
export function othersNamedBy(status: StatusFields | undefined): string[] {
  const replicas = listOf(status?.['replicas']).map((replica) => replica['address'])
  return [status?.['masterAddress'], ...replicas]
    .filter((address) => typeof address === 'string')
    .filter((address) => splitAddress(address) !== undefined)
}

export function listOf(value: unknown): readonly StatusFields[] {
  if (!Array.isArray(value)) return []
  return value.filter((one): one is StatusFields => typeof one === 'object' && one !== null)
}

/** @param role which `security` has the secret for */
export async function askNode(
  address: string,
  security: ClientSecurity,
  role: PeerRole = 'reader',
): Promise<AskedNode> {
  try {
    return { address, status: await statusOf(address, security, role) }
  } catch (thrown) {
    if (!(thrown instanceof TravertineError)) throw thrown
    return { address, error: thrown }
  }
}

async function statusOf(address: string, security: ClientSecurity, role: PeerRole): Promise<StatusFields> {
  const checked = checkConnectOptions({ address, security }, nodeWorld, role)
  const { world, credential, addresses } = checked
  const asked = await shakeHands(world, addresses[0]!, { type: 'status' }, 'status_ok', checked, credential)
  asked.connection.destroy()
  return asked.reply.status
}
