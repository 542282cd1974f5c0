/**
 * Brings states that nobody can tell apart into one form. Each rule forgets history, not behaviour:
 *
 *   slots    a participation slot whose layer nobody can ask for any more becomes 0: slots are only ever compared with
 *            layers that are open, announced, being announced or being sealed
 *   scans    what a scan under way has found so low that it can raise no watermark (they never go back, which is judged
 *            at every step) becomes UNKNOWN; a watermark read before that has moved on becomes STALE
 *   bounds   the same for cells, and for a layer that an announcement under way will write into its cells and then
 *            find closed: becomes STALE
 *   floor    the lowest layer that the queued sessions may get is forgotten where every layer still to be given is above
 *   history  what is certain is taken off the logs (log-history.ts)
 *   shift    layers are counted from what was taken off: all are lowered by a multiple of the ring, which keeps the slots in place.
 *            So endless sessions have finitely many states
 */
import { FIRST_EPOCH, forgets } from './configuration.ts'
import { isAnnounceLost, LogHistory, oldestAsked } from './log-history.ts'
import {
  Channel,
  DEAD,
  LAYER_LIMIT,
  LAYER_MINUS_ONE,
  LAYER_NONE,
  type Layout,
  Log,
  SEAL_BIT,
  STALE,
} from './state-vector.ts'

const BEFORE_FIRST = Number(FIRST_EPOCH) - 1

export class Canonical {
  readonly #layout: Layout
  readonly #history: LogHistory
  readonly #forgets: boolean

  constructor(layout: Layout) {
    this.#layout = layout
    this.#history = new LogHistory(layout)
    this.#forgets = forgets(layout.config)
  }

  /** @returns by how much all layers were lowered */
  apply(vector: Uint8Array): number {
    if (this.#layout.config.exact) return 0
    this.#slots(vector)
    if (this.#forgets) this.#history.apply(vector)
    for (let channel = 0; channel < this.#layout.channels; channel++) {
      this.#bounds(vector, channel)
      this.#scan(vector, this.#layout.channel(channel))
      this.#floor(vector, channel)
    }
    return this.#shift(vector)
  }

  #slots(vector: Uint8Array): void {
    const { part, cell } = this.#layout
    const oldest = oldestAsked(this.#layout, vector)
    for (let slot = part; slot < cell; slot++) if (vector[slot]! < oldest) vector[slot] = 0
  }

  #bounds(vector: Uint8Array, channel: number): void {
    const { stored, propagated, rows, channels, cell } = this.#layout
    for (let row = 0; row < rows; row++) {
      const at = cell + row * channels + channel
      if (vector[at]! > STALE && vector[at]! <= vector[row === 0 ? stored : propagated]!) vector[at] = STALE
    }
    const block = this.#layout.channel(channel)
    const reached = rows === 1 ? vector[stored]! : Math.min(vector[stored]!, vector[propagated]!)
    if (vector[block + Channel.announceLayer]! > reached || !isAnnounceLost(this.#layout, vector, channel)) return
    vector[block + Channel.announceLayer] = STALE
  }

  #scan(vector: Uint8Array, at: number): void {
    const { stored, propagated, rows } = this.#layout
    if (vector[at + Channel.recomputeAt] === 0) return
    const forgotten = vector[this.#layout.forgotten]!
    for (const register of [Channel.stored, Channel.propagated]) {
      const code = vector[at + register]!
      if (code > 0 && code < forgotten) vector[at + register] = STALE
    }
    const low = vector[at + Channel.low]!
    const watermark = vector[vector[at + Channel.row] === 0 ? stored : propagated]!
    if (low <= watermark + 1) vector[at + Channel.low] = 0
    if (vector[at + Channel.top]! <= vector[propagated]! + 1) vector[at + Channel.top] = 0
    for (let row = 0; row < rows; row++) {
      const durable = vector[at + Channel.durable + row]!
      const hopeless = durable === LAYER_MINUS_ONE || durable <= vector[row === 0 ? stored : propagated]!
      if (hopeless) vector[at + Channel.durable + row] = 0
    }
  }

  #floor(vector: Uint8Array, channel: number): void {
    const at = this.#layout.channel(channel)
    const floor = vector[at + Channel.floor]!
    if (floor === 0) return
    const announcing = vector[at + Channel.announceLayer]!
    let lowest = vector[this.#layout.open]!
    if (vector[at + Channel.announced] !== LAYER_NONE) lowest = vector[at + Channel.announced]!
    else if (announcing !== DEAD && !isAnnounceLost(this.#layout, vector, channel)) lowest = announcing
    if (floor <= lowest) vector[at + Channel.floor] = 0
  }

  // ---- shift

  #shift(vector: Uint8Array): number {
    const { ring } = this.#layout.config
    const forgotten = vector[this.#layout.forgotten]!
    const by = Math.floor((forgotten - BEFORE_FIRST) / ring) * ring
    if (by === 0 || !this.#eachLayer(vector, (_, layer) => layer >= forgotten)) return 0
    this.#eachLayer(vector, (at) => {
      vector[at]! -= by
      return true
    })
    return by
  }

  /** Calls `visit` with the place of every byte that holds a layer, until it says no. */
  #eachLayer(vector: Uint8Array, visit: (at: number, layer: number) => boolean): boolean {
    const { open, part, phase, stored, propagated, forgotten, channels, rows } = this.#layout
    const one = (at: number): boolean => {
      const code = vector[at]!
      return code <= STALE || code >= LAYER_LIMIT || visit(at, code)
    }
    if (!one(open) || !one(stored) || !one(propagated) || !one(forgotten)) return false
    for (let at = part; at < phase; at++) if (!one(at)) return false
    for (let channel = 0; channel < channels; channel++) {
      const at = this.#layout.channel(channel)
      for (const register of LAYER_REGISTERS) if (!one(at + register)) return false
      for (let row = 0; row < rows; row++) if (!one(at + Channel.durable + row)) return false
      const log = this.#layout.log(channel)
      if (!one(log + Log.owedStored) || !one(log + Log.owedPropagated)) return false
      for (let record = 0; record < vector[log + Log.length]!; record++) {
        const head = log + Log.records + 2 * record
        if (!visit(head, vector[head]! & ~SEAL_BIT)) return false
      }
    }
    return true
  }
}

const LAYER_REGISTERS = [
  Channel.announced,
  Channel.floor,
  Channel.announceLayer,
  Channel.sealLayer,
  Channel.top,
  Channel.low,
  Channel.stored,
  Channel.propagated,
] as const
