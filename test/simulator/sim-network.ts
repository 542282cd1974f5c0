/**
 * The network door of a simulated world: hosts, listeners, links, and what can go wrong between them.
 *
 * Links have a latency per packet and are cut in each direction by itself: what is sent then is held back, as TCP sends
 * again and again, and goes on its way when the link is whole. A connection may be reset, noticed by both ends, by one
 * or by none. A host without power answers nothing.
 */
import type { Connection, Network } from '../../protocol/connection.ts'
import { TravertineError } from '../../protocol/errors.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { Actor, Life, Scheduler } from './scheduler.ts'
import { type ConnectionHost, SimConnection } from './sim-connection.ts'

export interface NetworkOptions {
  readonly scheduler: Scheduler
  readonly random: SeededRandom
  readonly latencyMicrosMin: number
  readonly latencyMicrosMax: number
  readonly windowBytes: number
  /** One read of so many gets only a part of what is there. */
  readonly readsPerCut: number
}

interface SimListener {
  readonly actor: Actor
  readonly accept: (connection: Connection) => void
  readonly limit: number
  readonly accepted: Set<SimConnection>
}

interface Host {
  readonly listeners: Map<number, SimListener>
  hasPower: boolean
}

const DYNAMIC_PORT = 40_000
const ENDS_KEPT = 200
/** By then the system's own probes have found out that nobody is there any more. */
const KEEP_ALIVE_MICROS = 7_000_000

export class SimNetwork {
  readonly #options: NetworkOptions
  readonly #connectionHost: ConnectionHost
  readonly #hosts = new Map<string, Host>()
  readonly #ends = new Map<SimConnection, { from: string; to: string }>()
  /** "from>to" -> what waits there. */
  readonly #cut = new Map<string, (() => void)[]>()
  #port = DYNAMIC_PORT
  latencyFactor = 1
  /** So many were sent, also those that wait at a cut. */
  packets = 0

