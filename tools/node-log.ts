/**
 * The log of a node on stderr: one line per event, for people (`pretty`) or for programs (`json`).
 *
 *   2026-01-31T09:15:00.123Z warn  DISK_LOW: new sessions are refused: 1048576 bytes are free on the disk
 *   {"level":"warn","time":"2026-01-31T09:15:00.123Z","pid":4711,"code":"DISK_LOW","text":"new sessions ..."}
 *
 * A line of `warn` or above carries the code whose section in docs/ERRORS.md says what to do.
 */
import { pino } from 'pino'
import type { LogLine } from '../daemon/node.ts'
import { coloursOf } from './output.ts'

export const LOG_FORMATS = ['pretty', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export function nodeLog(format: LogFormat): (line: LogLine) => void {
  return format === 'json' ? jsonLog() : prettyLog()
}

function jsonLog(): (line: LogLine) => void {
  const log = pino(
    {
      base: { pid: process.pid },
      messageKey: 'text',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    process.stderr,
  )
  return ({ level, text, code }) => log[level](code === undefined ? {} : { code }, text)
}

function prettyLog(): (line: LogLine) => void {
  const colours = coloursOf(process.stderr)
  const paint = { info: colours.cyan, warn: colours.yellow, error: colours.red }
  return ({ level, text, code }) => {
    const heading = code === undefined || text.startsWith(`${code}:`) ? '' : `${code}: `
    process.stderr.write(`${new Date().toISOString()} ${paint[level](level.padEnd(5))} ${heading}${text}\n`)
  }
}
