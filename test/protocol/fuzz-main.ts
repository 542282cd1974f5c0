/**
 * `npm run fuzz`: feeds all decoders with bad bytes for a while. Exits 1 if something else than a value or a typed error comes out.
 *
 *   --seconds N      how long; 10 unless said         --from R      first round; by the clock unless said
 *   --word W         only decoders named so           --rounds N    stop after so many
 */
import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    from: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    rounds: { type: 'string' },
    word: { type: 'string' },
  },
})

const result = fuzz({
  milliseconds: Number(values.seconds) * 1_000,
  from: Number(values.from),
  rounds: values.rounds === undefined ? undefined : Number(values.rounds),
  word: values.word,
})

for (const [target, outcomes] of result.outcomes) {
  const counts = [...outcomes].sort(([, a], [, b]) => b - a).map(([outcome, count]) => `${outcome} ${count}`)
  console.log(`${target}: ${counts.join(', ')}`)
}
console.log(`${result.rounds} rounds from ${values.from} on`)
if (result.failure !== undefined) {
  const { round, target, error, hex } = result.failure
  console.log(`FAILED: ${target} in round ${round}: ${error instanceof Error ? error.stack : String(error)}`)
  console.log(`  bytes: ${hex}`)
  const word = values.word === undefined ? '' : ` --word ${values.word}`
  console.log(`  repeat it: npm run fuzz -- --from ${round} --rounds 1${word}`)
  process.exitCode = 1
}
