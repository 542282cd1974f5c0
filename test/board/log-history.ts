/**
 * Takes off the modelled logs what can make no difference any more:
 *
 *   - epochs that every crash leaves whole, whose sessions are answered or owed an answer, and that no seal to come can
 *     name: the state's `forgotten` is the last of them, and the base of the recovery rule;
 *   - of two batches of one layer, one behind the other and equally durable and sent, the second: no seal parts them.
 */
import { atName } from './channel-driver.ts'
import { Channel, DEAD, type Layout, Log, SEAL_BIT, STALE } from './state-vector.ts'

/** The lowest layer that a channel has announced, is announcing or is sealing, or the open one. */
export function oldestAsked(layout: Layout, vector: Uint8Array): number {
  let oldest = vector[layout.open]!
  for (let channel = 0; channel < layout.channels; channel++) {
    const at = layout.channel(channel)
    oldest = Math.min(oldest, vector[at + Channel.announced]!)
    if (vector[at + Channel.sealLayer] !== DEAD) oldest = Math.min(oldest, vector[at + Channel.sealLayer]!)
    const announcing = vector[at + Channel.announceLayer]!
    if (announcing !== DEAD && !isAnnounceLost(layout, vector, channel)) oldest = Math.min(oldest, announcing)
  }
  return oldest
}

const BEFORE_RECHECK: ReadonlySet<string> = new Set(['cellLoad', 'cellStore', 'recheck'])

/** Has the layer been closed before the announcement has looked again and made its mark? It will be found out, and only that. */
export function isAnnounceLost(layout: Layout, vector: Uint8Array, channel: number): boolean {
  const at = layout.channel(channel)
  const layer = vector[at + Channel.announceLayer]!
  if (layer >= vector[layout.open]! || !BEFORE_RECHECK.has(atName(vector[at + Channel.announceAt]!))) return false
  return vector[layout.part + (layer % layout.config.ring) * layout.channels + channel] !== layer
}

export class LogHistory {
  readonly #layout: Layout

  constructor(layout: Layout) {
    this.#layout = layout
  }

  apply(vector: Uint8Array): void {
    const { forgotten, channels } = this.#layout
    while (this.#mayForget(vector, vector[forgotten]! + 1)) {
      vector[forgotten]!++
      for (let channel = 0; channel < channels; channel++) {
        const end = this.#endOf(vector, channel, vector[forgotten]!)
        this.#owe(vector, channel, end)
        this.#remove(vector, channel, 0, end)
      }
    }
    for (let channel = 0; channel < channels; channel++) {
      this.#settleOwed(vector, channel)
      this.#mergeBatches(vector, channel)
    }
  }

