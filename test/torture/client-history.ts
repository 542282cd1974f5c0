/**
 * What the writers of a torture run were told, session by session: the one thing that the checker believes in.
 *
 * Time is a count that every event raises: of two events the one with the lower count came first, as this process saw
 * it. A session is sent before it is answered, so "sent after that one was answered" can be read from the counts.
 */
import type { Commit, Level, Outcome } from '../../client/client.ts'

/** Names a session in keys and values, whichever connection, producer or mastership it went through. */
export interface SessionId {
  readonly writer: number
  readonly n: number
}

export const nameOf = ({ writer, n }: SessionId): string => `${writer}/${n}`

/** What a session consists of; its bytes follow from it (session-content.ts). */
export interface SessionContent extends SessionId {
  readonly entries: number
  readonly valueBytes: number
  /** Was answered STORED, on another channel, before this one was sent. */
  readonly dependsOn: SessionId | undefined
}

/** An answer, and when it was heard. */
export interface Answer {
  readonly at: number
  readonly term: bigint
  readonly tag: number
  readonly epoch: bigint
  /** Heard over another connection than that of the moment at which the session ended: it may name a later epoch. */
  readonly isResumed?: boolean
}

export interface SessionRecord extends SessionContent {
  readonly channel: number
  readonly sentAt: number
  stored?: Answer
  propagated?: Answer
  /** How the wait for the level that was not reached has ended. `stored` may be there all the same. */
  failed?: { readonly outcome: Outcome; readonly code: string }
}

export class ClientHistory {
  readonly sessions: SessionRecord[] = []
  propagatedCount = 0
  #clock = 0

  sent(channel: number, content: SessionContent): SessionRecord {
    const record: SessionRecord = { ...content, channel, sentAt: ++this.#clock }
    this.sessions.push(record)
    return record
  }

  reached(level: Level, record: SessionRecord, { term, epoch }: Commit, isResumed = false): void {
    record[level] = { at: ++this.#clock, term: term.number, tag: term.tag, epoch, isResumed }
    if (level === 'propagated') this.propagatedCount += 1
  }
}

/** How a session stands, for summaries: the highest level it reached, or how it failed. */
export function outcomeOf(record: SessionRecord): 'propagated' | 'stored' | Outcome {
  if (record.propagated !== undefined) return 'propagated'
  if (record.stored !== undefined) return 'stored'
  return record.failed?.outcome ?? 'unknown'
}
