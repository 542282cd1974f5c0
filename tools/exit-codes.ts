/**
 * Exit codes of the `travertine` command: one table for the program, the help texts and docs/CLI.md (a test compares).
 *
 * Scripts may rely on them. A code says which kind of thing has to be mended; the error code printed beside it says
 * exactly which. Numbers never change their meaning.
 */
import { type ErrorCode, TravertineError } from '../protocol/errors.ts'

export const ExitCode = {
  DONE: 0,
  DEFECT: 1,
  USAGE: 2,
  DIRECTORY: 3,
  LOG: 4,
  DISK: 5,
  NETWORK: 6,
  INPUT: 7,
  DEGRADED: 8,
  NO_MASTER: 9,
  INTERRUPTED: 130,
  PIPE_CLOSED: 141,
  TERMINATED: 143,
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** In the order of the table of docs/CLI.md. */
export const EXIT_CODE_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'a defect of Travertine itself, please report it with the text that was printed',
  2: 'the command line or a setting is wrong; nothing was done',
  3: 'the data directory cannot be used: missing, not empty, not initialised, locked, read-only, of a newer format',
  4: 'a log is damaged or incomplete, or two things differ that should be equal',
  5: 'the disk is full or has failed',
  6: 'the network or a peer: port taken, nobody answers, refused, connection lost, deadline passed',
  7: 'the input cannot be read, or is not what was announced',
  8: 'the cluster works, and something is wrong with it: see what `status` prints',
  9: 'no master was found',
  130: 'interrupted by Ctrl-C (SIGINT) before the work was done',
  141: 'whoever reads stdout has closed it before the end',
  143: 'ended by SIGTERM or SIGHUP before the work was done',
}

/** Total over the closed list of error codes: a new code does not compile before somebody has put it here. */
const EXIT_CODE_OF: Readonly<Record<ErrorCode, ExitCode>> = {
  FRAME_CORRUPT: ExitCode.LOG,
  FRAME_VERSION_UNSUPPORTED: ExitCode.LOG,
  FRAME_KIND_UNKNOWN: ExitCode.LOG,
  FRAME_TOO_LARGE: ExitCode.LOG,
  FRAME_EMPTY: ExitCode.LOG,
  ENTRY_MALFORMED: ExitCode.LOG,
  VERSION_ABOVE_EPOCH: ExitCode.INPUT,
  PRODUCER_SEQUENCE: ExitCode.NETWORK,
  PRODUCER_EXPIRED: ExitCode.NETWORK,
  PROTOCOL_VERSION_UNSUPPORTED: ExitCode.NETWORK,
  CLUSTER_MISMATCH: ExitCode.NETWORK,
  CHANNEL_COUNT_MISMATCH: ExitCode.NETWORK,
  SECRET_INVALID: ExitCode.NETWORK,
  NOT_MASTER: ExitCode.NETWORK,
  TERM_STALE: ExitCode.NETWORK,
  TERM_CONFLICT: ExitCode.NETWORK,
  HANDSHAKE_TIMEOUT: ExitCode.NETWORK,
  MESSAGE_MALFORMED: ExitCode.NETWORK,
  MESSAGE_TOO_LARGE: ExitCode.NETWORK,
  MESSAGE_UNEXPECTED: ExitCode.NETWORK,
  CHANNEL_UNKNOWN: ExitCode.USAGE,
  CONNECTION_LIMIT: ExitCode.NETWORK,
  POSITION_MISMATCH: ExitCode.NETWORK,
  MEMBER_UNKNOWN: ExitCode.NETWORK,
  HISTORY_DIVERGED: ExitCode.LOG,
  LOG_DROPPED: ExitCode.LOG,
  CASCADE_LOOP: ExitCode.NETWORK,
  FED_ALREADY: ExitCode.NETWORK,
  NAMED_TWICE: ExitCode.NETWORK,
  CHANNEL_POISONED: ExitCode.DISK,
  DISK_LOW: ExitCode.DISK,
  SHUTTING_DOWN: ExitCode.NETWORK,
  PORT_IN_USE: ExitCode.NETWORK,
  NO_REPLICA_IN_SET: ExitCode.NETWORK,
  AUTHENTICATION_FAILED: ExitCode.NETWORK,
  PERMISSION_DENIED: ExitCode.NETWORK,
  NOT_READY: ExitCode.NETWORK,
  CONFIG_CONFLICT: ExitCode.NETWORK,
  POLICY_LOOSENED: ExitCode.USAGE,
  REPLICA_AHEAD: ExitCode.NETWORK,
  DIRECTORY_MISSING: ExitCode.DIRECTORY,
  DIRECTORY_NOT_EMPTY: ExitCode.DIRECTORY,
  DIRECTORY_NOT_INITIALISED: ExitCode.DIRECTORY,
  DIRECTORY_LOCKED: ExitCode.DIRECTORY,
  DIRECTORY_READ_ONLY: ExitCode.DIRECTORY,
  FORMAT_UNSUPPORTED: ExitCode.DIRECTORY,
  MANIFEST_CORRUPT: ExitCode.DIRECTORY,
  LOG_DAMAGED: ExitCode.LOG,
  LOG_INCOMPLETE: ExitCode.LOG,
  DISK_FULL: ExitCode.DISK,
  DISK_FAILED: ExitCode.DISK,
  CONNECT_FAILED: ExitCode.NETWORK,
  CONNECTION_LOST: ExitCode.NETWORK,
  DEADLINE_EXCEEDED: ExitCode.NETWORK,
  ABORTED: ExitCode.INTERRUPTED,
  SESSION_ENDED: ExitCode.DEFECT,
  SESSION_EMPTY: ExitCode.DEFECT,
  SESSION_TOO_LARGE: ExitCode.INPUT,
  CLIENT_CLOSED: ExitCode.NETWORK,
  VALUE_INVALID: ExitCode.USAGE,
  WINDOW_FULL: ExitCode.NETWORK,
  SESSION_LOST: ExitCode.LOG,
  CONFIG_INVALID: ExitCode.USAGE,
  INPUT_INVALID: ExitCode.INPUT,
  INPUT_UNREADABLE: ExitCode.INPUT,
  HISTORIES_DIFFER: ExitCode.LOG,
  INTERRUPTED: ExitCode.INTERRUPTED,
  RESTART_NEEDED: ExitCode.USAGE,
}

export interface StopReason {
  /** `SIGINT`, `the end of stdin` */
  readonly text: string
  readonly exitCode: ExitCode
}

/** The work was stopped from outside before it was done. */
export class InterruptedError extends TravertineError {
  readonly exitCode: ExitCode

  /** @param what completes "Cannot ..." */
  constructor(what: string, reason: StopReason) {
    super('INTERRUPTED', `Cannot ${what}: interrupted by ${reason.text}`)
    this.exitCode = reason.exitCode
  }
}

/** Total: whatever was thrown has an exit code. */
export function exitCodeOf(thrown: unknown): ExitCode {
  if (thrown instanceof InterruptedError) return thrown.exitCode
  return thrown instanceof TravertineError ? EXIT_CODE_OF[thrown.code] : ExitCode.DEFECT
}

export const exitCodeOfSignal = (signal: NodeJS.Signals): ExitCode =>
  signal === 'SIGINT' ? ExitCode.INTERRUPTED : ExitCode.TERMINATED
