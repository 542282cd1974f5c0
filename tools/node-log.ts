/**
 * The log of a node on stderr: one line per event, for people (`pretty`) or for programs (`json`).
 *
 *   2026-01-31T09:15:00.123Z warn  DISK_LOW: new sessions are refused: 1048576 bytes are free on the disk
 *   {"level":"warn","time":"2026-01-31T09:15:00.123Z","pid":4711,"code":"DISK_LOW","text":"new sessions ..."}
 *
 * A line of `warn` or above wants somebody to act: it carries the code whose section in docs/RUNBOOK.md says how.
 * Form and level may change while the node runs.
 */
import { createRequire } from 'node:module'
import { LOG_LEVELS, type LogFormat, type LogLevel } from '../config/defaults.ts'
import type { LogLine } from '../daemon/node.ts'
import { coloursOf } from './output.ts'

export interface LogSettings {
  readonly format: LogFormat
  readonly level: LogLevel
}

type LineWriter = (line: LogLine) => void

export class NodeLog {
  #settings: LogSettings
  readonly #pretty = prettyWriter()
  #json: LineWriter | undefined

  constructor(settings: LogSettings) {
    this.#settings = settings
  }

  set(settings: LogSettings): void {
    this.#settings = settings
  }

  readonly write = (line: LogLine): void => {
    const { format, level } = this.#settings
    if (LOG_LEVELS.indexOf(line.level) < LOG_LEVELS.indexOf(level)) return
    if (format === 'pretty') return this.#pretty(line)
    this.#json ??= jsonWriter()
    this.#json(line)
  }
}

/** The package is loaded by the first line that needs it: a node that writes for people starts without. */
function jsonWriter(): LineWriter {
  const { pino } = createRequire(import.meta.url)('pino') as typeof import('pino') // it is what its types say
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

function prettyWriter(): LineWriter {
  const colours = coloursOf(process.stderr)
  const paint = { info: colours.cyan, warn: colours.yellow, error: colours.red }
  return ({ level, text, code }) => {
    const heading = code === undefined || text.startsWith(`${code}:`) ? '' : `${code}: `
    process.stderr.write(`${new Date().toISOString()} ${paint[level](level.padEnd(5))} ${heading}${text}\n`)
  }
}
