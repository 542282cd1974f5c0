/**
 * `travertine init`: creates the data directory of a master or a replica, and says what to do next.
 *
 * The only command that creates one; an existing directory is never touched unless it is empty.
 */
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { HOST_DEFAULT, PORT_DEFAULT } from '../config/defaults.ts'
import { initNode } from '../daemon/node.ts'
import { TravertineError } from '../protocol/errors.ts'
import {
  CHANNEL_COUNT_LIMIT,
  SEGMENT_BYTES_DEFAULT,
  SEGMENT_BYTES_LIMIT,
  SEGMENT_BYTES_MIN,
} from '../protocol/limits.ts'
import type { Manifest, Role } from '../wal/manifest.ts'
import { askNode } from './ask-status.ts'
import { newCommand, nodeAddress, nodeAddresses, path, wholeNumber } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { coloursOf, printJson, printLine } from './output.ts'
import { addSecurityOptions, readSecurityOptions, type SecurityOptions } from './security-options.ts'

interface Options extends SecurityOptions {
  readonly role?: Role
  readonly join?: string
  readonly clusterId?: string
  readonly channels?: number
  readonly segmentBytes: number
  readonly replica: readonly string[]
  readonly json?: boolean
}

export function initCommand(): Command {
  const command = newCommand({
    name: 'init',
    summary: 'create a data directory',
    description:
      'Creates the data directory of a master or a replica. DIRECTORY must be empty or not exist. A master founds a ' +
      'new cluster unless it is given the id of one; a replica needs the id, and the same number of channels: with --join ' +
      'it asks a running node for both. Afterwards `member add` makes it a member.',
    examples: [
      'travertine init /data/a --role master --channels 2 --replica 10.0.0.2:7400',
      'travertine init /data/c --join 10.0.0.1:7400',
      'travertine init /data/b --role replica --channels 2 --cluster-id 6f1f0c1e-8c3c-4e62-9d0a-2f8f3a1f7b55',
    ],
    exitCodes: [ExitCode.DIRECTORY, ExitCode.DISK, ExitCode.NETWORK],
  })
    .argument('<directory>', 'where to create it', path)
    .addOption(new Option('--role <role>', 'what the node starts as').choices(['master', 'replica']))
    .addOption(
      new Option('--join <host:port>', 'be a replica of the cluster of this node, which runs')
        .argParser(nodeAddress)
        .conflicts(['clusterId', 'channels', 'replica']),
    )
    .option('--cluster-id <uuid>', 'cluster to belong to; a replica needs it')
    .option(
      '--channels <number>',
      `log channels of the cluster, fixed for ever: 1 to ${CHANNEL_COUNT_LIMIT}; 1 without it`,
      wholeNumber(1, CHANNEL_COUNT_LIMIT),
    )
    .option(
      '--segment-bytes <number>',
      'size of the files of the log; a node keeps some of them prepared ahead',
      wholeNumber(SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT),
      SEGMENT_BYTES_DEFAULT,
    )
    .option(
      '--replica <host:port>',
      'a replica of this master, all of which count for PROPAGATED; may be repeated',
      nodeAddresses,
      [],
    )
  return addSecurityOptions(command).action(init)
}

async function init(directory: string, options: Options): Promise<void> {
  const { join, segmentBytes, replica: replicas, json } = options
  const role = options.role ?? (join === undefined ? undefined : 'replica')
  if (role === undefined || (join !== undefined && role !== 'replica')) throw wrongRole(role)
  const { clusterId, channels = 1 } = join === undefined ? options : await clusterOf(join, options)
  const manifest = initNode({
    directory,
    role,
    channels,
    segmentBytes,
    replicas,
    ...(clusterId === undefined ? {} : { clusterId }),
  })
  if (json !== true) {
    explain(directory, manifest, join)
    return
  }
  printJson({
    ok: true,
    directory: resolve(directory),
    role,
    clusterId: manifest.clusterId,
    nodeId: manifest.nodeId,
    channels,
    segmentBytes,
    replicas,
  })
}

function wrongRole(role: Role | undefined): TravertineError {
  const found = role === undefined ? "required option '--role <role>' not specified" : `--role ${role} beside --join`
  return new TravertineError('CONFIG_INVALID', `Cannot read the command line: ${found}`, {
    hint: 'a master founds a cluster, a replica may join a running one; see --help',
  })
}

/** Id and channel count, as a node says that runs. @throws what kept it from answering */
async function clusterOf(address: string, options: SecurityOptions): Promise<{ clusterId: string; channels: number }> {
  const { status, error } = await askNode(address, readSecurityOptions(options, 'reader'))
  if (status === undefined) throw error ?? new TravertineError('CONNECT_FAILED', `Cannot ask ${address}`)
  return { clusterId: String(status['clusterId']), channels: Number(status['channels']) }
}

function explain(
  directory: string,
  { role, clusterId, channels, config: { members } }: Manifest,
  join: string | undefined,
): void {
  const { bold, dim } = coloursOf(process.stdout)
  printLine(`Created a ${bold(role)} in ${resolve(directory)}`)
  printLine(`cluster id  ${bold(clusterId)}`)
  printLine(`channels    ${channels}`)
  for (const { address } of members) printLine(`replica     ${address}`)
  printLine('')
  printLine(dim('What to do next:'))
  if (role === 'master') {
    for (const { address } of members) {
      printLine(`  create and run the replica that will listen on ${address}:`)
      printLine(`    travertine init REPLICA_DIRECTORY --role replica --channels ${channels} --cluster-id ${clusterId}`)
      printLine(`    travertine run REPLICA_DIRECTORY --host ${hostOf(address)} --port ${portOf(address)}`)
    }
    if (members.length === 0)
      printLine(
        '  it has no replica, so sessions reach STORED and never PROPAGATED; `travertine member add` changes that',
      )
  }
  printLine(`  run it; it listens on ${HOST_DEFAULT}:${PORT_DEFAULT} unless told otherwise by --host and --port:`)
  printLine(`    travertine run ${shellWord(directory)}`)
  if (join === undefined) return
  printLine('  make it a member, by the address that others reach it at:')
  printLine(`    travertine member add HOST:PORT --node ${join}`)
}

/** As a shell reads it back. */
const shellWord = (text: string): string =>
  /^[A-Za-z0-9_./:@%+=,][A-Za-z0-9_./:@%+=,-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

const portOf = (address: string): string => address.slice(address.lastIndexOf(':') + 1)
const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '')
