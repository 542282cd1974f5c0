/**
 * Every setting of a node: one schema, from which come the check of a file, `config explain`, the names of environment
 * variables, docs/CONFIGURATION.md and the types. A setting that is not in here does not exist.
 *
 * A setting has a unit, a default, a range and one sentence. Adding one is adding a line; a section is a table of TOML.
 * Cluster state (role, members, policy) is not in here: it lies in the data directory and is changed by commands.
 */
import { z } from 'zod'
import { splitAddress } from '../protocol/address.ts'
import { REPLICA_COUNT_LIMIT } from '../protocol/limits.ts'
import {
  ADMIN_PORT_DEFAULT_TEXT,
  HOST_DEFAULT,
  LOG_FORMATS,
  LOG_LEVELS,
  PORT_DEFAULT,
  SEGMENTS_AHEAD_DEFAULT,
  SEGMENTS_AHEAD_LIMIT,
} from './defaults.ts'

export interface SettingFacts {
  /** What a number or text is one of: `port`, `files`. */
  readonly unit: string
  /** One sentence. */
  readonly text: string
  /** Does SIGHUP change it in a running node? */
  readonly reload: boolean
  /** Where the default follows from other settings, or there is none. */
  readonly defaultText?: string
}

/** Longest path and longest name of a host that systems take. */
const PATH_CHARS_LIMIT = 4096
const HOST_CHARS_LIMIT = 253
const PORT_LIMIT = 65_535

export const SETTING_FACTS = z.registry<SettingFacts>()

const isEachOnce = (texts: readonly string[]): boolean => new Set(texts).size === texts.length
const host = (): z.ZodString => z.string().min(1).max(HOST_CHARS_LIMIT)
/** A path, or nothing. */
const file = () => z.string().max(PATH_CHARS_LIMIT).default('')
const address = (): z.ZodString => z.string().refine((text) => splitAddress(text) !== undefined)
const port = (): z.ZodInt => z.int().min(0).max(PORT_LIMIT)

export const CONFIG_SCHEMA = z.strictObject({
  node: z.strictObject({
    directory: z.string().min(1).max(PATH_CHARS_LIMIT).optional().register(SETTING_FACTS, {
      unit: 'path',
      defaultText: 'none: must be given',
      text: 'Data directory, made by `travertine init`.',
      reload: false,
    }),
  }),
  listen: z.strictObject({
    host: host().default(HOST_DEFAULT).register(SETTING_FACTS, {
      unit: 'address',
      text: 'Address on which control and log channels listen; the default is reached from this machine only.',
      reload: false,
    }),
    port: port().default(PORT_DEFAULT).register(SETTING_FACTS, {
      unit: 'port',
      text: 'Port of the control channel; log channel k listens on port + 1 + k; 0 lets the system choose all ports.',
      reload: false,
    }),
  }),
  admin: z.strictObject({
    enabled: z.boolean().default(true).register(SETTING_FACTS, {
      unit: 'switch',
      text: 'Whether the node answers on its admin port: /metrics, /healthz, /readyz and /status.json.',
      reload: false,
    }),
    host: host().default(HOST_DEFAULT).register(SETTING_FACTS, {
      unit: 'address',
      text: 'Address on which the admin port listens; whoever reaches it can read everything it shows.',
      reload: false,
    }),
    port: port().optional().register(SETTING_FACTS, {
      unit: 'port',
      defaultText: ADMIN_PORT_DEFAULT_TEXT,
      text: 'Port of the admin HTTP server; 0 lets the system choose one.',
      reload: false,
    }),
    tls: z.boolean().default(false).register(SETTING_FACTS, {
      unit: 'switch',
      text: 'Whether the admin port speaks TLS, with the certificate of this node; needed on an address that others reach.',
      reload: false,
    }),
  }),
  cascade: z.strictObject({
    replicas: z.array(address()).max(REPLICA_COUNT_LIMIT).refine(isEachOnce).default([]).register(SETTING_FACTS, {
      unit: 'host:port',
      defaultText: 'none',
      text: 'Control addresses of the replicas that this replica feeds; they count for nothing, and a master has members instead.',
      reload: true,
    }),
  }),
  security: z.strictObject({
    secretFile: file().register(SETTING_FACTS, {
      unit: 'path',
      defaultText: 'none',
      text: 'File of shared secrets, each on a line behind its roles, of which whoever connects has to prove one; empty: nobody is asked.',
      reload: true,
    }),
    tlsCertificateFile: file().register(SETTING_FACTS, {
      unit: 'path',
      defaultText: 'none',
      text: 'Certificate (chain) of this node, PEM, with which control and log ports speak TLS, towards replicas too; empty: no TLS.',
      reload: true,
    }),
    tlsKeyFile: file().register(SETTING_FACTS, {
      unit: 'path',
      defaultText: 'none',
      text: 'Key of that certificate, PEM.',
      reload: true,
    }),
    tlsAuthorityFile: file().register(SETTING_FACTS, {
      unit: 'path',
      defaultText: 'none',
      text: 'Who signs the certificates of other nodes and of clients, PEM; empty: the authorities that Node knows.',
      reload: true,
    }),
    tlsRequireClientCertificate: z.boolean().default(false).register(SETTING_FACTS, {
      unit: 'switch',
      text: 'Whether whoever connects needs a certificate that the authority has signed.',
      reload: false,
    }),
    insecure: z.boolean().default(false).register(SETTING_FACTS, {
      unit: 'switch',
      text: 'Listen on an address that others can reach although there is neither a secret nor TLS.',
      reload: false,
    }),
  }),
  wal: z.strictObject({
    segmentsAhead: z.int().min(1).max(SEGMENTS_AHEAD_LIMIT).default(SEGMENTS_AHEAD_DEFAULT).register(SETTING_FACTS, {
      unit: 'files',
      text: 'Segment files of the log that are kept prepared per channel, so that commits do not wait for the disk to allocate.',
      reload: false,
    }),
  }),
  log: z.strictObject({
    format: z.enum(LOG_FORMATS).default('pretty').register(SETTING_FACTS, {
      unit: 'choice',
      text: 'Form of the log on stderr: lines for people, or one JSON object per line.',
      reload: true,
    }),
    level: z.enum(LOG_LEVELS).default('info').register(SETTING_FACTS, {
      unit: 'choice',
      text: 'Least level of the lines that are written; whatever is warn or above wants somebody to act.',
      reload: true,
    }),
  }),
})

export type Config = z.output<typeof CONFIG_SCHEMA>
