/**
 * A few cores that talk to each other, in simulated time: what each wants done is done at once, and in order. Disks are never
 * slow and never fail here; what breaks is the way between two nodes.
 */
import type { ConnectionId, Core, Effect, Event } from '../../daemon/core/events.ts'
import { MasterCore } from '../../daemon/core/master-core.ts'
import { ReplicaCore } from '../../daemon/core/replica-core.ts'
import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { clusterId, nodeId } from '../../protocol/ids.ts'
import { CLUSTERS, nameOfNode, nodeNamed, parseHistory } from './names.ts'

const TICK_MS = 100
const SECRET = Buffer.alloc(16, 1)

interface Side {
  readonly node: string
  readonly id: ConnectionId
}

export class CoreNetwork {
  readonly #cores = new Map<string, Core>()
  readonly #peers = new Map<ConnectionId, Side>()
  readonly #cut = new Set<string>()
  readonly #queue: { readonly node: string; readonly event: Event }[] = []
  #ids = 0
  now = 0

  /** Node `name` is a letter from A to F, and its address. */
  master(name: string, members: readonly string[]): void {
    const history = parseHistory(`1${name}7@0`)
    const config = {
      ...EMPTY_CONFIG,
      number: 1,
      members: members.map((member, i) => ({ row: i + 1, address: addressOf(member), inSync: true, via: 0 })),
    }
    const facts = { ...factsOf(name), term: history[0]!.term } // there is one
    this.#cores.set(name, new MasterCore({ facts, history, config, ends: [0] }))
    this.tell(name, { type: 'configDurable', number: 1 })
  }

  replica(name: string, cascade: readonly string[] = []): void {
    this.#cores.set(name, new ReplicaCore(factsOf(name), { history: [], fence: undefined }, cascade.map(addressOf)))
  }

  feed(name: string, cascade: readonly string[]): void {
    this.tell(name, { type: 'cascade', addresses: cascade.map(addressOf) })
  }

  /** The names of the nodes through which a replica is fed; undefined: nobody feeds it. */
  wayTo(name: string): string | undefined {
    const core = this.#cores.get(name)
    return core instanceof ReplicaCore && core.isFollowing ? core.via.map(nameOfNode).join('') : undefined
  }

  /** Nothing gets through between two nodes any more, and both notice. */
  cut(a: string, b: string): void {
    this.#cut.add(wayBetween(a, b))
    for (const [id, { node }] of [...this.#peers]) {
      const own = this.#peers.get(this.#peers.get(id)?.id ?? 0)?.node
      if (own !== undefined && wayBetween(own, node) === wayBetween(a, b)) this.#close(own, id, true)
    }
    this.#settle()
  }

  heal(a: string, b: string): void {
    this.#cut.delete(wayBetween(a, b))
  }

  /** Ticks until so much time has passed, or until `isReached`. @returns was it? */
  run(limitMs: number, isReached: () => boolean): boolean {
    for (const end = this.now + limitMs; this.now < end; this.now += TICK_MS) {
      if (isReached()) return true
      for (const name of this.#cores.keys()) this.tell(name, { type: 'tick' })
    }
    return isReached()
  }

  tell(node: string, event: Event): void {
    this.#queue.push({ node, event })
    this.#settle()
  }

  #settle(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { node, event } = next
      for (const effect of this.#cores.get(node)?.step(this.now, event) ?? []) this.#carryOut(node, effect)
    }
  }

  #carryOut(node: string, effect: Effect): void {
    const hear = (event: Event): void => void this.#queue.push({ node, event })
    switch (effect.type) {
      case 'dial':
        return this.#dial(node, effect.row, effect.address)
      case 'send': {
        const peer = this.#peers.get(effect.connection)
        if (peer !== undefined)
          this.#queue.push({
            node: peer.node,
            event: { type: 'message', connection: peer.id, message: effect.message },
          })
        return undefined
      }
      case 'close':
        return this.#close(node, effect.connection, false)
      case 'registerSession':
        return hear({ type: 'sessionReady', session: effect.session })
      case 'openRow':
        return hear({ type: 'rowOpen', row: effect.row, session: effect.session, channel: 0 })
      case 'closeRow':
        return hear({ type: 'rowDown', row: effect.row, session: effect.session, channel: 0 })
      case 'adopt': {
        const terms = { history: effect.history, fence: undefined }
        return hear({ type: 'adopted', connection: effect.connection, result: { resume: [0], terms } })
      }
      default:
        return undefined
    }
  }

  #dial(node: string, row: number, address: string): void {
    const to = address.slice(0, 1)
    if (this.#cut.has(wayBetween(node, to)) || !this.#cores.has(to)) {
      const error = new TravertineError('CONNECT_FAILED', `Cannot reach ${address}`)
      this.#queue.push({ node, event: { type: 'dialFailed', row, error } })
      return
    }
    const [here, there] = [++this.#ids, ++this.#ids]
    this.#peers.set(here, { node: to, id: there })
    this.#peers.set(there, { node, id: here })
    this.#queue.push(
      { node: to, event: { type: 'connected', connection: there, peer: `${node}:9000`, secret: SECRET } },
      { node, event: { type: 'connected', connection: here, peer: address, secret: SECRET, row } },
    )
  }

  /** @param isTold this side has not closed it itself */
  #close(node: string, connection: ConnectionId, isTold: boolean): void {
    const peer = this.#peers.get(connection)
    if (peer === undefined) return
    this.#peers.delete(connection)
    this.#peers.delete(peer.id)
    this.#queue.push({ node: peer.node, event: { type: 'closed', connection: peer.id } })
    if (isTold) this.#queue.push({ node, event: { type: 'closed', connection } })
  }
}

const addressOf = (name: string): string => `${name}:7500`

const wayBetween = (a: string, b: string): string => [a, b].sort().join('-')

const factsOf = (name: string) => ({
  clusterId: clusterId(CLUSTERS['ours']!),
  nodeId: nodeId(nodeNamed(name)),
  channels: 1,
  logPorts: [7501],
  address: addressOf(name),
})
