/**
 * What a running node has for its security, and how it is renewed without a restart: the shared secrets of the control
 * channel, and the TLS material of all ports. Connections that are up are not asked again.
 */
import type { SharedSecret } from '../protocol/authentication.ts'
import { TravertineError } from '../protocol/errors.ts'
import type { World } from '../protocol/world.ts'
import { nodeWorld } from '../world/node-world.ts'
import { type TlsMaterial, TlsNetwork } from '../world/tls-network.ts'
import type { NodeSecurity } from './node-config.ts'

/** Whoever has listeners of his own. */
interface TlsUser {
  renewTls(tls: TlsMaterial): void
}

export class Security {
  #secrets: readonly SharedSecret[]
  readonly #network: TlsNetwork | undefined
  readonly tls: TlsMaterial | undefined
  readonly world: World
  readonly #users: TlsUser[] = []

  constructor({ secrets = [], tls }: NodeSecurity) {
    this.#secrets = secrets
    this.tls = tls
    this.#network = tls === undefined ? undefined : new TlsNetwork(tls)
    this.world = this.#network === undefined ? nodeWorld : { ...nodeWorld, network: this.#network }
  }

  get secrets(): readonly SharedSecret[] {
    return this.#secrets
  }

  /** `user` hears of new TLS material. */
  watch<U extends TlsUser>(user: U): U {
    this.#users.push(user)
    return user
  }

  /** @throws CONFIG_INVALID, and nothing is changed */
  renew({ secrets = [], tls }: Pick<NodeSecurity, 'secrets' | 'tls'>): void {
    const isSame = secrets.length > 0 === this.#secrets.length > 0 && (tls === undefined) === (this.tls === undefined)
    if (!isSame) {
      throw new TravertineError(
        'CONFIG_INVALID',
        'Cannot renew: secrets and TLS can be changed, not added or taken away',
        {
          hint: 'restart the node for that',
        },
      )
    }
    if (tls !== undefined) {
      this.#network?.renew(tls)
      for (const user of this.#users) user.renewTls(tls)
    }
    this.#secrets = secrets
  }
}
