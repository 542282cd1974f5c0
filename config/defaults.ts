/**
 * What a node does where nobody says otherwise. Plain constants: the schema shows them, and a node that is embedded in
 * another program, without any configuration file, stands on the same ones.
 */
import { assert } from '../protocol/assert.ts'
import { CHANNEL_COUNT_LIMIT } from '../protocol/limits.ts'

/** Loopback: whoever wants to be reached from elsewhere has to say so. */
export const HOST_DEFAULT = '127.0.0.1'
export const PORT_DEFAULT = 7400
export const SEGMENTS_AHEAD_DEFAULT = 2
export const SEGMENTS_AHEAD_LIMIT = 1024

/** Beyond the log channels, of which there may be as many as the limit: two nodes of one machine seldom collide. */
const ADMIN_PORT_DISTANCE = 80
assert(ADMIN_PORT_DISTANCE > CHANNEL_COUNT_LIMIT, 'the admin port lies behind the log channels')

/** With port 0 the system chooses all ports of a node, this one too. */
export const adminPortDefault = (port: number): number => (port === 0 ? 0 : port + ADMIN_PORT_DISTANCE)
export const ADMIN_PORT_DEFAULT_TEXT = `listen.port + ${ADMIN_PORT_DISTANCE} (0 with listen.port 0)`

export const LOG_FORMATS = ['pretty', 'json'] as const
export const LOG_LEVELS = ['info', 'warn', 'error'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]
export type LogLevel = (typeof LOG_LEVELS)[number]
