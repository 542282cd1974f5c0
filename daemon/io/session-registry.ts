/** The secrets that a channel thread accepts on its log connections, and the connections that live on each. */
import { timingSafeEqual } from 'node:crypto'
import { TravertineError } from '../../protocol/errors.ts'
import type { SessionKind } from '../core/events.ts'

interface Session {
  readonly session: bigint
  /** Level of the protocol that it has agreed on. */
  readonly version: number
  readonly secret: Uint8Array
  readonly kind: SessionKind
}

type Registered = Session & { readonly closers: Set<() => void> }

/** What the first message of every log connection names. */
interface Opening {
  readonly version: number
  readonly session: bigint
  readonly secret: Uint8Array
  readonly channel: number
}

export class SessionRegistry {
  readonly #sessions = new Map<bigint, Registered>()

  register({ session, version, secret, kind }: Session): void {
    this.#sessions.set(session, { session, version, secret, kind, closers: new Set() })
  }

  /** Ends the session: its connections are closed, its secret is worth nothing any more. */
  forget(session: bigint): void {
    const found = this.#sessions.get(session)
    this.#sessions.delete(session)
    for (const close of found?.closers ?? []) close()
  }

  forgetAll(kind: SessionKind): void {
    for (const [session, registered] of [...this.#sessions]) if (registered.kind === kind) this.forget(session)
  }

  /**
   * Checks the first message of a log connection. `close` is called when the session ends.
   *
   * @returns a function that takes the connection off the session again
   * @throws SECRET_INVALID for an unknown session and for a wrong secret alike, PROTOCOL_VERSION_UNSUPPORTED, CHANNEL_UNKNOWN
   */
  admit(open: Opening, expected: { kind: SessionKind; channel: number }, close: () => void): () => void {
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
    if (open.version !== found.version) {
      throw new TravertineError(
        'PROTOCOL_VERSION_UNSUPPORTED',
        `Cannot open a log connection: found version ${open.version}, expected ${found.version}, on which its session has agreed`,
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