  constructor(options: NetworkOptions) {
    const { scheduler, random, windowBytes, readsPerCut } = options
    this.#options = options
    this.#connectionHost = {
      windowBytes,
      carry: (from, arrive) => this.#carry(from, arrive),
      readAtOnce: (bytes) =>
        bytes > 1 && readsPerCut > 0 && random.chance(1, readsPerCut) ? 1 + random.below(bytes - 1) : bytes,
      lingerOver: (actor, delayMs, act) => scheduler.in(delayMs * 1000, () => actor.post(act)),
      canAnswer: (end) => this.#host(this.#ends.get(end)?.from ?? '').hasPower,
    }
  }

  /** The door of one thread on one host. */
  door(hostName: string, actor: Actor): Network {
    return {
      dial: (host, port) => this.#dial({ from: hostName, to: host, port, actor }),
      listen: async (at, accept) => {
        this.#options.scheduler.hasPromises = true
        const host = this.#host(hostName)
        const port = at.port === 0 ? this.#port++ : at.port
        if (host.listeners.has(port)) {
          throw new TravertineError('PORT_IN_USE', `Cannot listen on ${hostName}:${port}: it is in use`)
        }
        const listener = { actor, accept, limit: at.connectionLimit, accepted: new Set<SimConnection>() }
        host.listeners.set(port, listener)
        return {
          port,
          close: () => {
            if (host.listeners.get(port) === listener) host.listeners.delete(port)
          },
          destroyConnections: () => {
            for (const connection of listener.accepted) connection.destroy()
          },
        }
      },
    }
  }

  /** The process behind these ends is gone. With the power nobody is told. */
  endLife(hostName: string, life: Life, lostPower: boolean): void {
    const host = this.#host(hostName)
    host.hasPower = !lostPower
    for (const [port, listener] of host.listeners) if (listener.actor.life === life) host.listeners.delete(port)
    for (const end of this.#ends.keys()) if (end.actor.life === life) end.abandon(!lostPower)
  }

  setPower(hostName: string, hasPower: boolean): void {
    this.#host(hostName).hasPower = hasPower
  }

  cut(from: string, to: string): void {
    const key = `${from}>${to}`
    if (!this.#cut.has(key)) this.#cut.set(key, [])
  }

  heal(from: string, to: string): void {
    const key = `${from}>${to}`
    const held = this.#cut.get(key) ?? []
    this.#cut.delete(key)
    for (const carry of held) carry()
  }

  healAll(): void {
    for (const key of [...this.#cut.keys()]) this.heal(...(key.split('>') as [string, string])) // made so above
    this.latencyFactor = 1
  }

  /** One connection of two ends, at random; undefined if there is none. */
  someConnection(random: SeededRandom): SimConnection | undefined {
    const ends = [...this.#ends.keys()].filter((end) => !end.isGone && end.other !== undefined && !end.other.isGone)
    return ends.length === 0 ? undefined : ends[random.below(ends.length)]
  }

  /** Breaks a connection. To an end that is not told it seems open for long. */
  breakConnection(end: SimConnection, told: { readonly here: boolean; readonly there: boolean }): void {
    const { other } = end
    end.other = undefined
    if (other !== undefined) other.other = undefined
    for (const [side, isTold] of [
      [end, told.here],
      [other, told.there],
    ] as const) {
      const cause = new Error(`read ${isTold ? 'ECONNRESET' : 'ETIMEDOUT'} (simulated)`)
      if (isTold) side?.reset(cause)
      else this.#options.scheduler.in(KEEP_ALIVE_MICROS, () => side?.reset(cause))
    }
  }

  #dial({ from, to, port, actor }: { from: string; to: string; port: number; actor: Actor }): Connection {
    const host = this.#connectionHost
    const near = new SimConnection({ actor, host, peer: `${to}:${port}`, isOpen: false })
    this.#ends.set(near, { from, to })
    this.#forgetEnded()
    this.#carry(near, () => this.#knock(near, { from, to, port, host }))
    return near
  }

  #knock(
    near: SimConnection,
    { from, to, port, host }: { from: string; to: string; port: number; host: ConnectionHost },
  ): void {
    const target = this.#host(to)
    if (!target.hasPower) return // nobody answers
    const listener = target.listeners.get(port)
    if (near.isGone) return
    if (listener === undefined || listener.accepted.size >= listener.limit) {
      this.#transit(to, from, near, () => near.reset(new Error(`connect ECONNREFUSED ${to}:${port} (simulated)`)))
      return
    }
    const far = new SimConnection({ actor: listener.actor, host, peer: `${from}:${this.#port++}`, isOpen: true })
    this.#ends.set(far, { from: to, to: from })
    near.other = far
    far.other = near
    listener.accepted.add(far)
    listener.actor.post(() => listener.accept(far))
    this.#carry(far, () => near.opened())
  }

  /** What both sides have ended needs no answer to late packets any more. */
  #forgetEnded(): void {
    if (this.#ends.size < ENDS_KEPT) return
    for (const end of [...this.#ends.keys()]) if (end.isGone && end.other?.isGone !== false) this.#ends.delete(end)
  }

  #carry(from: SimConnection, arrive: () => void): void {
    const place = this.#ends.get(from)
    if (place === undefined) return
    this.#transit(place.from, place.to, from, arrive)
  }

  #transit(from: string, to: string, end: SimConnection, arrive: () => void): void {
    const { scheduler, random, latencyMicrosMin, latencyMicrosMax } = this.#options
    this.packets += 1
    const held = this.#cut.get(`${from}>${to}`)
    if (held !== undefined) {
      held.push(() => this.#transit(from, to, end, arrive))
      return
    }
    const latency = (latencyMicrosMin + random.below(latencyMicrosMax - latencyMicrosMin + 1)) * this.latencyFactor
    end.lastArrival = Math.max(end.lastArrival, scheduler.now + latency)
    scheduler.at(end.lastArrival, arrive)
  }

  #host(name: string): Host {
    const known = this.#hosts.get(name)
    if (known !== undefined) return known
    const host = { listeners: new Map<number, SimListener>(), hasPower: true }
    this.#hosts.set(name, host)
    return host
  }
}
