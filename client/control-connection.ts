/**
 * The control connection of a client: what the node said about itself, and whether it is still there.
 *
 * A heartbeat goes out each HEARTBEAT_INTERVAL_MS; the node counts as gone at the end of the connection or after
 * HEARTBEAT_TIMEOUT_MS of silence. Silence is counted in heartbeats, not on a clock: between two of them the event loop
 * has looked at the connection. A process that was paused, or busy in one long turn, has missed heartbeats of its own and
 * does not blame the node for them.
 */
import type { Clock, Timer } from '../protocol/clock.ts'
import type { Connection } from '../protocol/connection.ts'
import { encodeMessage, type Message, MessageReader } from '../protocol/control-message.ts'
import { fromWireError, TravertineError } from '../protocol/errors.ts'
import { HEARTBEAT_INTERVAL_MS, HEARTBEAT_TIMEOUT_MS } from '../protocol/limits.ts'
import type { OpenedConnection } from './handshake.ts'

export interface HeartbeatOptions {
  readonly intervalMs: number
  readonly timeoutMs: number
}

/** `isSilent`: the node said nothing for too long. Otherwise the connection has ended, or the node has said good-bye. */
export type OnLost = (error: TravertineError, isSilent: boolean) => void

const HEARTBEAT_DEFAULT: HeartbeatOptions = { intervalMs: HEARTBEAT_INTERVAL_MS, timeoutMs: HEARTBEAT_TIMEOUT_MS }

export class ControlConnection {
  readonly #connection: Connection
  readonly #peer: string
  readonly #reader: MessageReader
  readonly #onLost: OnLost
  readonly #heartbeat: HeartbeatOptions
  readonly #timer: Timer
  #sequence = 0
  /** Heartbeats since something was heard. */
  #silentBeats = 0
  #isSilent = false
  #isClosed = false
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>
  /** A reader's: told of each group_commit, which is answered. Without it group_commit is not expected. */
  onGroupCommit: ((epoch: bigint) => void) | undefined

  /** @param onLost called once, unless the connection is closed by us */
  constructor(clock: Clock, opened: OpenedConnection, onLost: OnLost, heartbeat = HEARTBEAT_DEFAULT) {
    this.#connection = opened.connection
    this.#peer = opened.peer
    this.#reader = new MessageReader({ peer: opened.peer })
    this.#onLost = onLost
    this.#heartbeat = heartbeat
    this.closed = new Promise((resolve) => {
      this.#connection.handle({
        data: (chunk) => this.#read(chunk),
        ended: () => this.#lost('the node has closed it'),
        closed: (cause) => {
          resolve()
          this.#lost(cause === undefined ? 'it was closed' : `its socket failed: ${cause.message}`, cause)
        },
      })
    })
    this.#timer = clock.every(heartbeat.intervalMs, () => this.#beat())
    clock.endOfTurn(() => {
      if (opened.rest.length > 0) this.#read(opened.rest)
      this.#connection.resume()
    })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer.cancel()
    this.#connection.close()
  }

  #beat(): void {
    const { intervalMs, timeoutMs } = this.#heartbeat
    if (this.#silentBeats * intervalMs >= timeoutMs) {
      this.#isSilent = true
      this.#lost(`found ${timeoutMs} ms of silence, expected heartbeats`)
      return
    }
    this.#silentBeats += 1
    if (this.#connection.unsentBytes === 0) {
      this.#connection.write(encodeMessage({ type: 'heartbeat', sequence: this.#sequence++ }))
    }
  }

  #read(chunk: Buffer): void {
    if (this.#isClosed) return
    try {
      for (const message of this.#reader.push(chunk)) this.#heard(message)
      this.#silentBeats = 0
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      this.#end(error)
    }
  }

  #heard(message: Message): void {
    if (message.type === 'heartbeat_ok') return
    if (message.type === 'group_commit' && this.onGroupCommit !== undefined) {
      this.#connection.write(encodeMessage({ type: 'group_commit_ok', epoch: message.epoch }))
      this.onGroupCommit(message.epoch)
      return
    }
    if (message.type === 'error') throw fromWireError(message.error, this.#peer)
    if (message.type === 'session_end') {
      throw new TravertineError('SHUTTING_DOWN', `Cannot go on with ${this.#peer}: ${message.reason.slice(0, 200)}`, {
        where: { peer: this.#peer },
      })
    }
    throw new TravertineError(
      'MESSAGE_UNEXPECTED',
      `Cannot go on with ${this.#peer}: found a ${message.type} message, expected heartbeat_ok`,
      { where: { peer: this.#peer } },
    )
  }

  #lost(what: string, cause?: Error): void {
    this.#end(
      new TravertineError('CONNECTION_LOST', `Cannot go on with the control connection to ${this.#peer}: ${what}`, {
        where: { peer: this.#peer },
        cause,
      }),
    )
  }

  #end(error: TravertineError): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer.cancel()
    this.#connection.destroy()
    this.#onLost(error, this.#isSilent)
  }
}
