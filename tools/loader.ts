/**
 * Writes the records of an input as sessions on one channel, in their order, with back-pressure all the way: the input is
 * read only as fast as sessions are acknowledged.
 *
 * What stops it early: a wish to stop, the first session that fails, a bad record, an input that breaks. Then nothing more
 * is begun; what was sent is waited for, so that the tally says what became of it. Sessions that were sent before keep
 * their outcome, whatever it is.
 */
import type { Channel, Level, LostSessions, Session } from '../client/client.ts'
import { PUT_OVERHEAD_BYTES } from '../protocol/entry.ts'
import { asError, TravertineError } from '../protocol/errors.ts'
import { MIB, SESSION_BYTES_LIMIT } from '../protocol/limits.ts'
import { inputError, type LoadInput } from './load-input.ts'
import { LoadTally, type SentBatch, type Share } from './load-tally.ts'
import { recordKey } from './record-key.ts'
import { ArraySplitter, LineSplitter, type RecordSink, type RecordSplitter } from './record-splitter.ts'

export const FORMATS = ['ndjson', 'lines', 'json'] as const
export type Format = (typeof FORMATS)[number]

export interface LoadOptions {
  readonly input: LoadInput
  readonly format: Format
  /** Field whose value is the key; undefined with `lines`, where the number of the line is. */
  readonly key: string | undefined
  readonly storage: bigint
  readonly level: Level
  /** Records per session at most. */
  readonly batch: number
  readonly skipBad: boolean
  readonly channel: Channel
  /** Settles when somebody wants the load to end. */
  readonly stopped: Promise<unknown>
  /** Called often. */
  readonly onProgress: () => void
  readonly onBad: (line: number, found: string) => void
  /** The node is out of reach, or back. */
  readonly onAway: (isAway: boolean) => void
  /** Sent, and not acknowledged for a while, though the node is there. Said once, and again after the next answer. */
  readonly onSilence: (waiting: Share) => void
  /** For tests: milliseconds on a clock that never goes back. */
  readonly now?: () => number
}

/** A session is sent when it has this many bytes, though it may have room for more records: latency, and memory. */
const SESSION_BYTES_GOAL = MIB
const CHANNEL_LOOK_MS = 500
/** People begin to wonder after about this time. */
const SILENCE_MS = 3_000
/** Enough to keep network and disks busy; what an interruption leaves open stays small. */
const SESSIONS_IN_FLIGHT = 64

/** In the order of the input: a record, a place that is none, or the error behind which nobody can tell records apart. */
type InputItem =
  | { readonly line: number; readonly bytes: Buffer }
  | { readonly line: number; readonly found: string }
  | { readonly error: unknown }

const EMPTY: SentBatch = { records: 0, bytes: 0, firstLine: 0, lastLine: 0 }

export class Loader {
  readonly tally = new LoadTally()
  readonly #options: LoadOptions
  readonly #splitter: RecordSplitter
  /** Resolves when nothing more is to be sent: somebody wants to stop, or a session has failed. */
  readonly #ended: Promise<'ended'>
  #end!: () => void
  #isEnded = false
  /** The first thing that went wrong. One with the input ends the reading only: what stands before it is still sent. */
  #failure: Error | undefined
  #session: Session | undefined
  #batch: SentBatch = EMPTY
  readonly #inFlight = new Set<Promise<void>>()
  #isAway = false
  /** Everything was read; what is on its way is waited for. */
  #isRead = false
  readonly #now: () => number
  /** The last answer, or when something was sent while nothing else was on its way. */
  #heardMs = 0
  #silenceSaid = false

