/**
 * How a cluster is, from what its nodes say: pure. Healthy is a master whose members all stream, with an in-sync set that
 * is large enough and room on the disks. Everything else is told with its reason.
 */
import { type AskedNode, listOf, type StatusFields } from './ask-status.ts'

export type Health = 'healthy' | 'degraded' | 'no-master'

export interface NodeRow {
  readonly address: string
  readonly role: string
  /** Counts for PROPAGATED. */
  readonly inSync: boolean
  readonly state: string
  /** Epochs that are STORED on the master and not known to be durable here; undefined where nobody knows. */
  readonly lagEpochs: number | undefined
  /** Bytes of the log that are durable on the master and not known to be durable here. */
  readonly lagBytes: number | undefined
  /** Why it is not as it should be; '' if it is. */
  readonly why: string
}

export interface StatusReport {
  readonly health: Health
  readonly reasons: readonly string[]
  /** Address of the master; undefined if there is none. */
  readonly master: string | undefined
  readonly status: StatusFields | undefined
  readonly nodes: readonly NodeRow[]
}

export function reportStatus(asked: readonly AskedNode[]): StatusReport {
  const masters = asked.filter(({ status }) => status?.['role'] === 'master')
  const master = masters.reduce<AskedNode | undefined>(
    (best, node) => (best === undefined || termOf(node) > termOf(best) ? node : best),
    undefined,
  )
  const replicas = listOf(master?.status?.['replicas'])
  const nodes = asked.map((node) =>
    rowOf(
      node,
      node === master,
      replicas.find((r) => r['address'] === node.address),
    ),
  )
  const reasons = nodes.flatMap(({ address, why }) => (why === '' ? [] : [`${address}: ${why}`]))
  if (master === undefined) return { health: 'no-master', reasons, master: undefined, status: undefined, nodes }
  const { quorum, inSyncCount } = policyOf(master.status)
  if (inSyncCount < quorum) reasons.push(`PROPAGATED waits: found ${inSyncCount} in-sync members, expected ${quorum}`)
  const health = reasons.length === 0 ? 'healthy' : 'degraded'
  return { health, reasons, master: master.address, status: master.status, nodes }
}

function rowOf({ address, status, error }: AskedNode, isMaster: boolean, member: StatusFields | undefined): NodeRow {
  const role = status === undefined ? 'unknown' : String(status['role'])
  const inSync = member?.['inSync'] === true
  const lagEpochs = countOf(member?.['lagEpochs'])
  const lagBytes = countOf(member?.['lagBytes'])
  const faults: string[] = []
  if (error !== undefined) faults.push(error.describe())
  if (status?.['diskLow'] === true) faults.push('its disk is below the low-water mark')
  if (role === 'master' && !isMaster) faults.push('it is a master of an older term')
  if (member !== undefined && member['state'] !== 'streaming')
    faults.push(String(member['error'] ?? 'it does not stream yet'))
  if (role === 'replica' && member === undefined) faults.push('no master that was asked has it as a member')
  const state = isMaster ? 'master' : String(member?.['state'] ?? 'unknown')
  return { address, role, inSync, state, lagEpochs, lagBytes, why: faults.join('; ') }
}

const countOf = (field: unknown): number | undefined =>
  field === undefined || field === null ? undefined : Number(field)

const termOf = ({ status }: AskedNode): number => Number(status?.['term'] ?? 0)

function policyOf(status: StatusFields | undefined): { readonly quorum: number; readonly inSyncCount: number } {
  const inSyncCount = listOf(status?.['replicas']).filter((replica) => replica['inSync'] === true).length
  return { quorum: Number(status?.['quorum'] ?? 0), inSyncCount }
}
