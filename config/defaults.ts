/**
 * What a node does where nobody says otherwise. Plain constants: the schema shows them, and a node that is embedded in
 * another program, without any configuration file, stands on the same ones.
 */

/** Loopback: whoever wants to be reached from elsewhere has to say so. */
export const HOST_DEFAULT = '127.0.0.1'
export const PORT_DEFAULT = 7400
export const SEGMENTS_AHEAD_DEFAULT = 2
export const SEGMENTS_AHEAD_LIMIT = 1024

export const LOG_FORMATS = ['pretty', 'json'] as const
export const LOG_LEVELS = ['info', 'warn', 'error'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]
export type LogLevel = (typeof LOG_LEVELS)[number]
