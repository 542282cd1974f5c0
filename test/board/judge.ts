/**
 * Judges a state by what a crash at this very moment would leave.
 *
 * A crash of the master leaves, per channel, any prefix of the appended records that is not shorter than the durable one:
 * all combinations over all channels are tried. The replica alone is judged likewise, between what it has made durable and
 * what was sent; the disk of a former life as it was left. On each remains the recovery rule is run, and then:
 *
 *   (a) every epoch up to STORED, and every session answered STORED, is there;
 *   (b) every epoch up to PROPAGATED, and every session answered PROPAGATED, is there on the replica alone: on the disk of
 *       one of its lives, whichever bytes survive;
 *   (e) what is kept has no hole: of the epochs up to the last whole one no appended session is missing.
 *
 * The rule of recovery-rule.ts and the production rule must agree on all remains. Judgements are remembered by the bytes
 * they depend on.
 */
import { lastWholeEpoch } from '../../wal/whole-epoch.ts'
import { BASE_EPOCH, FIRST_EPOCH } from './configuration.ts'
import { type RecoveryRule, recoveryRule, type SurvivingSeal } from './recovery-rule.ts'
import { type Layout, Log, SEAL_BIT } from './state-vector.ts'

/** Per channel, how many records are certain to survive and how many may. */
interface Range {
  readonly least: number
  readonly most: number
}

/** What was promised of one channel at one level. */
interface Promise {
  readonly watermark: number
  /** Per channel: how many batches were answered. */
  readonly answered: readonly number[]
}

const NO_PROMISE: Promise = { watermark: 0, answered: [0, 0, 0] }

const shown = (layer: number): bigint => (BigInt(layer) < FIRST_EPOCH ? BASE_EPOCH : BigInt(layer))

function goesBack(name: string, before: number, after: number, shift: number): string | undefined {
  const now = after === 0 ? 0 : after + shift
  return now < before ? `(d) ${name} goes back from ${before} to ${now}` : undefined
}

export class Judge {
  readonly #layout: Layout
  readonly #rule: RecoveryRule
  #disagreement: string | undefined
  readonly #remembered = new Map<string, string | undefined>()
  /** Remains on which the rule was run. */
  remains = 0

  constructor(layout: Layout, rule: RecoveryRule = recoveryRule) {
    this.#layout = layout
    this.#rule = rule
  }

  /** @returns what is wrong with `after`, whose layers were lowered by `shift`, or with having come to it from `before` */
  fault(before: Uint8Array, after: Uint8Array, shift: number): string | undefined {
    const { open, stored, propagated, life, evidence, end } = this.#layout
    const back =
      goesBack('the open layer', before[open]!, after[open]!, shift) ??
      goesBack('STORED', before[stored]!, after[stored]!, shift) ??
      goesBack('PROPAGATED', before[propagated]!, after[propagated]!, shift)
    if (back !== undefined) return back
    if (after[propagated]! > after[stored]! || after[stored]! >= after[open]!) {
      return `(d) propagated <= stored < open does not hold: ${after[propagated]}, ${after[stored]}, ${after[open]}`
    }
    let changed = before[life] !== after[life]
    for (let at = evidence; at < end && !changed; at++) changed = before[at] !== after[at]
    return changed ? this.crash(after) : undefined
  }