  constructor(options: LoadOptions) {
    const { input, format, stopped } = options
    const splitter = { file: input.name, recordBytesLimit: SESSION_BYTES_LIMIT - PUT_OVERHEAD_BYTES }
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#splitter = format === 'json' ? new ArraySplitter(splitter) : new LineSplitter(splitter)
    this.#ended = new Promise((resolve) => {
      this.#end = () => {
        this.#isEnded = true
        resolve('ended')
      }
    })
    stopped.then(this.#end, this.#end)
  }

  /** Sessions that were STORED are in the log no more: what was said of them is taken back, and the load ends. */
  lost(lost: LostSessions): void {
    this.tally.lostAfterwards(lost)
    const { from, to, channel } = lost
    this.#failure ??= new TravertineError(
      'SESSION_LOST',
      `Cannot load all records: sessions ${from} to ${to} of channel ${channel} were STORED, and a change of history has cut them from the log`,
      { where: { channel }, hint: 'load the same records again: that is harmless' },
    )
    this.#end()
  }

  /** Resolves when nothing is on its way any more. @throws the first thing that went wrong; a wish to stop is nothing wrong */
  async run(): Promise<LoadTally> {
    const watch = setInterval(() => this.#lookAtChannel(), CHANNEL_LOOK_MS)
    await this.#attempt(() => this.#readAll())
    this.#isRead = true
    // what stands before a bad record is loaded; behind a wish to stop, or a session that failed, nothing more is
    if (!this.#isEnded) await this.#attempt(() => this.#send())
    this.#session?.abandon()
    this.#options.input.chunks.destroy()
    await Promise.all(this.#inFlight)
    clearInterval(watch)
    if (this.#failure !== undefined) throw this.#failure
    return this.tally
  }

  async #attempt(act: () => void | Promise<void>): Promise<void> {
    try {
      await act()
    } catch (thrown) {
      this.#failure ??= asError(thrown)
    }
  }

  /** An input may be quiet for hours: a connection that was lost meanwhile is not found out by its next record. */
  #lookAtChannel(): void {
    const { channel, onAway } = this.#options
    const isAway = channel.state === 'reconnecting'
    if (isAway !== this.#isAway) onAway(isAway)
    this.#isAway = isAway
    this.#lookForSilence()
    if (channel.state === 'ended' && !this.#isEnded && !this.#isRead)
      void this.#attempt(() => channel.ready()).finally(this.#end)
  }

  #lookForSilence(): void {
    if (this.#isAway || this.#inFlight.size === 0 || this.#silenceSaid) return
    if (this.#now() - this.#heardMs < SILENCE_MS) return
    this.#silenceSaid = true
    this.#options.onSilence(this.tally.waiting)
  }

  #heard(): void {
    this.#heardMs = this.#now()
    this.#silenceSaid = false
  }

  async #readAll(): Promise<void> {
    const { input, onProgress } = this.#options
    const chunks = input.chunks.iterator({ destroyOnReturn: false })
    while (!this.#isEnded) {
      const next = await Promise.race([this.#ended, quietly(chunks.next())]).catch((thrown: unknown) => {
        throw inputError(input.name, thrown)
      })
      if (next === 'ended') return
      const chunk: Buffer | undefined = next.done === true ? undefined : next.value // no encoding was set: a buffer
      this.tally.inputBytes += chunk?.length ?? 0
      for (const item of this.#split(chunk)) {
        await this.#take(item)
        if (this.#isEnded) return
      }
      onProgress()
      if (chunk === undefined) return
    }
  }

  /** @param chunk undefined at the end of the input */
  #split(chunk: Buffer | undefined): InputItem[] {
    const items: InputItem[] = []
    const sink: RecordSink = {
      record: (bytes, line) => items.push({ bytes, line }),
      bad: (line, found) => items.push({ line, found }),
    }
    try {
      if (chunk === undefined) this.#splitter.end(sink)
      else this.#splitter.push(chunk, sink)
    } catch (error) {
      items.push({ error })
    }
    return items
  }

  async #take(item: InputItem): Promise<void> {
    if ('error' in item) throw item.error
    const { format, key: field, storage, batch } = this.#options
    if ('bytes' in item && format === 'ndjson' && isBlank(item.bytes)) return
    this.tally.read++
    if ('found' in item) return this.#bad(item.line, item.found, 'a record')
    const { bytes, line } = item
    const { key, fault } = field === undefined ? { key: String(line) } : recordKey(bytes, field)
    if (fault !== undefined) return this.#bad(line, fault.found, fault.expected)
    const entryBytes = PUT_OVERHEAD_BYTES + Buffer.byteLength(key) + bytes.length
    if (entryBytes > SESSION_BYTES_LIMIT)
      return this.#bad(line, `a record and key of ${entryBytes} bytes`, `at most ${SESSION_BYTES_LIMIT}`)
    if (this.#session !== undefined && this.#session.bytes + entryBytes > SESSION_BYTES_LIMIT) this.#send()
    this.#session ??= await this.#begin()
    if (this.#session === undefined) return
    this.#session.put(storage, key, bytes)
    const { records, firstLine } = this.#batch
    this.#batch = {
      records: records + 1,
      bytes: this.#batch.bytes + bytes.length,
      firstLine: records === 0 ? line : firstLine,
      lastLine: line,
    }
    if (this.#batch.records >= batch || this.#session.bytes >= SESSION_BYTES_GOAL) this.#send()
  }

  #bad(line: number, found: string, expected: string): void {
    const { input, skipBad, onBad } = this.#options
    this.tally.bad++
    if (skipBad) {
      onBad(line, found)
      return
    }
    const { key } = this.#options
    throw new TravertineError(
      'INPUT_INVALID',
      `Cannot load line ${line} of ${input.name}: found ${found}, expected ${expected}`,
      {
        where: { file: input.name, line, ...(key === undefined ? {} : { key }) },
        hint: 'mend the line, or leave such lines out with --skip-bad',
      },
    )
  }

  /** A session, as soon as there is room for one; undefined if the load ends meanwhile. */
  async #begin(): Promise<Session | undefined> {
    const { channel } = this.#options
    while (this.#inFlight.size >= SESSIONS_IN_FLIGHT && !this.#isEnded)
      await Promise.race([this.#ended, ...this.#inFlight])
    if (!this.#isEnded) await Promise.race([this.#ended, quietly(channel.ready())])
    return this.#isEnded ? undefined : channel.beginSession()
  }

  #send(): void {
    const session = this.#session
    if (session === undefined) return
    const batch = this.#batch
    this.#session = undefined
    this.#batch = EMPTY
    const { level, onProgress } = this.#options
    const receipt = session.end()
    this.tally.sent.sessions++
    this.tally.sent.records += batch.records
    const reached = level === 'stored' ? receipt.stored : receipt.propagated
    const settled = reached.then(
      (commit) => {
        this.tally.reached(batch, commit)
        onProgress()
      },
      (thrown: unknown) => {
        this.tally.failed(batch, thrown)
        this.#failure ??= asError(thrown)
        this.#end()
      },
    )
    const inFlight = settled.finally(() => {
      this.#heard()
      this.#inFlight.delete(inFlight)
    })
    if (this.#inFlight.size === 0) this.#heard()
    this.#inFlight.add(inFlight)
  }
}

/** Somebody may stop listening to it: that is no unhandled rejection. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}

const isBlank = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0x20 || byte === 0x09)
