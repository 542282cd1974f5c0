/**
 * `npm run bench`: Travertine against the floor, in one run, with the same client and the same load.
 *
 * Progress goes to stderr, the report to stdout; with --json the last line of stdout is one JSON object. The exit code says
 * whether the measurement worked, not whether the targets were reached: a busy machine is no error.
 */
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { asError } from '../protocol/errors.ts'
import { CHANNEL_COUNT_LIMIT, GIB, MIB, SEGMENT_BYTES_DEFAULT } from '../protocol/limits.ts'
import { killChildren } from './child-process.ts'
import { renderTable, renderVerdicts, summarise } from './report.ts'
import { type RunSettings, roundBytesMax, roundsInAll, runBlocks, segmentsAheadFor, workloadNamed } from './rounds.ts'
import { makeScratch, type Scratch } from './scratch.ts'
import { removeOnSignal } from './signals.ts'
import { SYSTEM_NAMES, type SystemName } from './systems.ts'
import { WORKLOADS, type Workload } from './workloads.ts'

const FLOOR_TEXT = `The floor is bare Node: sockets, one prepared file and fdatasync per channel, on a "master" and a "replica" process on this
machine. It reads frame lengths and nothing else: no CRC, no stamping, no log, no checks. Both systems are driven by the
client library of this project over loopback, wait for PROPAGATED, and share one disk. Both write to files that were
prepared before the first round: Travertine's --segments-ahead is set so high that no round outruns it, and with a low
one here a load is measured that does. Figures are medians over rounds; ratios are taken pair by pair. (DESIGN 11 had 0.26 ms, 155,000 commits/s and 2,840,000 entries/s for its floor, with a raw
client on another machine: compare ratios, not figures.)`

interface CommandOptions {
  readonly json: boolean
  readonly quick: boolean
  readonly channels: readonly number[]
  readonly replicas: number
  readonly segmentsAhead?: number
  readonly rounds: number
  readonly seconds: number
  readonly bytes: number
  readonly only: readonly Workload[]
  readonly candidate: SystemName
  readonly base: SystemName
  readonly dir?: string
  readonly profile?: string
}

/** Pairs before those that count; with --quick none. */
const WARM_UP_PAIRS = 2
const QUICK = { channels: [1], rounds: 1, seconds: 0.3, bytes: 0.125 }

await main()

