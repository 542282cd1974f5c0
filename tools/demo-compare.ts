/**
 * Compares what was sent with what lies in a node's files: every entry exactly once, in order, byte for byte, in the
 * session and the epoch that its writer was told.
 *
 * Knows nothing of the way in between: it takes the sent sessions from memory and the log from disk.
 */
import { TravertineError } from '../protocol/errors.ts'
import type { DemoEntry } from './demo-data.ts'
import type { SentSession } from './demo-load.ts'
import { type LogEntry, readLog } from './read-log.ts'

/** @returns the number of entries found; all of them are equal. @throws HISTORIES_DIFFER, LOG_DAMAGED */
export function compareWithLog(directory: string, sent: readonly SentSession[]): number {
  const log = readLog({ directory, ignoreRecoveryPoint: true })
  const expected = cursors(log.manifest.channels, sent)
  let entries = 0
  for (const found of log.entries()) {
    expected[found.channel]?.take(found, directory)
    entries++
  }
  // a channel that ends too early ends the whole epochs of all: it is the one to name
  const broken = log.scans.filter((scan) => scan.tail === 'torn-tail').map((scan) => scan.channel)
  for (const channel of [...broken, ...(log.missing?.channels ?? []), ...expected.keys()]) {
    const missing = expected[channel]?.rest()
    if (missing === undefined) continue
    throw differ(
      `no valid frame of channel ${channel} after epoch ${log.whole}, where ${missing.count} entries are missing`,
      `${nameOf(missing.first)} next`,
      { file: directory, channel, offset: log.scans[channel]?.end ?? 0 },
    )
  }
  return entries
}

function cursors(channels: number, sent: readonly SentSession[]): Cursor[] {
  return Array.from({ length: channels }, (_, id) => new Cursor(sent.filter((session) => session.channel === id)))
}

/** Walks over the sent entries of one channel. */
class Cursor {
  readonly #sessions: readonly SentSession[]
  #session = 0
  #entry = 0

  constructor(sessions: readonly SentSession[]) {
    this.#sessions = sessions
  }

  take(found: LogEntry, directory: string): void {
    const { channel, position, epoch, index } = found
    const session = this.#sessions[this.#session]
    const wanted = session?.entries[this.#entry]
    const where = { file: directory, channel, epoch, offset: position }
    if (session === undefined || wanted === undefined)
      throw differ(`${nameOf(found.entry)} at the end`, 'nothing more', where)
    if (index !== this.#entry)
      throw differ(`entry ${index} of a session`, `entry ${this.#entry}, ${nameOf(wanted)}`, where)
    const difference = differenceOf(found.entry, wanted)
    if (difference !== undefined) throw differ(difference, nameOf(wanted), where)
    if (session.commit?.epoch !== epoch) {
      throw differ(
        `${nameOf(wanted)} in epoch ${epoch}`,
        `epoch ${session.commit?.epoch}, which its writer was told`,
        where,
      )
    }
    this.#entry += 1
    if (this.#entry < session.entries.length) return
    this.#session += 1
    this.#entry = 0
  }

  /** What was sent and not found. */
  rest(): { readonly count: number; readonly first: DemoEntry } | undefined {
    const left = this.#sessions.slice(this.#session).flatMap((session) => session.entries)
    const first = left[this.#entry]
    return first === undefined ? undefined : { count: left.length - this.#entry, first }
  }
}

/** @returns what was found, if it is not what was wanted */
function differenceOf(found: LogEntry['entry'], wanted: DemoEntry): string | undefined {
  if (found.op !== wanted.op || found.storage !== wanted.storage) return `${nameOf(found)} in storage ${found.storage}`
  if (found.op !== 'put' || wanted.op !== 'put') return undefined
  if (!wanted.key.equals(found.key)) return nameOf(found)
  if (!wanted.value.equals(found.value)) return `${nameOf(found)} with another value`
  return undefined
}

type Named = Pick<LogEntry['entry'], 'op'> & { readonly key?: Uint8Array }

const nameOf = ({ op, key }: Named): string =>
  key === undefined ? op : `${op} of key ${JSON.stringify(Buffer.from(key).toString())}`

function differ(found: string, expected: string, where: TravertineError['where']): TravertineError {
  return new TravertineError('HISTORIES_DIFFER', `Cannot confirm the log: found ${found}, expected ${expected}`, {
    where,
    hint: 'the log is not what was written: keep the directory (--directory) and run `travertine verify` on it',
  })
}