  /** Is `epoch` whole after every crash, and beyond the reach of any seal to come? */
  #mayForget(vector: Uint8Array, epoch: number): boolean {
    const { stored, propagated, channels, config } = this.#layout
    if (epoch > vector[stored]! || (config.replica && epoch > vector[propagated]!)) return false
    if (oldestAsked(this.#layout, vector) <= epoch) return false
    let named = 0
    let held = 0
    for (let channel = 0; channel < channels; channel++) {
      const end = this.#endOf(vector, channel, epoch)
      if (end === 0) continue
      if (!this.#isDurable(vector, channel, end)) return false
      const last = this.#record(channel, end - 1)
      if (vector[last] !== (epoch | SEAL_BIT)) return false
      named |= vector[last + 1]!
      held |= 1 << channel
    }
    return named !== 0 && (named & ~held) === 0
  }

  #isDurable(vector: Uint8Array, channel: number, end: number): boolean {
    if (end > vector[this.#layout.log(channel) + Log.durable]!) return false
    return !this.#layout.config.replica || end <= vector[this.#replicaDurable(vector, channel)]!
  }

  /**
   * That sessions are owed an answer is remembered. Of which layer, only while the channel holds a watermark that it may
   * answer without reading it once more: one that is read now covers all that was forgotten.
   */
  #owe(vector: Uint8Array, channel: number, end: number): void {
    const log = this.#layout.log(channel)
    const forgotten = vector[this.#layout.forgotten]!
    const batches = this.#batches(vector, channel, end)
    if (batches > vector[log + Log.answeredStored]!) vector[log + Log.owedStored] = forgotten
    if (batches > vector[log + Log.answeredPropagated]! && this.#layout.config.replica)
      vector[log + Log.owedPropagated] = forgotten
  }

  #settleOwed(vector: Uint8Array, channel: number): void {
    const log = this.#layout.log(channel)
    const at = this.#layout.channel(channel)
    settle(vector, log + Log.owedStored, vector[at + Channel.stored]!, vector[at + Channel.recomputeAt]!, 'raiseStored')
    settle(
      vector,
      log + Log.owedPropagated,
      vector[at + Channel.propagated]!,
      vector[at + Channel.recomputeAt]!,
      'raisePropagated',
    )
  }

  #mergeBatches(vector: Uint8Array, channel: number): void {
    const log = this.#layout.log(channel)
    for (let record = vector[log + Log.length]! - 1; record > 0; record--) {
      const head = vector[this.#record(channel, record)]!
      if ((head & SEAL_BIT) !== 0 || vector[this.#record(channel, record - 1)] !== head) continue
      if (!this.#lengths(vector, channel).some((length) => vector[length] === record))
        this.#remove(vector, channel, record, record + 1)
    }
  }

  #remove(vector: Uint8Array, channel: number, from: number, to: number): void {
    if (from === to) return
    const log = this.#layout.log(channel)
    const before = this.#batches(vector, channel, from)
    const removed = this.#batches(vector, channel, to) - before
    for (const answered of [log + Log.answeredStored, log + Log.answeredPropagated])
      lower(vector, answered, before, removed)
    const length = vector[log + Log.length]!
    vector.copyWithin(this.#record(channel, from), this.#record(channel, to), this.#record(channel, length))
    vector.fill(0, this.#record(channel, length - (to - from)), this.#record(channel, length))
    for (const at of [log + Log.length, ...this.#lengths(vector, channel)]) lower(vector, at, from, to - from)
  }

  /** Where the lengths stand that part durable from not durable, sent from not sent. */
  #lengths(vector: Uint8Array, channel: number): number[] {
    const log = this.#layout.log(channel)
    return this.#layout.config.replica
      ? [log + Log.durable, log + Log.sent, this.#replicaDurable(vector, channel)]
      : [log + Log.durable]
  }

  /** Records of epochs up to `epoch`: they come first, since layers ascend on a channel. */
  #endOf(vector: Uint8Array, channel: number, epoch: number): number {
    const length = vector[this.#layout.log(channel) + Log.length]!
    let end = 0
    while (end < length && (vector[this.#record(channel, end)]! & ~SEAL_BIT) <= epoch) end++
    return end
  }

  #batches(vector: Uint8Array, channel: number, end: number): number {
    let batches = 0
    for (let record = 0; record < end; record++)
      if ((vector[this.#record(channel, record)]! & SEAL_BIT) === 0) batches++
    return batches
  }

  #replicaDurable(vector: Uint8Array, channel: number): number {
    return this.#layout.durableInLife(vector[this.#layout.life]!, channel)
  }

  #record(channel: number, record: number): number {
    return this.#layout.log(channel) + Log.records + 2 * record
  }
}

/** Of the numbered things [from, from + count) that were removed, those below `vector[at]` count no more. */
function lower(vector: Uint8Array, at: number, from: number, count: number): void {
  const value = vector[at]!
  if (value > from) vector[at] = Math.max(from, value - count)
}

/** @param readsAgain where a machine whose watermark is out of date reads it once more */
function settle(vector: Uint8Array, owed: number, read: number, recomputeAt: number, readsAgain: string): void {
  if (vector[owed]! <= STALE) return
  if (read === DEAD || read >= vector[owed]! || atName(recomputeAt) === readsAgain) vector[owed] = STALE
}
