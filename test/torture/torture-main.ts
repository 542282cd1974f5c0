/**
 * `npm run torture -- --rounds N --seed S`: more rounds than `npm test` has time for.
 *
 * A line per round on stderr, the summary on stdout. Ends with 1 if something was found.
 */
import { Command } from 'commander'
import { atLeastOne, wholeNumber } from '../whole-number.ts'
import { torture } from './torture.ts'

const SEED_MAX = 1_000_000_000

const { rounds, seed, from } = new Command('npm run torture --')
  .description('kills, pauses and cuts off real nodes under load, and compares their files with what writers were told')
  .option('--rounds <n>', 'rounds', atLeastOne, 20)
  .option('--seed <s>', 'what the rounds are drawn from', wholeNumber, Math.floor(Math.random() * SEED_MAX))
  .option('--from <round>', 'first round: the one that has failed', wholeNumber, 1)
  .addHelpText('after', '\nExample: npm run -s torture -- --rounds 100 --seed 7')
  .parse()
  .opts<{ rounds: number; seed: number; from: number }>()

process.stderr.write(`seed ${seed}\n`)
const report = await torture({ rounds, seed, from, onRound: (line) => process.stderr.write(`${line}\n`) })
const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .map(([name, n]) => `${name} ${n}`)
    .join(', ')
process.stdout.write(
  `${report.rounds} rounds of seed ${seed} in ${report.seconds.toFixed(0)} s, ${(report.seconds / report.rounds).toFixed(1)} s each\n` +
    `faults    ${counts(report.faults)}\nsessions  ${counts(report.sessions)}\n` +
    `seen      ${counts({ ...report.seen })}\n` +
    `cut off   ${report.cutFrames} frames of epochs that were not whole\n` +
    `${report.failure ?? 'nothing was lost, doubled, torn or out of order'}\n`,
)
process.exitCode = report.failure === undefined ? 0 : 1
