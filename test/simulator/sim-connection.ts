/**
 * One end of a simulated connection. Bytes leave in the order in which they were written, as far as the peer's window has
 * room; they arrive merged and cut anywhere, copied, so that nobody sees what the other side does to its buffers.
 *
 * Ends as TCP ends: after a FIN what was sent before still arrives, a reset may take it along, and an end whose host
 * has lost its power says nothing at all.
 */
import type { Connection, ConnectionHandler } from '../../protocol/connection.ts'
import { LINGER_MS_MAX } from '../../protocol/limits.ts'
import type { Actor } from './scheduler.ts'

export interface ConnectionHost {
  readonly windowBytes: number
  /** Carries something to the other end, after whatever was carried there before. */
  carry(from: SimConnection, arrive: () => void): void
  /** How many of so many bytes are read at once. */
  readAtOnce(bytes: number): number
  lingerOver(actor: Actor, delayMs: number, act: () => void): void
  /** Does the host of this end say anything to packets that nobody wants? */
  canAnswer(end: SimConnection): boolean
}

type Packet = Uint8Array | 'end' | 'reset'

/** More unsent bytes than this, and `drained` is told. */
const DRAIN_BYTES_MIN = 16 * 1024

export class SimConnection implements Connection {
  readonly peer: string
  readonly actor: Actor
  readonly #host: ConnectionHost
  other: SimConnection | undefined
  /** Has ended, or never gets anything any more. */
  isGone = false
  #handler: ConnectionHandler | undefined
  #isOpen: boolean
  #unsent: { bytes: Uint8Array; taken: (() => void) | undefined }[] = []
  unsentBytes = 0
  #inFlight = 0
  #inbound: Uint8Array[] = []
  #isReadPlanned = false
  #isPaused = false
  #wantsDrained = false
  /** 'none' -> 'asked' (FIN behind what is unsent) -> 'sent'. */
  #fin: 'none' | 'asked' | 'sent' = 'none'
  #isFinHeard = false
  #isEndTold = false
  #ignoresData = false
  #closesAfterSending = false
  lastArrival = 0

  constructor(of: { actor: Actor; host: ConnectionHost; peer: string; isOpen: boolean }) {
    this.actor = of.actor
    this.#host = of.host
    this.peer = of.peer
    this.#isOpen = of.isOpen
  }

  handle(handler: ConnectionHandler): void {
    this.#handler = handler
    this.#planRead()
  }

  write(bytes: Uint8Array): void {
    this.#queue(bytes, undefined)
    this.#send()
  }

  writeAll(buffers: readonly Uint8Array[], taken?: () => void): void {
    buffers.forEach((bytes, i) => {
      this.#queue(bytes, i === buffers.length - 1 ? taken : undefined)
    })
    this.#send()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#planRead()
  }

