/**
 * `travertine load`: writes the records of a file or of stdin into a cluster, and says exactly what became of them.
 *
 * However it ends (done, bad input, a lost connection, Ctrl-C), the same account is printed: what was acknowledged, what
 * was sent without an answer, what was not sent. Ctrl-C stops the reading and waits for what is on its way; a second one
 * ends it at once.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Client, ClientError, connect, type Level, type LostSessions } from '../client/client.ts'
import { HOST_DEFAULT, PORT_DEFAULT } from '../config/defaults.ts'
import { TravertineError } from '../protocol/errors.ts'
import { CHANNEL_COUNT_LIMIT, SESSION_ENTRIES_LIMIT } from '../protocol/limits.ts'
import { newCommand, nodeAddress, path, wholeNumber } from './command-line.ts'
import { ExitCode, exitCodeOf, InterruptedError, type StopReason } from './exit-codes.ts'
import { openInput } from './load-input.ts'
import { LoadReport } from './load-report.ts'
import { FORMATS, type Format, Loader } from './loader.ts'
import { addSecurityOptions, readSecurityOptions, type SecurityOptions } from './security-options.ts'
import { StopRequest } from './stop-request.ts'

interface Options extends SecurityOptions {
  readonly address: string
  readonly key?: string
  readonly storage: bigint
  readonly level: Level
  readonly format: Format
  readonly channel?: number
  readonly batch: number
  readonly skipBad?: boolean
  readonly json?: boolean
}

const BATCH_DEFAULT = 1_000
/** Bad lines that are named one by one; the summary counts all. */
const BAD_LINES_SAID = 10

export function loadCommand(): Command {
  const command = newCommand({
    name: 'load',
    summary: 'write the records of a file or of stdin',
    description:
      'Writes each record as one put: its key is the value of a field, its value the bytes of the record as they stand ' +
      'in the input. Records of one session survive together or not at all. Ctrl-C stops reading, waits for what is on ' +
      'its way, and says what was acknowledged. Loading the same records again is harmless.',
    examples: [
      'travertine load cities.ndjson --key id --address 10.0.0.1:7400',
      'zcat log.gz | travertine load - --format lines --level stored',
      'travertine load cities.json --format json --key id --skip-bad --json',
    ],
    exitCodes: [
      ExitCode.LOG,
      ExitCode.DISK,
      ExitCode.NETWORK,
      ExitCode.INPUT,
      ExitCode.INTERRUPTED,
      ExitCode.TERMINATED,
    ],
  })
    .argument('<file>', 'what to read; - is stdin', path)
    .option('--address <host:port>', 'a node of the cluster', nodeAddress, `${HOST_DEFAULT}:${PORT_DEFAULT}`)
    .option(
      '--key <field>',
      'field whose value becomes the key: a text or a number. With lines: the number of the line',
    )
    .addOption(new Option('--storage <number>', 'storage id to write to').argParser(storageId).default(1n, '1'))
    .addOption(
      new Option('--level <level>', 'what counts as acknowledged')
        .choices(['stored', 'propagated'])
        .default('propagated'),
    )
    .addOption(
      new Option('--format <format>', 'ndjson: an object per line; json: one array').choices(FORMATS).default('ndjson'),
    )
    .option(
      '--channel <number>',
      'log channel to write on; without it one is chosen',
      wholeNumber(0, CHANNEL_COUNT_LIMIT - 1),
    )
    .option('--batch <number>', 'records per session at most', wholeNumber(1, SESSION_ENTRIES_LIMIT), BATCH_DEFAULT)
    .option('--skip-bad', 'leave bad records out, and count them, instead of stopping at the first')
  return addSecurityOptions(command).action(load)
}

async function load(file: string, options: Options): Promise<void> {
  checkKey(options)
  const input = openInput(file)
  const report = new LoadReport({ input, level: options.level, json: options.json === true })
  const stop = new StopRequest({ hangUp: 'stop', beforeExit: () => report.printAtOnce() })
  let failure: unknown
  let client: Client | undefined
  let loader: Loader | undefined
  try {
    client = await stop.during(
      open(options, (lost) => loader?.lost(lost)),
      'connect',
    )
    const channel = await stop.during(client.openChannel(channelOption(options)), 'open a channel')
    let said = 0
    loader = new Loader({
      input,
      format: options.format,
      key: options.key,
      storage: options.storage,
      level: options.level,
      batch: options.batch,
      skipBad: options.skipBad === true,
      channel,
      stopped: stop.requested,
      onProgress: () => report.update(),
      onBad: (line, found) => {
        said++
        if (said <= BAD_LINES_SAID) report.note(`line ${line} is left out: found ${found}`)
        if (said === BAD_LINES_SAID) report.note('further bad lines are only counted')
      },
      onAway: (isAway) =>
        report.note(isAway ? 'the connection is lost; goes on when there is a master again' : 'goes on'),
      onSilence: ({ records }) =>
        report.note(
          `no answer for 3 s; records that wait for ${options.level.toUpperCase()}: ${records}; "travertine status" shows what keeps them`,
        ),
    })
    report.begin(loader.tally, channel)
    void stop.requested.then(() =>
      report.note('stops reading, and waits for what is on its way; a second signal ends it at once'),
    )
    await loader.run()
    if (stop.reason !== undefined) failure = new InterruptedError('load all records', stop.reason)
  } catch (thrown) {
    failure = stop.reason === undefined ? thrown : afterStop(thrown, stop.reason)
  }
  report.finish(failure)
  if (failure !== undefined) process.exitCode = exitCodeOf(failure)
  await client?.close({ signal: AbortSignal.abort() }) // nothing is on its way any more
}

/** Whoever has stopped a load wants to hear that it was stopped, and what the wait for the rest has met. */
function afterStop(thrown: unknown, reason: StopReason): unknown {
  if (!(thrown instanceof ClientError)) return thrown
  return new InterruptedError(
    `load all records, nor wait for those on their way (${thrown.code}: ${thrown.message})`,
    reason,
  )
}

/** @throws CONFIG_INVALID */
function checkKey({ key, format }: Options): void {
  const isWanted = format !== 'lines'
  if (isWanted === (key !== undefined)) return
  const found = isWanted ? 'no --key' : '--key'
  const expected = isWanted
    ? `the field of each record whose value becomes the key`
    : 'none, as a line of text has no fields'
  throw new TravertineError(
    'CONFIG_INVALID',
    `Cannot load: found ${found} with --format ${format}, expected ${expected}`,
    {
      hint: isWanted ? 'for lines of text, with the number of the line as key: --format lines' : 'leave --key out',
    },
  )
}

/** @throws NO_REPLICA_IN_SET before anything is read or sent */
async function open(options: Options, onLost: (lost: LostSessions) => void): Promise<Client> {
  const { address, level } = options
  const client = await connect({ address, onLost, security: readSecurityOptions(options, 'writer') })
  if (level === 'stored' || client.info.replicas > 0) return client
  await client.close()
  throw new TravertineError(
    'NO_REPLICA_IN_SET',
    'Cannot load to the level propagated: found no replica that the master asks for',
    {
      where: { peer: address },
      hint: 'load with --level stored, or add a replica: travertine member add',
    },
  )
}

const channelOption = ({ channel }: Options): { readonly channel?: number } =>
  channel === undefined ? {} : { channel }

/** Parser of a storage id: any u64. */
function storageId(text: string): bigint {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n
  if (value >= 0n && value < 1n << 64n) return value
  throw new InvalidArgumentError('Expected a storage id: a whole number from 0 to 2^64 - 1.')
}
