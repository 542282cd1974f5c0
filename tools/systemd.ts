/**
 * What systemd is told by a node that it runs as Type=notify: ready, what it does, that it is alive, that it stops.
 *
 * Messages go through `systemd-notify`, a small process each, one behind the other: Node has no sockets of the kind that
 * systemd listens on. The watchdog is fed by a timer of the control thread, and only while every channel thread makes
 * progress: when a thread stands still, systemd hears nothing, and starts the node again. While a log is recovered the
 * control thread asks for more time, again and again: the limit of a start is no limit for a recovery that goes on.
 */
import { execFile } from 'node:child_process'
import type { TravertineNode } from '../daemon/node.ts'

/** One message may be late, and the next one still comes in time. */
const FEEDS_PER_WATCHDOG = 3
/** How much longer a start may take from now, in microseconds, and how often that is asked for. */
const START_EXTENDED_US = 120_000_000
const START_EXTENDED_EACH_MS = 30_000
/** A message is a few milliseconds' work; systemd that hangs must not collect processes. */
const TELL_MS_MAX = 5_000

type Watched = Pick<TravertineNode, 'health' | 'readiness'>

export class Systemd {
  readonly #watchdogMs: number
  readonly #onError: (text: string) => void
  #telling: Promise<void> = Promise.resolve()
  #untold = 0
  #timer: NodeJS.Timeout | undefined

  private constructor(watchdogMs: number, onError: (text: string) => void) {
    this.#watchdogMs = watchdogMs
    this.#onError = onError
  }

  /** undefined: nobody listens. */
  static of(environment: NodeJS.ProcessEnv, onError: (text: string) => void): Systemd | undefined {
    if ((environment['NOTIFY_SOCKET'] ?? '') === '') return undefined
    const isOurs = environment['WATCHDOG_PID'] === undefined || Number(environment['WATCHDOG_PID']) === process.pid
    return new Systemd(isOurs ? Number(environment['WATCHDOG_USEC'] ?? 0) / 1_000 : 0, onError)
  }

  /** @param eachMs how often more time is asked for; tests do not wait for half a minute */
  starting(eachMs = START_EXTENDED_EACH_MS): void {
    const status = 'STATUS=initialising: recovers its log'
    this.#tell(status)
    this.#timer = setInterval(() => {
      if (this.#untold === 0) this.#tell(`EXTEND_TIMEOUT_USEC=${START_EXTENDED_US}`, status)
    }, eachMs)
    this.#timer.unref()
  }

  ready(node: Watched): void {
    clearInterval(this.#timer)
    this.#tell('READY=1', statusOf(node))
    if (!(this.#watchdogMs > 0)) return
    this.#timer = setInterval(() => {
      if (this.#untold > 0) return // it takes its time: the next one
      if (node.health().alive) this.#tell('WATCHDOG=1', statusOf(node))
      else this.#tell(statusOf(node))
    }, this.#watchdogMs / FEEDS_PER_WATCHDOG)
    this.#timer.unref()
  }

  /** From here on draining has its own limit. Resolves when systemd has heard of it, or cannot. */
  stopping(): Promise<void> {
    clearInterval(this.#timer)
    this.#tell('STOPPING=1', 'STATUS=stopping: answers what is under way, then closes')
    return this.#telling
  }

  #tell(...words: readonly string[]): void {
    this.#untold++
    this.#telling = this.#telling.then(() => notify(words, this.#onError)).then(() => void this.#untold--)
  }
}

function notify(words: readonly string[], onError: (text: string) => void): Promise<void> {
  return new Promise((resolve) => {
    execFile('systemd-notify', words, { timeout: TELL_MS_MAX }, (error) => {
      if (error !== null) onError(`systemd could not be told ${words[0]}: ${error.message.trim()}`)
      resolve()
    })
  })
}

function statusOf(node: Watched): string {
  const { state, reason } = node.readiness()
  return `STATUS=${state}: ${reason}`
}