  /** @returns what a crash in this state would lose, or undefined */
  crash(vector: Uint8Array): string | undefined {
    const { evidence, end } = this.#layout
    const key =
      Buffer.from(vector.buffer, vector.byteOffset + evidence, end - evidence).toString('latin1') +
      vector[this.#layout.life]
    if (this.#remembered.has(key)) return this.#remembered.get(key)
    const lost = this.#crashOfMaster(vector) ?? (this.#layout.config.replica ? this.#lossOfMaster(vector) : undefined)
    const fault = this.#disagreement ?? lost
    this.#remembered.set(key, fault)
    return fault
  }

  /** When all is answered, the whole log is whole: nothing was left unsealed, no link of the chain is missing. */
  completion(vector: Uint8Array): string | undefined {
    const seals = this.#channels().flatMap((channel) => this.#seals(vector, channel, this.#length(vector, channel)))
    const last = this.#recover(seals, vector[this.#layout.forgotten]!)
    const closed = shown(vector[this.#layout.open]! - 1)
    return last === closed ? undefined : `(e) all is answered, but the last whole epoch is ${last}, not ${closed}`
  }

  #crashOfMaster(vector: Uint8Array): string | undefined {
    const ranges = this.#channels().map((channel) => ({
      least: vector[this.#layout.log(channel) + Log.durable]!,
      most: this.#length(vector, channel),
    }))
    return this.#forEachCut(ranges, (cut) => {
      const fault = this.#remainsFault(vector, cut, this.#promise(vector, this.#layout.stored, Log.answeredStored))
      return fault?.startsWith('(e)') ? fault : fault && `(a) STORED ${vector[this.#layout.stored]}: ${fault}`
    })
  }

  /** PROPAGATED holds if one disk holds all of it; that no disk's remains have a hole is asked of each. */
  #lossOfMaster(vector: Uint8Array): string | undefined {
    const promise = this.#promise(vector, this.#layout.propagated, Log.answeredPropagated)
    const current = vector[this.#layout.life]!
    let missing: string | undefined
    let held = false
    for (let life = 0; life <= current; life++) {
      const ranges = this.#channels().map((channel) => {
        const least = vector[this.#layout.durableInLife(life, channel)]!
        const sent = vector[this.#layout.log(channel) + Log.sent]!
        return { least, most: life === current ? Math.max(least, sent) : least }
      })
      const hole = this.#forEachCut(ranges, (cut) => this.#remainsFault(vector, cut, NO_PROMISE))
      if (hole !== undefined) return hole
      const fault = this.#forEachCut(ranges, (cut) => this.#remainsFault(vector, cut, promise))
      if (fault === undefined) held = true
      missing ??= fault
    }
    return held ? undefined : `(b) PROPAGATED ${promise.watermark}, replica alone: ${missing}`
  }

  #promise(
    vector: Uint8Array,
    watermark: number,
    answered: typeof Log.answeredStored | typeof Log.answeredPropagated,
  ): Promise {
    return {
      watermark: vector[watermark]!,
      answered: this.#channels().map((channel) => vector[this.#layout.log(channel) + answered]!),
    }
  }

  /** Calls `judge` with every combination of prefixes, until it finds a fault. */
  #forEachCut(ranges: readonly Range[], judge: (cut: readonly number[]) => string | undefined): string | undefined {
    const cut = ranges.map((range) => range.least)
    for (;;) {
      this.remains++
      const fault = judge(cut)
      if (fault !== undefined) return `${fault} (surviving records per channel: ${cut.join(', ')})`
      let channel = 0
      while (channel < cut.length && cut[channel] === ranges[channel]!.most) {
        cut[channel] = ranges[channel]!.least
        channel++
      }
      if (channel === cut.length) return undefined
      cut[channel]!++
    }
  }

  #remainsFault(vector: Uint8Array, cut: readonly number[], promise: Promise): string | undefined {
    const last = this.#recover(
      cut.flatMap((records, channel) => this.#seals(vector, channel, records)),
      vector[this.#layout.forgotten]!,
    )
    if (last < shown(promise.watermark)) return `the last whole epoch is ${last}`
    for (const channel of this.#channels()) {
      let batch = 0
      for (let record = 0; record < this.#length(vector, channel); record++) {
        const layer = this.#head(vector, channel, record)
        if ((layer & SEAL_BIT) !== 0) continue
        const survives = record < cut[channel]!
        const kept = survives && BigInt(layer) <= last
        if (batch < promise.answered[channel]! && !kept)
          return `an answered session of epoch ${layer} on channel ${channel} is lost`
        if (!survives && BigInt(layer) <= last)
          return `(e) epoch ${last} is whole, but a session of epoch ${layer} on channel ${channel} is missing`
        batch++
      }
    }
    return undefined
  }

  #recover(seals: readonly SurvivingSeal[], forgotten: number): bigint {
    const base = shown(forgotten)
    const last = this.#rule(seals, base)
    if (this.#rule !== recoveryRule) return last
    const production = lastWholeEpoch({
      anchor: base,
      heldThrough: this.#channels().map(() => 0n),
      seals: seals.map((seal) => ({ ...seal, term: 1n })),
    }).lastWhole
    if (production !== last)
      this.#disagreement = `(r) the production rule finds epoch ${production} whole, the plain one ${last}`
    return last
  }

  #seals(vector: Uint8Array, channel: number, records: number): SurvivingSeal[] {
    const seals: SurvivingSeal[] = []
    for (let record = 0; record < records; record++) {
      const head = this.#head(vector, channel, record)
      if ((head & SEAL_BIT) === 0) continue
      const layer = head & ~SEAL_BIT
      const participants = BigInt(vector[this.#layout.log(channel) + Log.records + 2 * record + 1]!)
      seals.push({ channel, epoch: BigInt(layer), prev: shown(layer - 1), participants })
    }
    return seals
  }

  #channels(): number[] {
    return Array.from({ length: this.#layout.channels }, (_, channel) => channel)
  }

  #length(vector: Uint8Array, channel: number): number {
    return vector[this.#layout.log(channel) + Log.length]!
  }

  #head(vector: Uint8Array, channel: number, record: number): number {
    return vector[this.#layout.log(channel) + Log.records + 2 * record]!
  }
}
