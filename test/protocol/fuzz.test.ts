/** Two seconds of fuzzing, the same rounds each time: `npm run fuzz -- --seconds N` for more. */
import t from 'tap'
import { FUZZ_TARGETS, fuzz } from './fuzz.ts'

t.test('only values and typed errors come out of a decoder', async (t) => {
  const { outcomes, failure, rounds } = fuzz({ milliseconds: 2_000, from: 1 })
  t.equal(failure, undefined, `round ${failure?.round} of ${failure?.target}: ${String(failure?.error)}`)
  t.ok(rounds > 200, `${rounds} rounds`)
  t.equal(outcomes.size, FUZZ_TARGETS.length)
  for (const [target, counts] of outcomes) t.ok(counts.size > 0, `${target} was among them`)
})

t.test('every sample is good as it is', async (t) => {
  for (const { name, samples, decode, repair } of FUZZ_TARGETS) {
    for (const [i, sample] of samples.entries()) {
      t.ok(decode(sample, i) !== undefined, `${name} ${i}`)
      t.same(repair(Buffer.from(sample), i), sample, `${name} ${i} needs no repair`)
    }
  }
})
