/**
 * Fuzzing of every decoder: bytes that were good once, damaged in random ways, and bytes that never were. What comes out
 * is a value or a typed error; a broken assertion, a RangeError, anything else is a defect, and so is a decoder that hangs.
 *
 * A CRC would turn nearly all damage away at the door. So most inputs get a new, good one: a broken program makes good CRCs,
 * too, and what lies behind must stand on its own feet. A round is one input, and its number is all it takes to repeat it.
 */

import { SeededRandom } from '../sim/seeded-random.ts'
import { CODECS } from './codecs.ts'
import { valueOrCode } from './damage.ts'
import { repair } from './fuzz-repair.ts'
import { type FuzzTarget, TEXT_TARGETS } from './fuzz-targets.ts'
import { readVectors } from './golden-file.ts'

export interface Fuzzed {
  readonly rounds: number
  /** Per decoder: how many values, and how many errors by code. */
  readonly outcomes: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly failure:
    | { readonly round: number; readonly target: string; readonly error: unknown; readonly hex: string }
    | undefined
}

export interface FuzzOptions {
  readonly milliseconds: number
  readonly from: number
  /** Stops after so many. */
  readonly rounds?: number | undefined
  /** Only decoders whose name contains it. */
  readonly word?: string | undefined
}

/** No input of a few kilobytes takes longer, even on a busy machine. */
const SLOW_MS = 5_000
const NEIGHBOURS = [0, 1, 0x7f, 0x80, 0xfe, 0xff]

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...Object.entries(CODECS).map(([name, codec]) => {
    const vectors = readVectors().filter(({ type }) => type === name)
    return {
      name,
      samples: vectors.map(({ bytes }) => bytes),
      repair: (bytes: Buffer, sample: number) => repair(name, bytes, vectors[sample]!.given), // one per sample
      decode: (bytes: Buffer, sample: number) => codec.decode(bytes, vectors[sample]!.given), // the same
    }
  }),
  ...TEXT_TARGETS,
]

export function fuzz({ milliseconds, from, rounds = Number.POSITIVE_INFINITY, word = '' }: FuzzOptions): Fuzzed {
  const targets = FUZZ_TARGETS.filter(({ name }) => name.includes(word))
  if (targets.length === 0) throw new Error(`there is no decoder named ${word}`)
  const outcomes = new Map(targets.map(({ name }) => [name, new Map<string, number>()]))
  const end = performance.now() + milliseconds
  let round = from
  for (; round - from < rounds && performance.now() < end; round++) {
    const random = new SeededRandom(round)
    for (let i = 0; i < 4; i++) random.below(2) // neighbouring seeds begin alike
    const target = targets[random.below(targets.length)]!
    const bytes = input(target, random)
    try {
      const outcome = outcomeOf(() => target.decode(bytes.bytes, bytes.sample))
      const counts = outcomes.get(target.name)!
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    } catch (error) {
      const failure = { round, target: target.name, error, hex: bytes.bytes.toString('hex') }
      return { rounds: round - from + 1, outcomes, failure }
    }
  }
  return { rounds: round - from, outcomes, failure: undefined }
}

function outcomeOf(decode: () => unknown): string {
  const begin = performance.now()
  const result = valueOrCode(decode)
  const took = performance.now() - begin
  if (took > SLOW_MS) throw new Error(`it took ${took.toFixed(0)} ms`)
  return 'code' in result ? result.code : 'value'
}

function input(target: FuzzTarget, random: SeededRandom): { readonly bytes: Buffer; readonly sample: number } {
  const sample = random.below(target.samples.length)
  const other = target.samples[random.below(target.samples.length)]!
  let bytes = random.chance(1, 20) ? noise(random) : Buffer.from(target.samples[sample]!)
  for (let i = random.below(5); i > 0; i--) bytes = damage(bytes, other, random)
  return { bytes: random.chance(4, 5) ? target.repair(bytes, sample) : bytes, sample }
}

const noise = (random: SeededRandom): Buffer =>
  Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)))

function damage(bytes: Buffer, other: Buffer, random: SeededRandom): Buffer {
  if (bytes.length === 0) return noise(random)
  const at = random.below(bytes.length)
  const length = 1 + random.below(Math.min(40, bytes.length - at))
  const [before, middle, after] = [bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at + length)]
  switch (random.below(8)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8)
      return bytes
    case 1:
      bytes[at] = NEIGHBOURS[random.below(NEIGHBOURS.length)]!
      return bytes
    case 2: // a number that is far too large, or zero
      middle.subarray(0, 8).fill(NEIGHBOURS[random.below(NEIGHBOURS.length)]!)
      return bytes
    case 3:
      return Buffer.from(before)
    case 4:
      return Buffer.concat([before, after])
    case 5:
      return Buffer.concat([before, middle, middle, after])
    case 6:
      return Buffer.concat([before, noise(random), after])
    default: {
      const from = random.below(other.length)
      return Buffer.concat([before, other.subarray(from, from + random.below(60)), after])
    }
  }
}
