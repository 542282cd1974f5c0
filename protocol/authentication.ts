/**
 * The shared-secret handshake in front of a control connection (REP-50 and following): both sides prove that they know the same
 * secret, and neither sends it. Pure but for HMAC: no socket, no clock, nonces come in as arguments.
 *
 *   initiator -> auth_begin      key id of its secret, the role it wants, its nonce
 *   responder -> auth_challenge  its own nonce, and its proof over both
 *   initiator -> auth_proof      its proof over both; its first message may follow at once
 *
 * A proof is HMAC-SHA-256 of side, role and both nonces under the secret, so a recorded one is worth nothing later, one of
 * one side nothing on the other, and one for reading nothing for writing. Proofs are compared in constant time. Secrets never
 * appear in messages, errors or logs; a key id tells which of two valid secrets is meant (rotation), and nothing of it.
 *
 * It does not encrypt: whoever can read the network reads the data, and session secrets with it. TLS does that.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Message } from './control-message.ts'
import { TravertineError } from './errors.ts'
import { SECRET_CHARS_MIN } from './limits.ts'

/** What the one who connects may do. Each role includes what stands before it, but for `replica`, which is a master's word to its replica. */
export const PEER_ROLES = ['reader', 'writer', 'replica', 'admin'] as const
export type PeerRole = (typeof PEER_ROLES)[number]

export interface SharedSecret {
  readonly secret: string
  /** Roles that this secret gives. */
  readonly roles: readonly PeerRole[]
}

type Side = 'initiator' | 'responder'

const isPeerRole = (text: string): text is PeerRole => PEER_ROLES.some((role) => role === text)

/** 16 bytes that name a secret. */
export function keyIdOf(secret: string): Buffer {
  return createHmac('sha256', secret).update('travertine key id').digest().subarray(0, 16)
}

interface Exchange {
  readonly role: string
  readonly initiatorNonce: Uint8Array
  readonly responderNonce: Uint8Array
}

function proofOf(secret: string, side: Side, { role, initiatorNonce, responderNonce }: Exchange): Buffer {
  return createHmac('sha256', secret)
    .update(`travertine 1 ${side} ${role}\n`)
    .update(initiatorNonce)
    .update(responderNonce)
    .digest()
}

/** The side that connects. */
export class AuthInitiator {
  readonly #secret: string
  readonly #role: PeerRole
  readonly #nonce: Uint8Array

  constructor(secret: SharedSecret, role: PeerRole, nonce: Uint8Array) {
    this.#secret = secret.secret
    this.#role = role
    this.#nonce = nonce
  }

  begin(): Message<'auth_begin'> {
    return { type: 'auth_begin', role: this.#role, key: keyIdOf(this.#secret), nonce: this.#nonce }
  }

  /** @throws AUTHENTICATION_FAILED if the other side does not know the secret */
  prove(challenge: Message<'auth_challenge'>): Message<'auth_proof'> {
    const exchange = { role: this.#role, initiatorNonce: this.#nonce, responderNonce: challenge.nonce }
    if (!timingSafeEqual(challenge.proof, proofOf(this.#secret, 'responder', exchange))) {
      throw new TravertineError('AUTHENTICATION_FAILED', 'Cannot trust a node: it does not know the shared secret', {
        hint: 'is this the address of a node of your cluster, and does it have the same secret file?',
      })
    }
    return { type: 'auth_proof', proof: proofOf(this.#secret, 'initiator', exchange) }
  }
}

/** The side that was connected to. One object per connection, used once. */
export class AuthResponder {
  readonly #secrets: readonly SharedSecret[]
  readonly #nonce: Uint8Array
  #begun: { readonly secret: SharedSecret; readonly role: PeerRole; readonly initiatorNonce: Uint8Array } | undefined

  constructor(secrets: readonly SharedSecret[], nonce: Uint8Array) {
    this.#secrets = secrets
    this.#nonce = nonce
  }

  /** @throws AUTHENTICATION_FAILED for a secret that is not known, PERMISSION_DENIED for a role that it does not give */
  challenge(begin: Message<'auth_begin'>): Message<'auth_challenge'> {
    if (this.#begun !== undefined) throw failed()
    const secret = this.#secrets.find((one) => timingSafeEqual(keyIdOf(one.secret), begin.key))
    if (secret === undefined) throw failed()
    if (!isPeerRole(begin.role) || !secret.roles.includes(begin.role)) throw denied(begin.role)
    this.#begun = { secret, role: begin.role, initiatorNonce: begin.nonce }
    return { type: 'auth_challenge', nonce: this.#nonce, proof: proofOf(secret.secret, 'responder', this.#exchange()) }
  }

  /** @returns the role that was proven @throws AUTHENTICATION_FAILED */
  accept(proof: Message<'auth_proof'>): PeerRole {
    const begun = this.#begun
    if (begun === undefined) throw failed()
    if (!timingSafeEqual(proof.proof, proofOf(begun.secret.secret, 'initiator', this.#exchange()))) throw failed()
    return begun.role
  }

  #exchange(): Exchange {
    const { role = '', initiatorNonce = new Uint8Array() } = this.#begun ?? {}
    return { role, initiatorNonce, responderNonce: this.#nonce }
  }
}

/** One text for every way to fail: a stranger learns nothing from it. */
function failed(): TravertineError {
  return new TravertineError('AUTHENTICATION_FAILED', 'Cannot begin a session: the shared secret is missing or wrong', {
    hint: 'give the client or peer the secret file of this cluster',
  })
}

function denied(role: string): TravertineError {
  return new TravertineError(
    'PERMISSION_DENIED',
    `Cannot begin a session: found the role ${role.slice(0, 40)}, which this secret does not give`,
    { hint: 'use a secret that gives it, or add the role in the secret file of the node' },
  )
}

/**
 * Parses a secret file: one secret per line behind the roles that it gives, the first that gives a role is the one that this node proves it by.
 *
 *   # roles                 secret
 *   all                     3f0c...
 *   reader,writer           91ab...
 *
 * @throws CONFIG_INVALID with file and line; the text of a line never appears in it
 */
export function parseSecretFile(text: string, file: string): SharedSecret[] {
  const secrets: SharedSecret[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const bad = (what: string): TravertineError =>
      new TravertineError('CONFIG_INVALID', `Cannot use a secret file: ${what}`, {
        where: { file, line: index + 1 },
        hint: 'a line is: roles (all, or some of reader,writer,replica,admin), blanks, secret',
      })
    const [names = '', secret = '', ...rest] = line.split(/\s+/)
    if (secret === '' || rest.length > 0) throw bad('expected roles and one secret on a line')
    if (secret.length < SECRET_CHARS_MIN) {
      throw bad(`found a secret of ${secret.length} characters, expected at least ${SECRET_CHARS_MIN}`)
    }
    const roles = names === 'all' ? [...PEER_ROLES] : names.split(',')
    if (!roles.every(isPeerRole)) throw bad('found an unknown role')
    secrets.push({ secret, roles: roles.filter(isPeerRole) })
  }
  if (secrets.length > 0) return secrets
  throw new TravertineError('CONFIG_INVALID', 'Cannot use a secret file: found no secret in it', { where: { file } })
}
