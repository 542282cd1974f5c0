/** What a program says to run a node. Files and environment variables for it are config/'s. */
import { HOST_DEFAULT, PORT_DEFAULT, SEGMENTS_AHEAD_DEFAULT, SEGMENTS_AHEAD_LIMIT } from '../config/defaults.ts'
import { splitAddress } from '../protocol/address.ts'
import type { SharedSecret } from '../protocol/authentication.ts'
import { type DEFECT_CODE, type ErrorCode, TravertineError } from '../protocol/errors.ts'
import { REPLICA_COUNT_LIMIT } from '../protocol/limits.ts'
import type { TlsMaterial } from '../world/tls-network.ts'

export interface NodeConfig {
  /** Data directory, made by `initNode`. */
  readonly directory: string
  /** Address to listen on; loopback unless said otherwise. */
  readonly host?: string
  /** Port of the control channel; log channel k listens on port + 1 + k. 0: the system chooses all of them. */
  readonly port?: number
  /** Whole segments to keep prepared ahead of the writer, per channel; those above two are made only in quiet times. */
  readonly segmentsAhead?: number
  /** Where the admin HTTP server listens; without it there is none. 0: the system chooses the port. */
  readonly admin?: AdminAddress | undefined
  /** On a replica: the replicas that it feeds. They hold the same log, and count for nothing. */
  readonly cascade?: CascadeConfig
  /** Who may connect, and whether the bytes are encrypted. Without it: everybody who reaches the port, in the clear. */
  readonly security?: NodeSecurity
  /** Called for each line of the log. */
  readonly onLog?: (line: LogLine) => void
}

export interface CascadeConfig {
  /** host:port of their control channels. */
  readonly replicas: readonly string[]
}

export interface NodeSecurity {
  /** Shared secrets; none: nobody is asked. Two may be valid while one is replaced by the other. */
  readonly secrets?: readonly SharedSecret[]
  /** TLS on the control port and all log ports, towards replicas too. */
  readonly tls?: TlsMaterial | undefined
  /** Listen where others can reach it, although neither secrets nor TLS are given. */
  readonly insecure?: boolean
}

/** Whatever is `warn` or above wants somebody to act: its code is the heading of the section of docs/RUNBOOK.md to read. */
export type LogLine =
  | { readonly level: 'info'; readonly text: string; readonly code?: undefined }
  | { readonly level: 'warn' | 'error'; readonly text: string; readonly code: ErrorCode | typeof DEFECT_CODE }

export interface AdminAddress {
  readonly host: string
  readonly port: number
  /** Speaks TLS, with the certificate of `security`. */
  readonly tls?: boolean | undefined
}

export type FullConfig = Required<NodeConfig>

/** @throws CONFIG_INVALID */
export function fullConfig(config: NodeConfig): FullConfig {
  const full: FullConfig = {
    directory: config.directory.length > 1 ? config.directory.replace(/\/+$/, '') : config.directory,
    host: config.host ?? HOST_DEFAULT,
    port: config.port ?? PORT_DEFAULT,
    segmentsAhead: config.segmentsAhead ?? SEGMENTS_AHEAD_DEFAULT,
    admin: config.admin,
    cascade: config.cascade ?? { replicas: [] },
    security: config.security ?? {},
    onLog: config.onLog ?? (() => undefined),
  }
  const invalid = (key: string, found: unknown, expected: string): TravertineError =>
    new TravertineError('CONFIG_INVALID', `Cannot start a node: found ${key} ${String(found)}, expected ${expected}`, {
      where: { key },
    })
  if (full.directory === '') throw invalid('directory', '""', 'a path')
  if (!isPort(full.port)) throw invalid('port', full.port, '0 to 65535')
  if (full.admin !== undefined && !isPort(full.admin.port)) throw invalid('admin.port', full.admin.port, '0 to 65535')
  if (!Number.isInteger(full.segmentsAhead) || full.segmentsAhead < 1 || full.segmentsAhead > SEGMENTS_AHEAD_LIMIT)
    throw invalid('segmentsAhead', full.segmentsAhead, `1 to ${SEGMENTS_AHEAD_LIMIT}`)
  if (full.admin?.tls === true && full.security.tls === undefined)
    throw invalid('admin.tls', 'true', 'a certificate of this node beside it')
  checkCascade(full.cascade.replicas)
  checkExposure(full)
  return full
}

/** What a replica may be told to feed. @throws CONFIG_INVALID */
export function checkCascade(addresses: readonly string[]): void {
  const invalid = (found: string, expected: string): TravertineError =>
    new TravertineError('CONFIG_INVALID', `Cannot feed replicas: found ${found}, expected ${expected}`, {
      where: { key: 'cascade.replicas' },
    })
  if (addresses.length > REPLICA_COUNT_LIMIT) throw invalid(`${addresses.length}`, `at most ${REPLICA_COUNT_LIMIT}`)
  for (const [i, address] of addresses.entries()) {
    if (splitAddress(address) === undefined) throw invalid(JSON.stringify(address), 'host:port')
    if (addresses.indexOf(address) < i) throw invalid(`${address} twice`, 'each once')
  }
}

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port <= 65_535

/** An address that others can reach needs a secret or TLS, or somebody who says in writing that it does not. */
function checkExposure({ host, admin, security }: FullConfig): void {
  const { secrets = [], tls, insecure = false } = security
  const exposed = (key: string, found: string, hint: string): TravertineError =>
    new TravertineError(
      'CONFIG_INVALID',
      `Cannot start a node: found ${key} ${found}, expected one of them, or a loopback address`,
      { where: { key }, hint: `${hint}; or write insecure = true` },
    )
  if (insecure) return
  if (!isLoopback(host) && secrets.length === 0 && tls === undefined)
    throw exposed('host', `${host} without TLS and without a shared secret`, 'set a secret file or TLS files')
  if (admin !== undefined && !isLoopback(admin.host) && admin.tls !== true)
    throw exposed('admin.host', `${admin.host} without admin.tls`, 'set admin.tls, and the TLS files')
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/** The log channels take the ports behind `port`, and there are no more than 65535. @throws CONFIG_INVALID */
export function checkPorts({ port }: FullConfig, channels: number): void {
  if (port === 0 || port + channels <= 65_535) return
  throw new TravertineError(
    'CONFIG_INVALID',
    `Cannot start a node: found port ${port}, expected at most ${65_535 - channels}: its ${channels} log channels listen behind it`,
    { where: { key: 'port' } },
  )
}
