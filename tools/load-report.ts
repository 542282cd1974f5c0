/**
 * What `load` prints: a bar while it runs on a terminal, and one account at the end, whatever the end is.
 */
import type { Channel, Level } from '../client/client.ts'
import { TravertineError } from '../protocol/errors.ts'
import { MIB } from '../protocol/limits.ts'
import type { LoadInput } from './load-input.ts'
import { LoadTally } from './load-tally.ts'
import { coloursOf, errorJson, errorText, printJson, printLine, reportError, say } from './output.ts'
import { type Progress, startProgress } from './progress.ts'

export interface LoadReportOptions {
  readonly input: LoadInput
  readonly level: Level
  readonly json: boolean
}

/** More often nobody can see. */
const UPDATE_MS = 100

export class LoadReport {
  readonly #options: LoadReportOptions
  #startedAt = performance.now()
  #tally = new LoadTally()
  #channel: Pick<Channel, 'id' | 'reconnects'> | undefined
  #progress: Progress | undefined
  #updatedAt = 0

  constructor(options: LoadReportOptions) {
    this.#options = options
  }

  begin(tally: LoadTally, channel: Pick<Channel, 'id' | 'reconnects'>): void {
    const { input, level } = this.#options
    this.#tally = tally
    this.#channel = channel
    this.#startedAt = performance.now()
    if (process.stdin.isTTY && input.name === 'stdin') say('reads from the terminal; Ctrl-D ends the input')
    else if (process.stderr.isTTY) {
      this.#progress = startProgress(
        input.bytes === undefined ? { unit: `records ${level}` } : { unit: 'MiB', total: mib(input.bytes) },
      )
    }
  }

  update(): void {
    const now = performance.now()
    if (this.#progress === undefined || now - this.#updatedAt < UPDATE_MS) return
    this.#updatedAt = now
    this.#draw()
  }

  #draw(): void {
    const { input, level } = this.#options
    const { acknowledged, lastEpoch, inputBytes } = this.#tally
    const rate = Math.round(acknowledged.records / this.#seconds())
    const done = input.bytes === undefined ? acknowledged.records : mib(inputBytes)
    this.#progress?.update(done, `${acknowledged.records} records ${level}, epoch ${lastEpoch}, ${rate} records/s`)
  }

  /** A line beside the bar. */
  note(text: string): void {
    say(text)
  }

  /** @param failure undefined if all is well */
  finish(failure: unknown): void {
    this.#draw()
    this.#progress?.stop()
    this.#print(failure)
  }

  /** The process ends now; what is on its way is not waited for. */
  printAtOnce(): void {
    this.#progress?.stop()
    this.#print(new TravertineError('INTERRUPTED', 'Cannot wait for what is on its way: interrupted a second time'))
  }

  #print(failure: unknown): void {
    const isDone = failure === undefined
    // a load that never began has nothing to account for
    if (this.#channel === undefined) {
      reportError(failure, this.#options.json)
      return
    }
    if (this.#options.json)
      printJson({ ok: isDone, ...this.#facts(), ...(isDone ? {} : { error: errorJson(failure).error }) })
    else for (const line of this.#lines()) printLine(line)
    if (!isDone) say(errorText(failure, coloursOf(process.stderr)))
  }

  #facts(): object {
    const { input, level } = this.#options
    const {
      read,
      bad,
      sent,
      acknowledged,
      storedOnly,
      lost,
      unknown,
      notApplied,
      waiting,
      bytes,
      epochs,
      lastEpoch,
      throughLine,
    } = this.#tally
    const seconds = this.#seconds()
    return {
      input: input.name,
      level,
      channel: this.#channel?.id,
      reconnects: this.#channel?.reconnects ?? 0,
      records: read,
      bad,
      notSent: read - bad - sent.records,
      sent,
      acknowledged,
      storedOnly,
      lost,
      unknown: { sessions: unknown.sessions + waiting.sessions, records: unknown.records + waiting.records },
      notApplied,
      sessions: acknowledged.sessions,
      epochs,
      lastEpoch,
      throughLine,
      bytes,
      seconds,
      recordsPerSecond: Math.round(acknowledged.records / seconds),
      bytesPerSecond: Math.round(bytes / seconds),
    }
  }

  #lines(): string[] {
    const { level } = this.#options
    const {
      read,
      bad,
      sent,
      acknowledged,
      storedOnly,
      lost,
      unknown,
      notApplied,
      waiting,
      bytes,
      epochs,
      lastEpoch,
      throughLine,
    } = this.#tally
    const seconds = this.#seconds()
    const rates = `${Math.round(acknowledged.records / seconds)} records/s, ${(bytes / MIB / seconds).toFixed(1)} MiB/s`
    const lines = [
      `acknowledged ${records(acknowledged.records)} (${level.toUpperCase()}) in ${count(acknowledged.sessions, 'session')} and ${count(epochs, 'epoch')}${lastEpoch === 0n ? '' : `, the last is ${lastEpoch}`}`,
      `channel      ${this.#channel?.id}; ${(bytes / MIB).toFixed(1)} MiB in ${seconds.toFixed(1)} s: ${rates}`,
    ]
    const open = unknown.records + waiting.records
    const notSent = read - bad - sent.records
    if (bad > 0) lines.push(`bad          ${records(bad)}`)
    if (storedOnly.records > 0)
      lines.push(`stored only  ${records(storedOnly.records)}: STORED, PROPAGATED was not reached`)
    if (lost.records > 0)
      lines.push(`lost         ${records(lost.records)}: were STORED, and are in the log no more (a change of history)`)
    const reconnects = this.#channel?.reconnects ?? 0
    if (reconnects > 0) lines.push(`reconnected  ${count(reconnects, 'time')}`)
    if (open > 0) lines.push(`unknown      ${records(open)} sent without an answer: may be in the log`)
    if (notApplied.records > 0)
      lines.push(`not applied  ${records(notApplied.records)} refused or never sent: certainly not in the log`)
    if (notSent > 0) lines.push(`not sent     ${records(notSent)} read and not sent`)
    if (acknowledged.records < read - bad || bad > 0)
      lines.push(`complete     every good record up to line ${throughLine} is acknowledged`)
    return lines
  }

  #seconds(): number {
    return Math.max((performance.now() - this.#startedAt) / 1000, 0.001)
  }
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
const records = (n: number): string => count(n, 'record')
const mib = (bytes: number): number => Number((bytes / MIB).toFixed(1))
