/**
 * How a cluster is, from what its nodes say: pure. Healthy is a master whose members all stream, with an in-sync set that
 * is large enough and room on the disks; replicas that feed others do so. Everything else is told with its reason.
 */
import { CASCADE_DEPTH_LIMIT } from '../protocol/limits.ts'
import { type AskedNode, listOf, othersNamedBy, type StatusFields } from './ask-status.ts'

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

export function reportStatus(answers: readonly AskedNode[]): StatusReport {
  const asked = underOneName(answers)
  const masters = asked.filter(isMaster)
  const master = masters.reduce<AskedNode | undefined>(
    (best, node) => (best === undefined || termOf(node) > termOf(best) ? node : best),
    undefined,
  )
  const links = new Links(asked)
  const nodes = asked.map((node) => rowOf(node, master, links))
  const reasons = nodes.flatMap(({ address, why }) => (why === '' ? [] : [`${address}: ${why}`]))
  if (master === undefined) return { health: 'no-master', reasons, master: undefined, status: undefined, nodes }
  const { quorum, inSync } = policyOf(master.status)
  const away = inSync.filter(({ state }) => state !== 'streaming').map(({ address }) => String(address))
  if (inSync.length < quorum)
    reasons.push(`PROPAGATED waits: found ${inSync.length} in-sync members, expected ${quorum}`)
  else if (away.length > 0)
    reasons.push(
      `PROPAGATED waits for ${away.join(', ')}, until it is back or removed with \`travertine member remove\``,
    )
  const health = reasons.length === 0 ? 'healthy' : 'degraded'
  return { health, reasons, master: master.address, status: master.status, nodes }
}

/**
 * A node that was asked as `localhost:7400` names itself, and others name it, `10.0.0.1:7400`: the same node, by its id, and
 * known by the name that the cluster has for it. A member that the cluster itself has under two names stays two: that is a
 * fault. So does a master of another term: a copy of the directory runs.
 */
function underOneName(asked: readonly AskedNode[]): AskedNode[] {
  const named = new Set(asked.flatMap(({ status }) => (status === undefined ? [] : othersNamedBy(status))))
  const kept: AskedNode[] = []
  for (const node of [...asked].sort((a, b) => Number(named.has(b.address)) - Number(named.has(a.address)))) {
    const isTwin = (other: AskedNode): boolean =>
      isSameNode(node, other) && (isMaster(node) || !named.has(node.address))
    if (!kept.some(isTwin)) kept.push(node)
  }
  return asked.filter((node) => kept.includes(node))
}

const isSameNode = (a: AskedNode, b: AskedNode): boolean =>
  a.status?.['nodeId'] !== undefined &&
  a.status['nodeId'] === b.status?.['nodeId'] &&
  a.status['role'] === b.status['role'] &&
  (!isMaster(a) || termOf(a) === termOf(b))

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
  if (role === 'master' && master !== undefined && node !== master)
    faults.push(
      termOf(node) < termOf(master) ? 'it is a master of an older term' : 'it is another master of the same term',
    )
  if (link !== undefined && link.fields['state'] !== 'streaming') {
    const { error: found } = link.fields
    faults.push(
      found === undefined || found === null ? 'it does not stream yet' : `${link.from.address} says: ${found}`,
    )
  }
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

function policyOf(status: StatusFields | undefined): {
  readonly quorum: number
  readonly inSync: readonly StatusFields[]
} {
  const inSync = listOf(status?.['replicas']).filter((replica) => replica['inSync'] === true)
  return { quorum: Number(status?.['quorum'] ?? 0), inSync }
}
