/** Finds the master of a running cluster by asking its nodes. */
import type { ClientSecurity } from '../client/client.ts'
import type { PeerRole } from '../protocol/authentication.ts'
import { TravertineError } from '../protocol/errors.ts'
import { CLIENT_REDIRECT_COUNT_LIMIT } from '../protocol/limits.ts'
import { type AskedNode, askNode } from './ask-status.ts'
import { reportStatus } from './status-report.ts'

/**
 * The master of the cluster that the given nodes belong to, and its status.
 *
 * @param role which `security` has the secret for
 * @throws NOT_MASTER where the nodes know of none; what kept all of them from answering
 */
export async function askMaster(
  addresses: readonly string[],
  security: ClientSecurity,
  role: PeerRole,
): Promise<Required<Pick<AskedNode, 'address' | 'status'>>> {
  let asked: AskedNode[] = []
  let next = [...addresses]
  for (let turn = 0; turn < CLIENT_REDIRECT_COUNT_LIMIT && next.length > 0; turn++) {
    asked = await Promise.all(next.map((address) => askNode(address, security, role)))
    const { master, status } = reportStatus(asked)
    if (master !== undefined && status !== undefined) return { address: master, status }
    const named = asked.map((node) => node.status?.['masterAddress'])
    next = [...new Set(named)].filter((one): one is string => typeof one === 'string' && one !== '')
  }
  for (const { address, error } of asked)
    if (error !== undefined) throw addresses.includes(address) ? error : namedBy(addresses, error)
  throw new TravertineError('NOT_MASTER', `Cannot find the master: found none that ${addresses.join(', ')} know of`, {
    hint: 'is the master running? Name it, or another node, with --node',
  })
}

/** Who typed one address is not left alone with another one. */
function namedBy(addresses: readonly string[], { code, message, where, hint }: TravertineError): TravertineError {
  const text = `Cannot ask the master that ${addresses.join(', ')} knows of: ${message}`
  return new TravertineError(code, text, { where, hint })
}
