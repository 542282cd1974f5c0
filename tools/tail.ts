/**
 * `travertine tail`: the committed entries of a node, from an epoch on, one JSON object per line; with --follow those to
 * come as well.
 *
 * What is printed is committed and never taken back. A reader of the output that is slow slows down the node's sending, and
 * nothing gathers here. With --follow Ctrl-C is the ordinary end.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type CommittedEntry, type CommittedEpoch, type SubscribeOptions, subscribe } from '../client/client.ts'
import { HOST_DEFAULT, PORT_DEFAULT } from '../config/defaults.ts'
import { TravertineError } from '../protocol/errors.ts'
import { newCommand, nodeAddress, wholeNumber } from './command-line.ts'
import { ExitCode, InterruptedError } from './exit-codes.ts'
import { entryFields } from './frame-text.ts'
import { coloursOf, errorText, outputRoom, printJson, say } from './output.ts'
import { addSecurityOptions, readSecurityOptions, type SecurityOptions } from './security-options.ts'
import { StopRequest } from './stop-request.ts'

interface Options extends SecurityOptions {
  readonly from: bigint
  readonly follow?: boolean
  readonly storage?: readonly bigint[]
  readonly limit?: number
}

/** Lines between two looks at whether whoever reads them keeps up. */
const LINES_PER_WAIT = 256
/** Without --follow somebody waits for the end. */
const RECONNECT_MS = 30_000

export function tailCommand(): Command {
  const command = newCommand({
    name: 'tail',
    summary: 'print committed entries of a running node',
    description:
      'Prints the committed entries of a master or a replica, from the oldest or from an epoch on, one JSON object per ' +
      'line, in the order of the log: PROPAGATED ones, or STORED ones where the cluster has no replica. Ends with what is ' +
      'committed now; with --follow it goes on until Ctrl-C, over restarts of the node.',
    examples: [
      'travertine tail 10.0.0.1:7400',
      'travertine tail --from 1200 --storage 7 --limit 20',
      'travertine tail 10.0.0.2:7400 --follow | jq .key',
    ],
    exitCodes: [ExitCode.LOG, ExitCode.DISK, ExitCode.NETWORK, ExitCode.INTERRUPTED, ExitCode.TERMINATED],
  })
    .argument(
      '[host:port]',
      'control channel of a node, master or replica',
      nodeAddress,
      `${HOST_DEFAULT}:${PORT_DEFAULT}`,
    )
    .addOption(
      new Option('--from <epoch>', 'begin with the entries of this epoch').argParser(u64).default(0n, 'the oldest'),
    )
    .option('--follow', 'go on with what is written from now on')
    .addOption(
      new Option('--storage <number>', 'only entries of this storage; may be repeated').argParser(moreStorages),
    )
    .option('--limit <number>', 'entries at most', wholeNumber(1, Number.MAX_SAFE_INTEGER))
  return addSecurityOptions(command).action(tail)
}

async function tail(address: string, options: Options): Promise<void> {
  const stop = new StopRequest({ hangUp: 'stop' })
  const follow = options.follow === true
  const end = new AbortController()
  void stop.requested.then(() => end.abort())
  try {
    const lines = await print(address, options, end.signal)
    if (lines === 0) say('found no committed entries')
  } catch (thrown) {
    if (stop.reason === undefined) throw thrown
    if (!follow) throw new InterruptedError('print all committed entries', stop.reason)
  }
}

/** @returns how many lines */
async function print(address: string, options: Options, signal: AbortSignal): Promise<number> {
  const subscription = await subscribe(subscribeOptions(address, options, signal))
  let lines = 0
  for await (const epoch of subscription) {
    for (const entry of epoch.entries()) {
      printJson(fields(epoch, entry))
      lines++
      if (lines === options.limit) return lines // leaving the loop closes the subscription
      if (lines % LINES_PER_WAIT === 0) await outputRoom()
    }
    await outputRoom()
  }
  return lines
}

function subscribeOptions(address: string, options: Options, signal: AbortSignal): SubscribeOptions {
  const { from, follow, storage } = options
  return {
    address,
    security: readSecurityOptions(options, 'reader'),
    fromEpoch: from,
    follow: follow === true,
    signal,
    ...(storage === undefined ? {} : { storages: storage }),
    ...(follow === true ? {} : { reconnectMs: RECONNECT_MS }),
    onLost: (error) => {
      const text = error instanceof TravertineError ? errorText(error, coloursOf(process.stderr)) : error.message
      say(`connects again: ${text}`)
    },
    onResumed: ({ address: found }) => say(`goes on at ${found}`),
  }
}

function fields({ term, epoch }: CommittedEpoch, entry: CommittedEntry): object {
  const { channel, position, index } = entry
  return { epoch, term: term.number, ...entryFields({ channel, position, epoch, index }, entry) }
}

function moreStorages(text: string, before: readonly bigint[] | undefined): readonly bigint[] {
  return [...(before ?? []), u64(text)]
}

function u64(text: string): bigint {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n
  if (value >= 0n && value < 1n << 64n) return value
  throw new InvalidArgumentError('Expected a whole number from 0 to 2^64 - 1.')
}
