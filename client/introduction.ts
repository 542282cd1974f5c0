/**
 * What a client says first on a control connection: its hello, or where it has a shared secret the proof before it (REP-50).
 *
 * Used once. It also proves the node: a node that does not know the secret is not told the hello.
 */
import { AuthInitiator, type PeerRole } from '../protocol/authentication.ts'
import type { Message } from '../protocol/control-message.ts'
import { SECRET_BYTES } from '../protocol/message-field.ts'
import type { World } from '../protocol/world.ts'

/** How an application proves who it is. */
export interface Credential {
  readonly secret: string
  readonly role: PeerRole
}

export class Introduction {
  readonly #hello: Message
  readonly #initiator: AuthInitiator | undefined

  constructor(hello: Message, credential: Credential | undefined, world: Pick<World, 'randomBytes'>) {
    this.#hello = hello
    if (credential === undefined) return
    const { secret, role } = credential
    this.#initiator = new AuthInitiator({ secret, roles: [role] }, role, world.randomBytes(SECRET_BYTES))
  }

  first(): Message {
    return this.#initiator?.begin() ?? this.#hello
  }

  /** What to say to this answer; undefined: it is the answer to the hello, or an error. @throws AUTHENTICATION_FAILED */
  next(answer: Message): readonly Message[] | undefined {
    if (this.#initiator === undefined || answer.type !== 'auth_challenge') return undefined
    return [this.#initiator.prove(answer), this.#hello]
  }
}
