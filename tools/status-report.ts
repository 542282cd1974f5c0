/**
 * How a cluster is, from what its nodes say: pure. Healthy is a master whose members all stream, with an in-sync set that
 * is large enough and room on the disks; replicas that feed others do so. Everything else is told with its reason.
 */
import { CASCADE_DEPTH_LIMIT } from '../protocol/limits.ts'
import { type AskedNode, listOf, type StatusFields } from './ask-status.ts'

export type Health = 'healthy' | 'degraded' | 'no-master'

export interface NodeRow {
  readonly address: string
  readonly role: string
  /** Address of the replica that feeds it; undefined: the master does, or nobody. */
  readonly fedBy: string | undefined
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
  const masters = asked.filter(isMaster)
  const master = masters.reduce<AskedNode | undefined>(
    (best, node) => (best === undefined || termOf(node) > termOf(best) ? node : best),
    undefined,
  )
  const links = new Links(asked)
  const nodes = asked.map((node) => rowOf(node, master, links))
  const reasons = nodes.flatMap(({ address, why }) => (why === '' ? [] : [`${address}: ${why}`]))
  if (master === undefined) return { health: 'no-master', reasons, master: undefined, status: undefined, nodes }
  const { quorum, inSyncCount } = policyOf(master.status)
  if (inSyncCount < quorum) reasons.push(`PROPAGATED waits: found ${inSyncCount} in-sync members, expected ${quorum}`)
  const health = reasons.length === 0 ? 'healthy' : 'degraded'
  return { health, reasons, master: master.address, status: master.status, nodes }
}

/** What a node says of another one that it feeds. */
interface Link {
  readonly from: AskedNode
  readonly fields: StatusFields
}

/** Who feeds whom, by addresses. */
class Links {
  readonly #to = new Map<string, Link[]>()

  constructor(asked: readonly AskedNode[]) {
    for (const from of asked) {
      for (const fields of listOf(from.status?.['replicas'])) {
        const address = String(fields['address'])
        this.#to.set(address, [...(this.#to.get(address) ?? []), { from, fields }])
      }
    }
  }

  /** The member's link to its master goes before that of a feeder, and one that streams before one that waits. */
  of({ address }: AskedNode, master: AskedNode | undefined): Link | undefined {
    const links = (this.#to.get(address) ?? []).filter(({ from }) => from === master || !isMaster(from))
    const worth = ({ from, fields }: Link): number =>
      (from === master ? 2 : 0) + (fields['state'] === 'streaming' ? 1 : 0)
    return links.reduce<Link | undefined>((best, link) => (best && worth(best) >= worth(link) ? best : link), undefined)
  }

  /** Along the way from the master; undefined where one part of it is not known. */
  bytesBehind(node: AskedNode, master: AskedNode | undefined, steps = 0): number | undefined {
    const link = this.of(node, master)
    const own = countOf(link?.fields['lagBytes'])
    if (link === undefined || own === undefined || link.from === master) return own
    const above = steps < CASCADE_DEPTH_LIMIT ? this.bytesBehind(link.from, master, steps + 1) : undefined
    return above === undefined ? undefined : above + own
  }
}

function rowOf(node: AskedNode, master: AskedNode | undefined, links: Links): NodeRow {
  const { address, status, error } = node
  const role = status === undefined ? 'unknown' : String(status['role'])
  const link = links.of(node, master)
  const fields = link?.fields
  const faults: string[] = []
  if (error !== undefined) faults.push(error.describe())
  if (status?.['diskLow'] === true) faults.push('its disk is below the low-water mark')
  if (role === 'master' && node !== master) faults.push('it is a master of an older term')
  if (fields !== undefined && fields['state'] !== 'streaming')
    faults.push(String(fields['error'] ?? 'it does not stream yet'))
  for (const ring of listOf(status?.['replicas']).filter(isRing))
    faults.push(`it cannot feed ${String(ring['address'])}: ${String(ring['error'])}`)
  if (role === 'replica' && fields === undefined) faults.push('no node that was asked feeds it')
  return {
    address,
    role,
    fedBy: link === undefined || link.from === master ? undefined : link.from.address,
    inSync: fields?.['inSync'] === true,
    state: node === master ? 'master' : String(fields?.['state'] ?? 'unknown'),
    lagEpochs:
      link === undefined || link.from === master ? countOf(fields?.['lagEpochs']) : epochsBehind(status, master),
    lagBytes: links.bytesBehind(node, master),
    why: faults.join('; '),
  }
}

/** Of a replica that a replica feeds: no row of a board tells it, but what the node itself holds whole. */
function epochsBehind(status: StatusFields | undefined, master: AskedNode | undefined): number | undefined {
  const [stored, whole] = [countOf(master?.status?.['stored']), countOf(status?.['whole'])]
  return stored === undefined || whole === undefined ? undefined : Math.max(0, stored - whole)
}

/** Two feeders may name one replica; a circle is never meant. */
const isRing = ({ error }: StatusFields): boolean => typeof error === 'string' && error.startsWith('CASCADE_LOOP')

const isMaster = ({ status }: AskedNode): boolean => status?.['role'] === 'master'

const countOf = (field: unknown): number | undefined =>
  field === undefined || field === null ? undefined : Number(field)

const termOf = ({ status }: AskedNode): number => Number(status?.['term'] ?? 0)

function policyOf(status: StatusFields | undefined): { readonly quorum: number; readonly inSyncCount: number } {
  const inSyncCount = listOf(status?.['replicas']).filter((replica) => replica['inSync'] === true).length
  return { quorum: Number(status?.['quorum'] ?? 0), inSyncCount }
}
