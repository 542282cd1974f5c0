/**
 * `travertine inspect`: what is in a data directory, for people who want to know before they act.
 *
 * Only reads, takes no lock, works while a node runs there. A damaged channel is reported with file and position, and the
 * exit code says so; everything else is shown all the same.
 */
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { TravertineError, toWireError } from '../protocol/errors.ts'
import { CHANNEL_COUNT_LIMIT, KIB, MIB } from '../protocol/limits.ts'
import { NodeDisk } from '../wal/node-disk.ts'
import { newCommand, path, wholeNumber } from './command-line.ts'
import { ExitCode, exitCodeOf } from './exit-codes.ts'
import { channelsIn, memberText } from './frame-text.ts'
import { type ListResult, listFrames } from './inspect-frames.ts'
import { producerLines } from './inspect-producers.ts'
import { type InspectedChannel, type InspectReport, inspectDirectory } from './inspect-report.ts'
import { type Colours, coloursOf, errorText, outputRoom, printJson, printLine, say } from './output.ts'

interface Options {
  readonly channel?: number
  readonly frames?: boolean
  readonly entries?: boolean
  readonly from: bigint
  readonly limit: number
  readonly json?: boolean
}

const LIMIT_DEFAULT = 100

export function inspectCommand(): Command {
  return newCommand({
    name: 'inspect',
    summary: 'show what is in a data directory',
    description:
      'Shows role, terms and members of a data directory, and per channel its files, where its log begins and ends, ' +
      'its seals, the last whole epoch and what lies beyond it, its producers with their last and missing sessions, and what was cut off and kept in divergent/. With ' +
      '--frames and --entries the log itself. Only reads; the node may be running.',
    examples: [
      'travertine inspect /data/a',
      'travertine inspect /data/a --entries --from 100 --limit 20',
      'travertine inspect /data/a --channel 0 --frames --limit 1000000 --json',
    ],
    exitCodes: [ExitCode.DIRECTORY, ExitCode.LOG, ExitCode.DISK],
  })
    .argument('<directory>', 'data directory', path)
    .option('--channel <number>', 'only this channel', wholeNumber(0, CHANNEL_COUNT_LIMIT - 1))
    .option('--frames', 'show the frames of the log')
    .option('--entries', 'show the entries of the log')
    .addOption(
      new Option('--from <epoch>', 'begin with the frames of this epoch')
        .argParser(epochNumber)
        .default(0n, 'the oldest'),
    )
    .option('--limit <number>', 'frames and entries at most', wholeNumber(1, Number.MAX_SAFE_INTEGER), LIMIT_DEFAULT)
    .action(inspect)
}

async function inspect(given: string, options: Options): Promise<void> {
  const disk = new NodeDisk()
  const report = inspectDirectory(disk, resolve(given))
  const { channel, json } = options
  if (channel !== undefined && channel >= report.manifest.channels) {
    throw new TravertineError(
      'CHANNEL_UNKNOWN',
      `Cannot inspect channel ${channel}: found ${report.manifest.channels} channels, expected more`,
      {
        where: { file: report.directory, channel },
        hint: `channels are 0 to ${report.manifest.channels - 1}`,
      },
    )
  }
  const shown = { ...report, channels: report.channels.filter((c) => channel === undefined || c.channel === channel) }
  if (json !== true) printReport(shown, coloursOf(process.stdout))
  const list: ListResult = wantsList(options)
    ? await listFrames({
        disk,
        report,
        channel,
        frames: options.frames === true,
        entries: options.entries === true,
        fromEpoch: options.from,
        limit: options.limit,
        json: json === true,
        print: (line) => (typeof line === 'string' ? printLine(line) : printJson(line)),
        room: outputRoom,
      })
    : { isCut: false, errors: [] }
  const errors = distinct([...shown.channels.flatMap(({ error }) => error ?? []), ...list.errors])
  if (json === true)
    printJson({
      ok: errors.length === 0,
      ...jsonReport(shown),
      ...(wantsList(options) ? { isCut: list.isCut } : {}),
      ...errorFields(errors),
    })
  else for (const error of list.errors) printLine(`FAULT ${errorText(error, coloursOf(process.stdout))}`)
  if (json !== true && list.isCut) printLine(`... and more; shown were ${options.limit}, see --limit and --from`)
  const first = errors[0]
  if (first === undefined) return
  const message = `Cannot show all of ${report.directory}: found ${errors.length} ${errors.length === 1 ? 'fault' : 'faults'}, expected none; the first: ${first.message}`
  say(
    errorText(
      new TravertineError(first.code, message, { where: first.where, hint: first.hint }),
      coloursOf(process.stderr),
    ),
  )
  process.exitCode = exitCodeOf(first)
}

const wantsList = ({ frames, entries }: Options): boolean => frames === true || entries === true

/** Summary and listing come to the same places by themselves. */
function distinct(errors: readonly TravertineError[]): TravertineError[] {
  return [
    ...new Map(errors.map((error) => [`${error.code} ${error.where.file} ${error.where.offset}`, error])).values(),
  ]
}

