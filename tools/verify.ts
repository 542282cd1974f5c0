/**
 * `travertine verify`: is everything in a data directory as it was written? With `--compare`: are two logs one history?
 *
 * Only reads, takes no lock, and works while nodes run there. What is wrong goes to stdout as part of the result, with
 * file and position; the exit code and one line on stderr say that something is.
 */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { TravertineError, toWireError, type WireError } from '../protocol/errors.ts'
import { MIB } from '../protocol/limits.ts'
import { NodeDisk } from '../wal/node-disk.ts'
import { newCommand, path } from './command-line.ts'
import { type CompareReport, compareLogs } from './compare-logs.ts'
import { ExitCode, exitCodeOf } from './exit-codes.ts'
import { type Colours, coloursOf, errorText, printJson, printLine, say } from './output.ts'
import { SlowProgress } from './slow-progress.ts'
import { type VerifiedChannel, type VerifyReport, verifyLog } from './verify-log.ts'

interface Options {
  readonly compare?: boolean
  readonly json?: boolean
}

export function verifyCommand(): Command {
  return newCommand({
    name: 'verify',
    summary: 'check every byte of a log, or compare two logs',
    description:
      'Reads the whole log of a data directory, from the oldest byte: CRC, position and term of every frame, every ' +
      'entry, the chain of epochs over all channels, recovery points, and what was cut off and kept in divergent/. ' +
      'With --compare it reads two directories and tells whether they are one history, and if not, where they part. ' +
      'Only reads; the nodes may be running.',
    examples: ['travertine verify /data/a', 'travertine verify --compare /data/a /data/b'],
    exitCodes: [ExitCode.DIRECTORY, ExitCode.LOG, ExitCode.DISK],
  })
    .argument('<directories...>', 'data directory; two of them with --compare')
    .option('--compare', 'compare the logs of two data directories')
    .action(verify)
}

async function verify(given: readonly string[], options: Options): Promise<void> {
  const directories = given.map((directory) => resolve(path(directory)))
  const expected = options.compare === true ? 2 : 1
  const [first, second] = directories
  if (first === undefined || directories.length !== expected) {
    throw new TravertineError(
      'CONFIG_INVALID',
      `Cannot verify: found ${directories.length} directories, expected ${expected}`,
      {
        hint: expected === 1 ? 'to compare two logs: travertine verify --compare A B' : 'name two data directories',
      },
    )
  }
  const progress = new SlowProgress('MiB')
  const onProgress = (done: number, total: number): void => progress.update(mib(done), mib(total), '')
  const disk = new NodeDisk()
  const startedAt = performance.now()
  try {
    if (second === undefined) {
      const report = await verifyLog({ directory: first, disk, onProgress })
      progress.stop()
      showVerified(report, (performance.now() - startedAt) / 1000, options.json === true)
    } else {
      const report = await compareLogs({ directories: [first, second], disk, onProgress })
      progress.stop()
      showCompared(report, (performance.now() - startedAt) / 1000, options.json === true)
    }
  } finally {
    progress.stop()
  }
}

function showVerified(report: VerifyReport, seconds: number, json: boolean): void {
  const { directory, findings, findingCount } = report
  const first = findings[0]
  const error =
    first === undefined
      ? undefined
      : summary(
          first,
          `Cannot vouch for ${directory}: found ${count(findingCount, 'fault')}, expected none; the first: ${first.message}`,
        )
  if (json)
    printJson({
      ok: error === undefined,
      ...report,
      findings: findings.map(toWireError),
      seconds,
      ...errorField(error),
    })
  else printVerified(report, seconds, coloursOf(process.stdout))
  fail(error)
}

function printVerified(report: VerifyReport, seconds: number, colours: Colours): void {
  const { directory, role, channels, epochs, whole, divergentFiles, findings, findingCount } = report
  printLine(`${role} ${directory}, ${count(channels.length, 'channel')}`)
  for (const channel of channels) printLine(channelText(channel))
  printLine(`epochs      ${epochs} whole, the last is ${whole}`)
  if (divergentFiles > 0)
    printLine(`divergent   ${count(divergentFiles, 'file')}; see: travertine inspect ${directory}`)
  for (const finding of findings) printLine(`${colours.bold('FAULT')} ${errorText(finding, colours)}`)
  if (findingCount > findings.length) printLine(`... and ${findingCount - findings.length} more`)
  const bytes = channels.reduce((sum, channel) => sum + channel.bytes, 0)
  const verdict = findingCount === 0 ? colours.green('no fault found') : colours.red(count(findingCount, 'fault'))
  printLine(`${verdict} in ${(bytes / MIB).toFixed(1)} MiB, ${seconds.toFixed(1)} s`)
}

function channelText({
  channel,
  firstPosition,
  end,
  tail,
  wholeEnd,
  frames,
  sessions,
  entries,
  recoveryPoint,
}: VerifiedChannel): string {
  const beyond = end > wholeEnd ? `, whole up to ${wholeEnd}` : ''
  const point = recoveryPoint === 'none' ? '' : `, recovery point ${recoveryPoint}`
  const figures = `${count(frames, 'frame')}, ${count(sessions, 'session')}, ${entries === 1 ? '1 entry' : `${entries} entries`}`
  return `channel ${String(channel).padEnd(3)} ${firstPosition} to ${end} (${tail})${beyond}: ${figures}${point}`
}

function showCompared(report: CompareReport, seconds: number, json: boolean): void {
  const { directories, channels, partings, sharedTerms } = report
  const error = partings[0]?.error
  if (json) {
    const parts = partings.map((parting) => ({ ...parting, error: toWireError(parting.error) }))
    printJson({
      ok: error === undefined,
      same: error === undefined,
      ...report,
      partings: parts,
      seconds,
      ...errorField(error),
    })
  } else {
    const colours = coloursOf(process.stdout)
    printLine(`A ${directories[0]}`)
    printLine(`B ${directories[1]}`)
    printLine(`terms       ${sharedTerms} shared`)
    for (const { channel, ends, sameUpTo } of channels) {
      printLine(
        `channel ${String(channel).padEnd(3)} the same up to ${sameUpTo}; A ends at ${ends[0]}, B at ${ends[1]}`,
      )
    }
    for (const parting of partings) printLine(`${colours.bold('PARTED')} ${errorText(parting.error, colours)}`)
    printLine(
      partings.length > 0 ? colours.red('two histories') : `${colours.green('one history')}, ${shorterText(report)}`,
    )
  }
  fail(error)
}

function shorterText({ channels }: CompareReport): string {
  const aIsShorter = channels.some(({ ends }) => ends[0] < ends[1])
  const bIsShorter = channels.some(({ ends }) => ends[1] < ends[0])
  if (aIsShorter && bIsShorter) return 'each is behind on some channel'
  if (aIsShorter || bIsShorter) return `${aIsShorter ? 'A' : 'B'} is behind`
  return 'of the same length'
}

/** The result is printed; what is left is to say on stderr, and by the exit code, that it is a bad one. */
function fail(error: TravertineError | undefined): void {
  if (error === undefined) return
  say(errorText(error, coloursOf(process.stderr)))
  process.exitCode = exitCodeOf(error)
}

function summary(first: TravertineError, message: string): TravertineError {
  return new TravertineError(first.code, message, { where: first.where, hint: first.hint })
}

function errorField(error: TravertineError | undefined): { readonly error?: WireError } {
  return error === undefined ? {} : { error: toWireError(error) }
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
const mib = (bytes: number): number => Math.floor(bytes / MIB)
