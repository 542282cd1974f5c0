/**
 * `travertine init`: creates the data directory of a master or a replica, and says what to do next.
 *
 * The only command that creates one; an existing directory is never touched unless it is empty.
 */
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { HOST_DEFAULT, PORT_DEFAULT } from '../config/defaults.ts'
import { initNode } from '../daemon/node.ts'
import {
  CHANNEL_COUNT_LIMIT,
  SEGMENT_BYTES_DEFAULT,
  SEGMENT_BYTES_LIMIT,
  SEGMENT_BYTES_MIN,
} from '../protocol/limits.ts'
import type { Manifest, Role } from '../wal/manifest.ts'
import { collect, newCommand, path, wholeNumber } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { coloursOf, printJson, printLine } from './output.ts'

interface Options {
  readonly role: Role
  readonly clusterId?: string
  readonly channels: number
  readonly segmentBytes: number
  readonly replica: readonly string[]
  readonly json?: boolean
}

export function initCommand(): Command {
  return newCommand({
    name: 'init',
    summary: 'create a data directory',
    description:
      'Creates the data directory of a master or a replica. DIRECTORY must be empty or not exist. A master founds a ' +
      'new cluster unless it is given the id of one; a replica needs the id, and the same number of channels.',
    examples: [
      'travertine init /data/a --role master --channels 2 --replica 10.0.0.2:7400',
      'travertine init /data/b --role replica --channels 2 --cluster-id 6f1f0c1e-8c3c-4e62-9d0a-2f8f3a1f7b55',
    ],
    exitCodes: [ExitCode.DIRECTORY, ExitCode.DISK],
  })
    .argument('<directory>', 'where to create it', path)
    .addOption(
      new Option('--role <role>', 'what the node starts as').choices(['master', 'replica']).makeOptionMandatory(),
    )
    .option('--cluster-id <uuid>', 'cluster to belong to; a replica needs it')
    .option(
      '--channels <number>',
      `log channels of the cluster, fixed for ever: 1 to ${CHANNEL_COUNT_LIMIT}`,
      wholeNumber(1, CHANNEL_COUNT_LIMIT),
      1,
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
      collect,
      [],
    )
    .action(init)
}

function init(directory: string, options: Options): void {
  const { role, clusterId, channels, segmentBytes, replica: replicas, json } = options
  const manifest = initNode({
    directory,
    role,
    channels,
    segmentBytes,
    replicas,
    ...(clusterId === undefined ? {} : { clusterId }),
  })
  if (json !== true) {
    explain(directory, manifest)
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

function explain(directory: string, { role, clusterId, channels, config: { members } }: Manifest): void {
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
        '  it has no replica, so sessions reach STORED and never PROPAGATED; init again with --replica to change that',
      )
  }
  printLine(`  run it; it listens on ${HOST_DEFAULT}:${PORT_DEFAULT} unless told otherwise by --host and --port:`)
  printLine(`    travertine run ${directory}`)
}

const portOf = (address: string): string => address.slice(address.lastIndexOf(':') + 1)
const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '')
