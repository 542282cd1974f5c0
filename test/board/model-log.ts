/**
 * The log of one channel as the machines see it: the log port, working on the bytes of a state vector.
 *
 * Records are what a flush has appended: a batch (all sessions of one flush; they share a layer, a seal and their
 * answers, so cutting between them would show nothing new) or a seal. Positions count records.
 *
 * Checks what can be seen at the moment of appending, and reports it through `fault`:
 *   - no session is stamped with a layer below that of a session answered before it was accepted;
 *   - a seal ends the layer of the batches before it, and layers ascend on a channel.
 */

import { NONE } from '../../wal/board.ts'
import type { ChannelState } from '../../wal/board-machine.ts'
import type { LogPort } from '../../wal/log-port.ts'
import { Channel, LAYER_LIMIT, type Layout, Log, SEAL_BIT } from './state-vector.ts'

/** The state that is being worked on; one per world. */
export interface Scratch {
  readonly vector: Uint8Array
  /** What an operation did wrong, if anything. */
  fault: string | undefined
}

export class ModelLog implements LogPort {
  readonly #scratch: Scratch
  readonly #layout: Layout
  readonly #channel: number
  readonly #log: number
  /** Set right after the construction of the machines, which need the port first. */
  state: ChannelState | undefined

  constructor(scratch: Scratch, layout: Layout, me: number) {
    this.#scratch = scratch
    this.#layout = layout
    this.#channel = layout.channel(me)
    this.#log = layout.log(me)
  }

  hasQueue(): boolean {
    return this.#scratch.vector[this.#channel + Channel.queue]! > 0
  }

  appendQueue(layer: bigint): void {
    const { vector } = this.#scratch
    const floor = vector[this.#channel + Channel.floor]!
    if (Number(layer) < floor) {
      this.#fail(`(c) a session accepted after one of layer ${floor} was answered is stamped with layer ${layer}`)
    }
    const last = this.#lastSeal()
    if (Number(layer) <= last) this.#fail(`(e) a session of layer ${layer} comes behind the seal of layer ${last}`)
    vector[this.#channel + Channel.queue] = 0
    vector[this.#channel + Channel.floor] = 0
    this.#append(Number(layer), 0)
  }

  appendSeal(layer: bigint, participants: bigint, stored: bigint): void {
    const number = Number(layer)
    const last = this.#lastSeal()
    if (number <= last) this.#fail(`(e) the seal of layer ${number} comes behind the seal of layer ${last}`)
    for (const open of this.#unsealed()) {
      if (open !== number) this.#fail(`(e) the seal of layer ${number} comes behind sessions of layer ${open}`)
    }
    if (Number(stored) > this.#scratch.vector[this.#layout.stored]!)
      this.#fail('(d) a seal knows a STORED that is not published')
    this.#append(number | SEAL_BIT, Number(participants))
  }

  sendUnwritten(): void {
    const { vector } = this.#scratch
    if (vector[this.#channel + Channel.link] !== 0) vector[this.#log + Log.sent] = vector[this.#log + Log.length]!
  }

  writeAndSync(): void {
    const { vector } = this.#scratch
    vector[this.#log + Log.durable] = vector[this.#log + Log.length]!
  }

  hasUnanswered(): boolean {
    const { vector } = this.#scratch
    const batches = this.#batchCount()
    if (this.state?.announced !== NONE || vector[this.#log + Log.owedStored] !== 0) return true
    if (vector[this.#log + Log.answeredStored]! < batches) return true
    if (!this.#layout.config.replica) return false
    return vector[this.#log + Log.owedPropagated] !== 0 || vector[this.#log + Log.answeredPropagated]! < batches
  }

  answer(stored: bigint, propagated: bigint): void {
    this.#answer(Log.answeredStored, Log.owedStored, Number(stored))
    if (this.#layout.config.replica) this.#answer(Log.answeredPropagated, Log.owedPropagated, Number(propagated))
  }

  wake(channel: number): void {
    this.#scratch.vector[this.#layout.channel(channel) + Channel.wakePending] = 1
  }

  firstSealBeyond(position: number): bigint | undefined {
    const { vector } = this.#scratch
    const length = vector[this.#log + Log.length]!
    for (let record = position; record < length; record++) {
      const head = vector[this.#log + Log.records + 2 * record]!
      if ((head & SEAL_BIT) !== 0) return BigInt(head & ~SEAL_BIT)
    }
    return undefined
  }

  #answer(field: number, owed: number, layer: number): void {
    const { vector } = this.#scratch
    if (vector[this.#log + owed]! <= layer) vector[this.#log + owed] = 0
    const length = vector[this.#log + Log.length]!
    let answered = 0
    for (let record = 0; record < length; record++) {
      const head = vector[this.#log + Log.records + 2 * record]!
      if ((head & SEAL_BIT) !== 0) continue
      if (head > layer) break
      answered++
    }
    if (answered > vector[this.#log + field]!) vector[this.#log + field] = answered
  }

  #append(head: number, detail: number): void {
    const { vector } = this.#scratch
    const length = vector[this.#log + Log.length]!
    if (length >= this.#layout.recordsMax || (head & ~SEAL_BIT) >= LAYER_LIMIT)
      throw new RangeError('the state vector is too small')
    vector[this.#log + Log.records + 2 * length] = head
    vector[this.#log + Log.records + 2 * length + 1] = detail
    vector[this.#log + Log.length] = length + 1
  }

  #batchCount(): number {
    const { vector } = this.#scratch
    const length = vector[this.#log + Log.length]!
    let batches = 0
    for (let record = 0; record < length; record++) {
      if ((vector[this.#log + Log.records + 2 * record]! & SEAL_BIT) === 0) batches++
    }
    return batches
  }

  #lastSeal(): number {
    const { vector } = this.#scratch
    for (let record = vector[this.#log + Log.length]! - 1; record >= 0; record--) {
      const head = vector[this.#log + Log.records + 2 * record]!
      if ((head & SEAL_BIT) !== 0) return head & ~SEAL_BIT
    }
    return vector[this.#layout.forgotten]!
  }

  /** Layers of the batches behind the last seal. */
  #unsealed(): number[] {
    const { vector } = this.#scratch
    const layers: number[] = []
    for (let record = vector[this.#log + Log.length]! - 1; record >= 0; record--) {
      const head = vector[this.#log + Log.records + 2 * record]!
      if ((head & SEAL_BIT) !== 0) break
      layers.push(head)
    }
    return layers
  }

  #fail(fault: string): void {
    this.#scratch.fault ??= fault
  }
}
