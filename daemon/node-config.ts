/** What a program says to run a node. Files and environment variables for it are config/'s. */
import { TravertineError } from '../protocol/errors.ts'

export interface NodeConfig {
  /** Data directory, made by `initNode`. */
  readonly directory: string
  /** Address to listen on; loopback unless said otherwise. */
  readonly host?: string
  /** Port of the control channel; log channel k listens on port + 1 + k. 0: the system chooses all of them. */
  readonly port?: number
  /** Whole segments to keep prepared ahead of the writer, per channel; those above two are made only in quiet times. */
  readonly segmentsAhead?: number
  /** Called for each line of the log. */
  readonly onLog?: (line: LogLine) => void
}

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
  /** Error code: the heading of the runbook section to read. */
  readonly code?: string
}

export const PORT_DEFAULT = 7400
export const HOST_DEFAULT = '127.0.0.1'
export const SEGMENTS_AHEAD_DEFAULT = 2

export type FullConfig = Required<NodeConfig>

/** @throws CONFIG_INVALID */
export function fullConfig(config: NodeConfig): FullConfig {
  const full: FullConfig = {
    directory: config.directory.length > 1 ? config.directory.replace(/\/+$/, '') : config.directory,
    host: config.host ?? HOST_DEFAULT,
    port: config.port ?? PORT_DEFAULT,
    segmentsAhead: config.segmentsAhead ?? SEGMENTS_AHEAD_DEFAULT,
    onLog: config.onLog ?? (() => undefined),
  }
  const invalid = (key: string, found: unknown, expected: string): TravertineError =>
    new TravertineError('CONFIG_INVALID', `Cannot start a node: found ${key} ${String(found)}, expected ${expected}`, {
      where: { key },
    })
  if (full.directory === '') throw invalid('directory', '""', 'a path')
  if (!Number.isInteger(full.port) || full.port < 0 || full.port > 65_535)
    throw invalid('port', full.port, '0 to 65535')
  if (!Number.isInteger(full.segmentsAhead) || full.segmentsAhead < 1 || full.segmentsAhead > 1024)
    throw invalid('segmentsAhead', full.segmentsAhead, '1 to 1024')
  return full
}

/** The log channels take the ports behind `port`, and there are no more than 65535. @throws CONFIG_INVALID */
export function checkPorts({ port }: FullConfig, channels: number): void {
  if (port === 0 || port + channels <= 65_535) return
  throw new TravertineError(
    'CONFIG_INVALID',
    `Cannot start a node: found port ${port}, expected at most ${65_535 - channels}: its ${channels} log channels listen behind it`,
    { where: { key: 'port' } },
  )
}
