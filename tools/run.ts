/**
 * `travertine run`: one node in this process, until a signal ends it or it has to stop by itself.
 *
 * Never creates anything: a directory without a manifest is refused. stdout gets one line, when the node listens; the
 * log goes to stderr. Settings come from the command line, the environment and a file, in this order of precedence.
 *
 * The end: SIGTERM and SIGINT drain (sessions under way are answered) and close, within a limit; a second one ends the
 * process at once. SIGHUP reads the settings again. A node that stops by itself ends the process with its error.
 */
import { setFlagsFromString } from 'node:v8'
import { type Command, Option } from 'commander'
import {
  ADMIN_PORT_DEFAULT_TEXT,
  HOST_DEFAULT,
  LOG_FORMATS,
  LOG_LEVELS,
  type LogFormat,
  type LogLevel,
  PORT_DEFAULT,
  SEGMENTS_AHEAD_DEFAULT,
  SEGMENTS_AHEAD_LIMIT,
} from '../config/defaults.ts'
import { startNode, type TravertineNode } from '../daemon/node.ts'
import { newCommand, nodeAddresses, path, wholeNumber } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { ignoreBrokenPipe, printJson, printLine } from './output.ts'
import { StopRequest } from './stop-request.ts'
import { Systemd } from './systemd.ts'

export interface RunOptions {
  readonly config?: string
  readonly host?: string
  readonly port?: number
  /** `--no-admin` */
  readonly admin?: boolean
  readonly adminHost?: string
  readonly adminPort?: number
  readonly feed?: readonly string[]
  readonly segmentsAhead?: number
  readonly logFormat?: LogFormat
  readonly logLevel?: LogLevel
  readonly stopWithStdin?: boolean
  readonly json?: boolean
}

/** What `--json` prints when the node listens. */
export interface ReadyLine {
  readonly ok: true
  readonly role: 'master' | 'replica'
  readonly host: string
  readonly port: number
  readonly logPorts: readonly number[]
  /** Where the admin HTTP server listens; null: there is none. */
  readonly admin: { readonly host: string; readonly port: number } | null
  readonly pid: number
  readonly clusterId: string
  readonly nodeId: string
}

export function runCommand(): Command {
  return newCommand({
    name: 'run',
    summary: 'run the node of a data directory',
    description:
      'Runs the node whose data directory was made by `travertine init`; never creates one. Prints one line when it ' +
      'listens, logs to stderr, and stays until SIGTERM or Ctrl-C: then it answers what is under way, closes, and ' +
      'ends with 0. A second signal ends it at once. Settings come from the options, then the environment, then the ' +
      'file of --config, then the defaults; see `travertine config explain`. SIGHUP reads them again.',
    examples: [
      'travertine run /data/a',
      'travertine run /data/b --host 10.0.0.2 --port 7500 --log-format json',
      'travertine run --config /etc/travertine/master.toml',
    ],
    exitCodes: [
      ExitCode.DIRECTORY,
      ExitCode.LOG,
      ExitCode.DISK,
      ExitCode.NETWORK,
      ExitCode.INTERRUPTED,
      ExitCode.TERMINATED,
    ],
  })
    .argument('[directory]', 'data directory; needed unless the settings name it', path)
    .option('--config <file>', 'file of settings, TOML', path)
    .option('--host <address>', `address to listen on (default: ${HOST_DEFAULT})`)
    .option(
      '--port <number>',
      'port of the control channel; log channel k listens on port + 1 + k. 0: free ports, see the line on stdout ' +
        `(default: ${PORT_DEFAULT})`,
      wholeNumber(0, 65_535),
    )
    .option('--admin-host <address>', `address of the admin HTTP server (default: ${HOST_DEFAULT})`)
    .option(
      '--admin-port <number>',
      `port of the admin HTTP server; 0: a free one (default: ${ADMIN_PORT_DEFAULT_TEXT})`,
      wholeNumber(0, 65_535),
    )
    .option('--no-admin', 'no admin HTTP server')
    .option(
      '--feed <host:port>',
      'on a replica: another one that this one feeds; may be given several times',
      nodeAddresses,
    )
    .option(
      '--segments-ahead <number>',
      `files to keep prepared per channel (default: ${SEGMENTS_AHEAD_DEFAULT})`,
      wholeNumber(1, SEGMENTS_AHEAD_LIMIT),
    )
    .addOption(new Option('--log-format <format>', 'form of the log on stderr (default: pretty)').choices(LOG_FORMATS))
    .addOption(new Option('--log-level <level>', 'least level that is written (default: info)').choices(LOG_LEVELS))
    .option('--stop-with-stdin', 'stop, as at SIGTERM, when stdin ends: whoever started the node has gone')
    .action(run)
}

async function run(directory: string | undefined, options: RunOptions): Promise<void> {
  // an idle thread tidied up its memory in a hundred small steps, each of which woke it: for the threads that come
  setFlagsFromString('--no-memory-reducer')
  // loaded here: the schema is a large package, and the other commands start without it
  const { NodeSettings } = await import('./node-settings.ts')
  const settings = new NodeSettings(directory, options)
  const { log } = settings
  const say = (text: string): void => log.write({ level: 'info', text })
  // beyond a limit on the size of files a write must fail, as on a full disk, and not end the process without a word
  process.on('SIGXFSZ', () => undefined)
  ignoreBrokenPipe() // a node goes on, whoever has stopped reading its log
  let running: TravertineNode | undefined
  const stop = new StopRequest({
    withStdin: options.stopWithStdin === true,
    hangUp: () => settings.reload(running),
    beforeExit: () => say('stops at once, without draining: the next start recovers'),
  })
  const systemd = Systemd.of(process.env, say)
  systemd?.starting()
  // until it listens nothing was promised to anybody: stopping is just leaving
  const node = await stop.during(startNode({ ...settings.node, onLog: log.write }), 'start the node')
  running = node
  settings.started(node)
  announce(node, options.json === true)
  systemd?.ready(node)
  const reason = await Promise.race([stop.requested, node.closed])
  if (reason === undefined) return
  void systemd?.stopping() // the process ends later than this small message
  say(`stops at ${reason.text}: answers what is under way, then closes`)
  await node.close()
  await node.closed // it may have failed while it drained
  say('stopped')
}

function announce({ host, port, logPorts, admin, status }: TravertineNode, json: boolean): void {
  const { role, clusterId, nodeId } = status()
  const ready: ReadyLine = {
    ok: true,
    role,
    host,
    port,
    logPorts,
    admin: admin ?? null,
    pid: process.pid,
    clusterId,
    nodeId,
  }
  if (json) printJson(ready)
  else printLine(`${role} ready on ${host}:${port}, log channels on ${logPorts.join(', ')}, pid ${process.pid}`)
}