async function main(): Promise<void> {
  const command = buildCommand().parse()
  const options = withQuick(command)
  const print = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`)
  let scratch: Scratch | undefined
  try {
    const settings = runSettings(options)
    scratch = makeScratch(options.dir, scratchBytesNeeded(settings))
    removeOnSignal([scratch], clearProgress)
    for (const warning of scratch.warnings) process.stderr.write(`warning: ${warning}\n`)
    const blocks = await runBlocks({ ...settings, scratch: scratch.path, onProgress })
    clearProgress()
    const report = summarise(blocks)
    print(`${FLOOR_TEXT}\n\n${machineText()}\n`)
    print(renderTable(report, options))
    if (options.candidate === 'travertine' && options.base === 'floor')
      print(`\n${renderVerdicts(blocks, report).join('\n')}`)
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  } catch (error) {
    clearProgress()
    process.stderr.write(`${asError(error).message}\n`)
    process.exitCode = 1
    killChildren()
  }
  scratch?.remove()
}

function buildCommand(): Command {
  return new Command('npm run bench --')
    .description('measures Travertine against the floor: bare Node sockets, a prepared file and fdatasync')
    .option('--json', 'end with one line of JSON on stdout; the table goes to stderr', false)
    .option('--quick', 'one short round on one channel: shows that it works, measures little', false)
    .option('--channels <list>', 'channel counts', channelList, [1, 2, 4])
    .option('--replicas <n>', 'replicas that PROPAGATED asks for', count, 1)
    .option('--segments-ahead <n>', 'files that Travertine prepares per channel; default: enough for all rounds', count)
    .option('--rounds <n>', 'rounds of each system per workload', count, 7)
    .option(
      '--seconds <s>',
      'measured seconds of a round, at most; a third more to warm up, and two pairs of rounds of each workload',
      positive,
      1.2,
    )
    .option('--bytes <gib>', 'GiB of sessions that the whole run may send, warm-up included', positive, 4)
    .addOption(
      new Option('--only <list>', 'workloads: one, many, bulk')
        .argParser(workloadList)
        .default(WORKLOADS, 'all of them'),
    )
    .option('--dir <path>', 'where to write, on a real disk; default: the temporary directory of the system')
    .option('--profile <dir>', 'leave a CPU profile of each thread there')
    .addOption(
      new Option('--candidate <system>', 'what to compare with the floor; the floor itself shows the noise')
        .choices(SYSTEM_NAMES)
        .default('travertine'),
    )
    .addOption(
      new Option(
        '--base <system>',
        'compare with this instead; travertine, and watched for --candidate: cost of scrapes and logs',
      )
        .choices(SYSTEM_NAMES)
        .default('floor'),
    )
    .addHelpText('after', '\nExample: npm run -s bench -- --json --channels 1 --only one,many')
}

/** --quick changes the defaults, never what was asked for. */
function withQuick(command: Command): CommandOptions {
  const options = command.opts<CommandOptions>()
  if (!options.quick) return options
  const given = Object.keys(QUICK).filter((name) => command.getOptionValueSource(name) === 'cli')
  const quick = Object.fromEntries(Object.entries(QUICK).filter(([name]) => !given.includes(name)))
  return { ...options, ...quick }
}

function runSettings(options: CommandOptions): RunSettings {
  return {
    candidate: options.candidate,
    base: options.base,
    workloads: options.only,
    channelCounts: options.channels,
    replicas: options.replicas,
    segmentsAhead: options.segmentsAhead,
    rounds: options.rounds,
    warmUpPairs: options.quick ? 0 : WARM_UP_PAIRS,
    warmUpMs: (options.seconds * 1000) / 3,
    measureMs: options.seconds * 1000,
    bytesMax: options.bytes * GIB,
    // a quick run writes less than it would prepare otherwise
    segmentBytes: options.quick ? 8 * MIB : SEGMENT_BYTES_DEFAULT,
    profileDirectory: options.profile,
  }
}

/** Each node of Travertine has the files it prepares or the rounds fill, whichever is more; the floor one file per channel. */
function scratchBytesNeeded(settings: RunSettings): number {
  const { segmentBytes, workloads, replicas } = settings
  const filled = workloads.reduce((sum, workload) => sum + roundBytesMax(settings, workload), 0) * roundsInAll(settings)
  const perNode = settings.channelCounts.map((channels) => {
    const prepared = channels * (segmentsAheadFor(settings, channels) + 2) * segmentBytes
    return Math.max(prepared, 2 * filled + 4 * channels * segmentBytes) + channels * segmentBytes
  })
  return (1 + replicas) * Math.max(...perNode) + 64 * MIB
}

function onProgress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`)
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}

function machineText(): string {
  const processors = cpus()
  return `Node ${process.versions.node}, ${type()} ${release()}, ${processors.length} x ${processors[0]?.model.trim()}, ${Math.round(totalmem() / GIB)} GiB, load average at the end ${loadavg()[0]?.toFixed(1)}`
}

function channelList(text: string): number[] {
  const counts = text.split(',').map(Number)
  if (counts.every((n) => Number.isInteger(n) && n >= 1 && n <= CHANNEL_COUNT_LIMIT)) return counts
  throw new InvalidArgumentError(`expected numbers from 1 to ${CHANNEL_COUNT_LIMIT}, as in 1,2,4`)
}

function workloadList(text: string): Workload[] {
  const names = text.split(',')
  const unknown = names.find((name) => workloadNamed(name) === undefined)
  if (unknown !== undefined) throw new InvalidArgumentError(`"${unknown}" is none of one, many, bulk`)
  return WORKLOADS.filter(({ name }) => names.includes(name))
}

function count(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number from 1 to 9999')
}

function positive(text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('expected a number above 0')
}
