/** The secrets that a channel thread accepts on its log connections, and the connections that live on each. */
import { timingSafeEqual } from 'node:crypto'
import type { Message } from '../../protocol/control-message.ts'
import { TravertineError } from '../../protocol/errors.ts'

interface Registered {
  readonly secret: Uint8Array
  readonly kind: 'client' | 'replication'
  readonly closers: Set<() => void>
}

export class SessionRegistry {
  readonly #sessions = new Map<bigint, Registered>()

  register(session: bigint, secret: Uint8Array, kind: 'client' | 'replication'): void {
    this.#sessions.set(session, { secret, kind, closers: new Set() })
  }

  /** Ends the session: its connections are closed, its secret is worth nothing any more. */
  forget(session: bigint): void {
    const found = this.#sessions.get(session)
    this.#sessions.delete(session)
    for (const close of found?.closers ?? []) close()
  }

  forgetAll(): void {
    for (const session of [...this.#sessions.keys()]) this.forget(session)
  }

  /**
   * Checks the first message of a log connection. `close` is called when the session ends.
   *
   * @returns a function that takes the connection off the session again
   * @throws SECRET_INVALID for an unknown session and for a wrong secret alike, CHANNEL_UNKNOWN
   */
  admit(
    open: Message<'log_open'>,
    expected: { kind: 'client' | 'replication'; channel: number },
    close: () => void,
  ): () => void {
    const found = this.#sessions.get(open.session)
    const good = found !== undefined && found.kind === expected.kind && timingSafeEqual(found.secret, open.secret)
    if (!good) {
      throw new TravertineError(
        'SECRET_INVALID',
        'Cannot open a log connection: its session is unknown, or its secret is wrong',
        {
          hint: 'a session ends with its control connection; begin a new one',
        },
      )
    }
    if (open.channel !== expected.channel) {
      throw new TravertineError(
        'CHANNEL_UNKNOWN',
        `Cannot open a log connection: found channel ${open.channel}, expected ${expected.channel} on this port`,
        {
          where: { channel: open.channel },
        },
      )
    }
    found.closers.add(close)
    return () => found.closers.delete(close)
  }
}
