/**
 * Which of the many states that a power loss may leave are looked at: all of them while they are few, else a fixed
 * selection of the kinds that have broken logs before.
 *
 * The selection: nothing kept; everything kept; everything up to a moment (an ordered disk); everything after a moment
 * (the first writes lost, the last ones kept); one thing alone kept; one thing alone missing; and seeded random ones.
 * Choices that leave the same state count once.
 */
import type { CrashUnit } from './crash-plan.ts'
import { SeededRandom } from './seeded-random.ts'
import type { SimDisk } from './sim-disk.ts'

export interface SelectionOptions {
  /** Up to so many combinations, all are taken; 256 (eight things, kept or lost) if not said. */
  readonly exhaustiveLimit?: number
  /** Choices per kind where not all are taken; 16 if not said. */
  readonly perKind?: number
  /** 1 if not said. */
  readonly seed?: number
}

export interface Survivor {
  readonly disk: SimDisk
  readonly choice: readonly number[]
  /** What is lost, for the report of a failure. */
  readonly lost: readonly string[]
}

/** The states that a power loss at this moment may leave, each with a disk of its own. */
export function* survivors(disk: SimDisk, options: SelectionOptions = {}): Generator<Survivor> {
  const seen = new Set<string>()
  for (const choice of crashChoices(disk.units(), options)) {
    const key = disk.crashKey(choice)
    if (seen.has(key)) continue
    seen.add(key)
    yield { disk: disk.crash(choice), choice, lost: disk.describe(choice) }
  }
}

/** May repeat itself. Nothing kept comes first, everything kept last. */
export function* crashChoices(units: readonly CrashUnit[], options: SelectionOptions = {}): Generator<number[]> {
  const limit = options.exhaustiveLimit ?? 256
  let combinations = 1
  for (const unit of units) combinations = Math.min(combinations * unit.options, limit + 1)
  if (combinations <= limit) yield* everyChoice(units)
  else yield* someChoices(units, options.perKind ?? 16, new SeededRandom(options.seed ?? 1))
}

function* everyChoice(units: readonly CrashUnit[]): Generator<number[]> {
  const choice = units.map(() => 0)
  for (;;) {
    yield [...choice]
    let at = 0
    while (at < units.length && choice[at] === units[at]!.options - 1) choice[at++] = 0
    if (at === units.length) return
    choice[at]! += 1
  }
}

function* someChoices(units: readonly CrashUnit[], perKind: number, random: SeededRandom): Generator<number[]> {
  const events = eventsOf(units)
  const none = units.map(() => 0)
  const all = units.map((unit) => unit.latest)
  yield none
  for (const cut of spread(events.length - 1, perKind)) {
    const prefix = [...none]
    for (const { unit, option } of events.slice(0, cut + 1)) prefix[unit] = option
    yield prefix
    const suffix = [...none]
    for (const { unit } of events.slice(cut + 1)) suffix[unit] = all[unit]!
    yield suffix
  }
  for (const at of spread(events.length, perKind)) {
    const alone = [...none]
    alone[events[at]!.unit] = events[at]!.option
    yield alone
  }
  for (const at of spread(units.length, perKind)) {
    const missing = [...all]
    missing[at] = 0
    yield missing
  }
  for (let i = 0; i < perKind; i++) yield units.map((unit) => random.below(unit.options))
  // Mostly kept: where a uniform choice would lose some part of everything.
  for (let i = 0; i < perKind; i++) yield units.map((u) => (random.chance(1, 8) ? random.below(u.options) : u.latest))
  yield all
}

/** Everything that happened to the units since they were durable, in the order in which it happened. */
function eventsOf(units: readonly CrashUnit[]): { unit: number; option: number; stamp: number }[] {
  const events = units.flatMap((unit, index) =>
    unit.stamps.slice(1).map((stamp, at) => ({ unit: index, option: at + 1, stamp })),
  )
  return events.sort((a, b) => a.stamp - b.stamp)
}

/** Up to `most` of 0 .. count - 1, evenly spread, the first and the last among them. */
function spread(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: Math.max(0, count) }, (_, i) => i)
  return Array.from({ length: most }, (_, i) => Math.floor((i * (count - 1)) / (most - 1)))
}
