/**
 * The listener of one channel: accepts log connections, does the opening handshake within its limit, and hands the
 * connection over with whatever bytes came behind the first message.
 */
import type { Connection, Listener } from '../../protocol/connection.ts'
import { encodeMessage, type Message, MessageReader } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { ADDRESS_CONNECTION_COUNT_LIMIT, CONNECTION_COUNT_LIMIT, HANDSHAKE_MS_MAX } from '../../protocol/limits.ts'
import type { World } from '../../protocol/world.ts'

/** Takes over opened connections, and answers with log_open_ok or log_read_ok. @throws TravertineError to refuse */
export interface LogOpenings {
  /** Somebody wants to append: a client on a master, a master on a replica. */
  append(connection: Connection, open: Message<'log_open'>, rest: Buffer): void
  read(connection: Connection, open: Message<'log_read'>, rest: Buffer): void
  /** A connection was refused: for whoever counts. */
  refused(error: TravertineError): void
}

export class LogListener {
  readonly #world: Pick<World, 'clock' | 'network'>
  readonly #openings: LogOpenings
  #listener: Listener | undefined
  #stopped = false

  constructor(world: Pick<World, 'clock' | 'network'>, openings: LogOpenings) {
    this.#world = world
    this.#openings = openings
  }

  /** Resolves with the port. @throws PORT_IN_USE */
  async listen(host: string, port: number): Promise<number> {
    this.#listener = await this.#world.network.listen(
      { host, port, connectionLimit: CONNECTION_COUNT_LIMIT, addressLimit: ADDRESS_CONNECTION_COUNT_LIMIT },
      (connection) => this.#accept(connection),
      (connection, error) => this.#refuse(connection, error),
    )
    if (this.#stopped) this.#listener.close()
    return this.#listener.port
  }

  /** No new connections. */
  stopListening(): void {
    this.#stopped = true
    this.#listener?.close()
  }

  close(): void {
    this.stopListening()
    this.#listener?.destroyConnections()
  }

  #accept(connection: Connection): void {
    const reader = new MessageReader({ peer: connection.peer })
    const timer = this.#world.clock.after(HANDSHAKE_MS_MAX, () => {
      this.#refuse(
        connection,
        new TravertineError('HANDSHAKE_TIMEOUT', 'Cannot open a log connection: found no log_open or log_read in time'),
      )
    })
    connection.handle({
      data: (chunk) => {
        try {
          const [message] = reader.push(chunk, 1)
          if (message === undefined) return
          timer.cancel()
          const rest = reader.takeRest()
          if (message.type === 'log_open') this.#openings.append(connection, message, rest)
          else if (message.type === 'log_read') this.#openings.read(connection, message, rest)
          else throw unexpectedOpening(message)
        } catch (thrown) {
          timer.cancel()
          if (!(thrown instanceof TravertineError)) throw thrown
          this.#refuse(connection, thrown)
        }
      },
      closed: () => timer.cancel(),
    })
  }

  /** Says why, and closes. */
  #refuse(connection: Connection, error: TravertineError): void {
    this.#openings.refused(error)
    connection.end(encodeMessage({ type: 'error', error: toWireError(error) }))
  }
}

function unexpectedOpening({ type }: Message): TravertineError {
  return new TravertineError(
    'MESSAGE_UNEXPECTED',
    `Cannot open a log connection: found ${type}, expected log_open or log_read`,
    { hint: 'this is the port of a log channel; clients and commands ask the control port, which comes before it' },
  )
}
