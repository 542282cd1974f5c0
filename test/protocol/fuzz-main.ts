/** `npm run fuzz`: feeds all decoders with bad bytes for a while. Ends with 1 if something else than a value or a typed error comes out. */
import { Command } from 'commander'
import { atLeastOne, wholeNumber } from '../whole-number.ts'
import { fuzz } from './fuzz.ts'

interface CommandOptions {
  readonly seconds: number
  readonly from: number
  readonly rounds?: number
  readonly word?: string
}

const { seconds, from, rounds, word } = new Command('npm run fuzz --')
  .description('feeds all decoders with bad bytes')
  .option('--seconds <n>', 'how long', atLeastOne, 10)
  .option('--from <round>', 'first round; by the clock unless said', wholeNumber, Date.now() % 1_000_000_000)
  .option('--rounds <n>', 'stop after so many', atLeastOne)
  .option('--word <w>', 'only decoders named so')
  .parse()
  .opts<CommandOptions>()

const result = fuzz({ milliseconds: seconds * 1_000, from, rounds, word })

for (const [target, outcomes] of result.outcomes) {
  const counts = [...outcomes].sort(([, a], [, b]) => b - a).map(([outcome, count]) => `${outcome} ${count}`)
  console.log(`${target}: ${counts.join(', ')}`)
}
console.log(`${result.rounds} rounds from ${from} on`)
if (result.failure !== undefined) {
  const { round, target, error, hex } = result.failure
  console.log(`FAILED: ${target} in round ${round}: ${error instanceof Error ? error.stack : String(error)}`)
  console.log(`  bytes: ${hex}`)
  const only = word === undefined ? '' : ` --word ${word}`
  console.log(`  repeat it: npm run fuzz -- --from ${round} --rounds 1${only}`)
  process.exitCode = 1
}