  end(lastWords?: Uint8Array): void {
    if (this.isGone || this.#fin !== 'none') return
    if (lastWords !== undefined) this.#queue(lastWords, undefined)
    this.#ignoresData = true
    this.#fin = 'asked'
    this.#send()
    this.#host.lingerOver(this.actor, LINGER_MS_MAX, () => this.destroy())
    this.resume()
  }

  close(): void {
    if (this.isGone) return
    this.#ignoresData = true
    this.#closesAfterSending = true
    if (this.#fin === 'none') this.#fin = 'asked'
    this.#send()
  }

  destroy(): void {
    if (this.isGone) return
    this.#carry(this.#isOpen ? 'end' : 'reset')
    this.#gone(undefined)
  }

  // --- the network's side ---

  opened(): void {
    if (this.isGone || this.#isOpen) return
    this.#isOpen = true
    this.#tell((handler) => handler.opened?.())
    this.#send()
  }

  /** Closed by the other side, by its host, or by a fault. */
  reset(cause: Error): void {
    if (!this.isGone) this.#gone(cause)
  }

  /** Its process is no more. @param isTold the other end hears of it */
  abandon(isTold: boolean): void {
    if (this.isGone) return
    if (isTold) this.#carry('reset')
    this.isGone = true
    this.#handler = undefined
  }

  arrive(packet: Packet): void {
    if (this.isGone) {
      if (packet !== 'reset' && this.#host.canAnswer(this)) this.#carry('reset')
      return
    }
    if (packet === 'reset') return this.#gone(new Error('read ECONNRESET (simulated)'))
    if (packet === 'end') this.#isFinHeard = true
    else this.#inbound.push(packet)
    this.#planRead()
  }

  /** The other side has read so much. */
  read(bytes: number): void {
    this.#inFlight -= bytes
    this.#send()
  }

  #queue(bytes: Uint8Array, taken: (() => void) | undefined): void {
    if (this.isGone || this.#fin !== 'none') return
    this.#unsent.push({ bytes, taken })
    this.unsentBytes += bytes.length
    if (this.unsentBytes > DRAIN_BYTES_MIN) this.#wantsDrained = true
  }

  #send(): void {
    if (!this.#isOpen || this.isGone) return
    const { windowBytes } = this.#host
    for (let next = this.#unsent[0]; next !== undefined && this.#inFlight < windowBytes; next = this.#unsent[0]) {
      const room = windowBytes - this.#inFlight
      const piece = next.bytes.length <= room ? next.bytes : next.bytes.subarray(0, room)
      this.#inFlight += piece.length
      this.unsentBytes -= piece.length
      this.#carry(piece)
      if (piece.length < next.bytes.length) next.bytes = next.bytes.subarray(room)
      else {
        this.#unsent.shift()
        const { taken } = next
        if (taken !== undefined) this.#tell(() => taken())
      }
    }
    if (this.#unsent.length > 0) return
    if (this.#wantsDrained) {
      this.#wantsDrained = false
      this.#tell((handler) => handler.drained?.())
    }
    if (this.#fin === 'asked') {
      this.#fin = 'sent'
      this.#carry('end')
      if (this.#closesAfterSending) this.#gone(undefined)
    }
    this.#checkClosed()
  }

  /** Bytes are copied on the way, when they have left the sender's hands: at once. */
  #carry(packet: Packet): void {
    const bytes = typeof packet === 'string' ? packet : Buffer.from(packet)
    this.#host.carry(this, () => this.other?.arrive(bytes))
  }

  #planRead(): void {
    if (this.#isReadPlanned || this.#isPaused || this.#handler === undefined) return
    if (this.#inbound.length === 0 && !(this.#isFinHeard && !this.#isEndTold)) return
    this.#isReadPlanned = true
    this.actor.post(() => {
      this.#isReadPlanned = false
      this.#readInbound()
    })
  }

  #readInbound(): void {
    if (this.isGone || this.#isPaused) return
    if (this.#inbound.length > 0) {
      const all = Buffer.concat(this.#inbound)
      const bytes = this.#host.readAtOnce(all.length)
      this.#inbound = bytes < all.length ? [all.subarray(bytes)] : []
      this.#host.carry(this, () => this.other?.read(bytes))
      if (!this.#ignoresData) this.#handler?.data(bytes < all.length ? Buffer.from(all.subarray(0, bytes)) : all)
    }
    if (this.#inbound.length > 0) return this.#planRead()
    if (!this.#isFinHeard || this.#isEndTold || this.isGone) return
    this.#isEndTold = true
    this.#handler?.ended?.()
    if (this.#fin === 'none') this.#fin = 'asked' // no half-open streams: like Node's sockets
    this.#send()
    this.#checkClosed()
  }

  #checkClosed(): void {
    if (!this.isGone && this.#fin === 'sent' && this.#isEndTold) this.#gone(undefined)
  }

  #gone(cause: Error | undefined): void {
    this.isGone = true
    this.#unsent = []
    this.unsentBytes = 0
    const handler = this.#handler
    this.actor.post(() => (this.#handler ?? handler)?.closed(cause))
  }

  #tell(act: (handler: ConnectionHandler) => void): void {
    this.actor.post(() => {
      if (this.#handler !== undefined && !this.isGone) act(this.#handler)
    })
  }
}
