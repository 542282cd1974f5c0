/**
 * The log connections of readers on one channel, on a master and on a replica alike: frames go out, nothing comes in.
 *
 * A reader is sent everything that is durable here, whole slices of it, wherever they end: what of it is committed it
 * hears on its control connection. What goes wrong cannot be said in between frames, so it is reported, and said there too.
 */
import type { Clock } from '../../protocol/clock.ts'
import type { Connection } from '../../protocol/connection.ts'
import { encodeMessage, type Message } from '../../protocol/control-message.ts'
import { type ErrorPlace, TravertineError } from '../../protocol/errors.ts'
import { LOG_SLICE_BYTES, READER_QUEUE_BYTES_LIMIT } from '../../protocol/limits.ts'
import type { Segments } from '../../wal/segments.ts'
import { LogStream } from './log-stream.ts'
import type { SessionRegistry } from './session-registry.ts'

export interface ReaderLinksOptions {
  readonly clock: Clock
  readonly channel: number
  readonly registry: SessionRegistry
  /** The channel's files, opened for reading. */
  readonly openFiles: () => Segments
  readonly durablePosition: () => number
  /** Is a flush planned that writers wait for? `pump` is called when it is through. */
  readonly isFlushPlanned?: () => boolean
  /** Begin of a frame before which nothing of this epoch or a later one stands; 0 if none is known. */
  readonly startOf: (epoch: bigint) => number
  /** A link has ended by what its reader did, or because the files cannot be read. */
  readonly onFailed: (session: bigint, error: TravertineError) => void
}

interface ReaderLink {
  readonly stream: LogStream
  end(): void
  fail(error: TravertineError): void
}

interface NewLink {
  readonly connection: Connection
  readonly session: bigint
  readonly files: Segments
  readonly position: number
  /** Takes the connection off its session. */
  readonly release: () => void
}

export class ReaderLinks {
  readonly #options: ReaderLinksOptions
  readonly #links = new Set<ReaderLink>()

  constructor(options: ReaderLinksOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#links.size
  }

  /** @throws SECRET_INVALID, CHANNEL_UNKNOWN, LOG_DROPPED, MESSAGE_UNEXPECTED, DISK_FAILED */
  open(connection: Connection, open: Message<'log_read'>, rest: Buffer): void {
    const { channel, registry, openFiles, startOf } = this.#options
    const where = { channel, peer: connection.peer }
    if (rest.length > 0) throw unexpectedBytes(where)
    const release = registry.admit(open, { kind: 'reader', channel }, () => link.end())
    let files: Segments | undefined
    let link: ReaderLink
    try {
      files = openFiles()
      const position = Math.max(open.position, startOf(open.fromEpoch))
      if (position < files.firstPosition) throw dropped(position, files.firstPosition, where)
      connection.write(encodeMessage({ type: 'log_read_ok', position }))
      link = this.#link({ connection, session: open.session, files, position, release })
    } catch (error) {
      files?.close()
      release()
      throw error
    }
    connection.handle({
      data: () => link.fail(unexpectedBytes(where)),
      drained: () => link.stream.pump(),
      closed: () => link.end(),
    })
    link.stream.pump()
  }

  /** More has become durable. */
  pump(): void {
    for (const link of this.#links) link.stream.pump()
  }

  close(): void {
    for (const link of [...this.#links]) link.end()
  }

  #link({ connection, session, files, position, release }: NewLink): ReaderLink {
    const { clock, durablePosition, isFlushPlanned, onFailed } = this.#options
    const end = (): void => {
      if (!this.#links.delete(link)) return
      release()
      stream.stop()
      files.close()
      connection.destroy()
    }
    const fail = (error: TravertineError): void => {
      if (!this.#links.has(link)) return
      end()
      onFailed(session, error)
    }
    const stream = new LogStream({
      clock,
      connection,
      files,
      position,
      sliceBytes: LOG_SLICE_BYTES,
      queueBytes: READER_QUEUE_BYTES_LIMIT,
      durablePosition,
      isFlushPlanned,
      onError: fail,
    })
    const link: ReaderLink = { stream, end, fail }
    this.#links.add(link)
    return link
  }
}

function unexpectedBytes(where: ErrorPlace): TravertineError {
  return new TravertineError('MESSAGE_UNEXPECTED', 'Cannot go on with a reader: found bytes behind its log_read', {
    where,
    hint: 'a reader sends nothing on a log connection',
  })
}

function dropped(position: number, first: number, where: ErrorPlace): TravertineError {
  return new TravertineError(
    'LOG_DROPPED',
    `Cannot read the log from position ${position} on: found ${first} as its first position here`,
    { where, hint: 'begin with a later epoch, or read from a node that has more of the log' },
  )
}
