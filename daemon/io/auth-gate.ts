/**
 * What stands between a control connection and the core where shared secrets are asked for: nothing passes before the
 * secret is proven, and afterwards only what the proven role may say (REP-50 to REP-54).
 *
 * A gate belongs to one connection. It is given each message, and answers with what is to be sent back and whether the
 * message may pass. It never waits and knows no socket; how long a handshake may take is its owner's business.
 */
import { AuthInitiator, AuthResponder, type PeerRole, type SharedSecret } from '../../protocol/authentication.ts'
import type { Message, MessageType } from '../../protocol/control-message.ts'
import { fromWireError, TravertineError } from '../../protocol/errors.ts'

/** Who may begin with what. What is not listed only makes sense in a session that was begun, and passes. */
const ROLE_NEEDED: Readonly<Partial<Record<MessageType, PeerRole>>> = {
  status: 'reader',
  reader_hello: 'reader',
  client_hello: 'writer',
  session_begin: 'replica',
  config_change: 'admin',
}

/** What each role may do: itself, and these. */
const INCLUDES: Readonly<Record<PeerRole, readonly PeerRole[]>> = {
  reader: ['reader'],
  writer: ['reader', 'writer'],
  replica: ['reader', 'replica'],
  admin: ['reader', 'writer', 'replica', 'admin'],
}

/** Messages to send back; `passes`: the message is for the core. */
export interface Passage {
  readonly replies: readonly Message[]
  readonly passes: boolean
}

const PASSES: Passage = { replies: [], passes: true }

/** A connection that came in. */
export class AcceptGate {
  readonly #responder: AuthResponder
  #role: PeerRole | undefined

  constructor(secrets: readonly SharedSecret[], nonce: Uint8Array) {
    this.#responder = new AuthResponder(secrets, nonce)
  }

  /** @throws AUTHENTICATION_FAILED, PERMISSION_DENIED: the connection ends */
  receive(message: Message): Passage {
    if (this.#role !== undefined) return this.#judge(message, this.#role)
    switch (message.type) {
      case 'auth_begin':
        return { replies: [this.#responder.challenge(message)], passes: false }
      case 'auth_proof':
        this.#role = this.#responder.accept(message)
        return { replies: [], passes: false }
      default:
        throw new TravertineError(
          'AUTHENTICATION_FAILED',
          `Cannot begin a session: found ${message.type}, expected auth_begin: this node asks for a shared secret`,
          { hint: 'give the client or peer the secret file of this cluster' },
        )
    }
  }

  #judge(message: Message, role: PeerRole): Passage {
    const needed = ROLE_NEEDED[message.type]
    if (needed === undefined || INCLUDES[role].includes(needed)) return PASSES
    throw new TravertineError(
      'PERMISSION_DENIED',
      `Cannot handle ${message.type}: found the role ${role}, expected ${needed}`,
      { hint: 'use a secret that gives the role' },
    )
  }
}

/** A connection that this node has dialled: to a replica that it feeds. */
export class DialGate {
  readonly #initiator: AuthInitiator
  #isOpen = false

  /** @throws AUTHENTICATION_FAILED if none of the secrets gives the role */
  constructor(secrets: readonly SharedSecret[], nonce: Uint8Array) {
    const secret = secrets.find(({ roles }) => roles.includes('replica'))
    if (secret === undefined) {
      throw new TravertineError(
        'AUTHENTICATION_FAILED',
        'Cannot begin a session: found no secret for the role replica',
        {
          hint: 'the secret file of a node that feeds replicas needs a line that gives it',
        },
      )
    }
    this.#initiator = new AuthInitiator(secret, 'replica', nonce)
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  begin(): Message {
    return this.#initiator.begin()
  }

  /** @throws AUTHENTICATION_FAILED, MESSAGE_UNEXPECTED, or what the other side says */
  receive(message: Message): Passage {
    if (this.#isOpen) return PASSES
    if (message.type === 'error') throw fromWireError(message.error)
    if (message.type !== 'auth_challenge') {
      throw new TravertineError(
        'MESSAGE_UNEXPECTED',
        `Cannot begin a session: found ${message.type}, expected auth_challenge`,
      )
    }
    const proof = this.#initiator.prove(message)
    this.#isOpen = true
    return { replies: [proof], passes: false }
  }
}