function errorFields(errors: readonly TravertineError[]): object {
  return errors[0] === undefined ? {} : { error: toWireError(errors[0]), errors: errors.map(toWireError) }
}

function jsonReport({ directory, manifest, whole, missing, channels, divergent }: InspectReport): object {
  return {
    directory,
    ...manifest,
    fence: manifest.fence ?? null,
    whole: whole ?? null,
    missing: missing ?? null,
    channels: channels.map((channel) => ({
      ...channel,
      lastSeal: channel.lastSeal && { ...channel.lastSeal, participants: channelsIn(channel.lastSeal.participants) },
      error: channel.error === undefined ? null : toWireError(channel.error),
    })),
    divergent,
  }
}

function printReport(report: InspectReport, colours: Colours): void {
  const { manifest, divergent, directory } = report
  const { role, config, fence, history } = manifest
  printLine(`${colours.bold(role)} ${directory}`)
  printLine(`cluster     ${manifest.clusterId}`)
  printLine(`node        ${manifest.nodeId}`)
  printLine(`channels    ${manifest.channels}, in segments of ${sizeText(manifest.segmentBytes)}`)
  for (const member of config.members) printLine(`member      ${memberText(member)}`)
  printLine(`config      number ${config.number}, quorum ${config.quorum}, loosened ${config.loosened} times`)
  printLine(`fence       ${fence === undefined ? 'none' : `term ${fence.number} of node ${fence.nodeId}`}`)
  for (const { term, firstEpoch, baseEpoch, starts } of history) {
    const where = `epochs from ${firstEpoch} on, behind epoch ${baseEpoch}, positions ${starts.join(', ')}`
    printLine(`term ${String(term.number).padEnd(6)} node ${term.nodeId}, tag ${term.tag}: ${where}`)
  }
  if (history.length === 0) printLine('terms       none: no master has written here yet')
  printLine(`epochs      ${wholeText(report)}`)
  for (const channel of report.channels) printChannel(channel, colours)
  for (const { file, channel, from, bytes, before } of divergent) {
    printLine(
      `divergent   ${file}: channel ${channel}, ${bytes} bytes from position ${from} on, cut off by term ${before}`,
    )
  }
}

function wholeText({ whole, missing }: InspectReport): string {
  if (whole === undefined) return 'the last whole one is unknown, as a channel cannot be read'
  const last = whole === 0n ? 'none is whole yet' : `the last whole one is ${whole}`
  return missing === undefined
    ? last
    : `${last}; ${missing.epoch} has no seal on channel ${missing.channels.join(', ')}`
}

function printChannel(channel: InspectedChannel, colours: Colours): void {
  const {
    segments,
    firstPosition,
    end,
    tail,
    scannedFrom,
    sealCount,
    lastSeal,
    wholeEnd,
    beyond,
    recoveryPoint,
    producers,
    error,
  } = channel
  printLine(colours.bold(`channel ${channel.channel}`))
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  printLine(
    `  files     ${segments.length} of ${sizeText(bytes)}: ${segments[0]?.file ?? 'none'}${segments.length > 1 ? ` to ${segments.at(-1)?.file}` : ''}`,
  )
  if (end !== undefined)
    printLine(`  log       positions ${firstPosition} to ${end}, ${tail === 'clean' ? 'clean' : 'torn tail'}`)
  if (sealCount !== undefined) {
    const last =
      lastSeal === undefined
        ? ''
        : `, the last of epoch ${lastSeal.epoch} in term ${lastSeal.term}, ending at ${lastSeal.end}`
    printLine(`  seals     ${sealCount} from position ${scannedFrom} on${last}`)
  }
  if (wholeEnd !== undefined)
    printLine(
      `  whole     up to position ${wholeEnd}${beyond === undefined || beyond.bytes === 0 ? '' : `; beyond it ${beyondText(beyond)}`}`,
    )
  if (recoveryPoint !== undefined) {
    const { position, epoch, stored } = recoveryPoint
    printLine(
      `  recovery  begins at position ${position}, behind the seal of epoch ${epoch}; epoch ${stored} was STORED`,
    )
  }
  for (const [i, line] of (producers === undefined ? [] : producerLines(producers)).entries())
    printLine(i === 0 ? `  producers ${line}` : `            ${line}`)
  if (error !== undefined) printLine(`  ${colours.bold('FAULT')}     ${errorText(error, colours)}`)
}

function beyondText({ bytes, frames, sessions, entries, seals }: NonNullable<InspectedChannel['beyond']>): string {
  return `${bytes} bytes: ${frames} frames, ${sessions} sessions, ${entries} entries, ${seals} seals`
}

const sizeText = (bytes: number): string =>
  bytes >= MIB ? `${Number((bytes / MIB).toFixed(1))} MiB` : `${Number((bytes / KIB).toFixed(1))} KiB`

/** Parser of an epoch: any u64. */
function epochNumber(text: string): bigint {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n
  if (value >= 0n && value < 1n << 64n) return value
  throw new InvalidArgumentError('Expected an epoch: a whole number from 0 to 2^64 - 1.')
}
