/**
 * The config of the cluster on its master: what rules, and the one change that may be under way.
 *
 * A change is a compare-and-swap on the number of the config, and one is made at a time: of two operators, one is told that
 * the other was first. Until `configDurable` the config before rules; then the new one does, and only then is the operator
 * answered. Who goes away meanwhile has changed it all the same.
 */
import type { ClusterConfig } from '../../protocol/cluster-config.ts'
import { type Message, negotiateVersion } from '../../protocol/control-message.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { nextConfig, uncounted } from '../../wal/config-change.ts'
import type { ConnectionId, Effect } from './events.ts'
import { checkCluster, type NodeFacts } from './node-facts.ts'

/** The level that brought the message. */
const CONFIG_CHANGE_VERSION = 2

interface Pending {
  readonly connection: ConnectionId
  readonly version: number
  readonly config: ClusterConfig
}

export class ConfigChanges {
  readonly #facts: NodeFacts
  #config: ClusterConfig
  #pending: Pending | undefined

  constructor(facts: NodeFacts, config: ClusterConfig) {
    this.#facts = facts
    this.#config = config
  }

  /** What rules now. */
  get config(): ClusterConfig {
    return this.#config
  }

  /** Who waits for a change. */
  get waiting(): ConnectionId | undefined {
    return this.#pending?.connection
  }

  /**
   * @param usedRows rows of sessions, also of those that are leaving
   * @throws PROTOCOL_VERSION_UNSUPPORTED, CLUSTER_MISMATCH, CONFIG_CONFLICT, CONFIG_INVALID, POLICY_LOOSENED
   */
  request(connection: ConnectionId, message: Message<'config_change'>, usedRows: readonly number[]): Effect[] {
    const version = versionOf(message)
    checkCluster(this.#facts, message.clusterId)
    if (this.#pending !== undefined) throw conflict('another change under way')
    if (message.base !== this.#config.number) {
      throw conflict(`config ${this.#config.number}, expected ${message.base}: it was changed meanwhile`)
    }
    const config = nextConfig(this.#config, message, usedRows)
    if (config === this.#config) return [answer({ connection, version, config })]
    if (config.loosened > this.#config.loosened && !message.loosen) throw tooLoose(this.#config, message)
    this.#pending = { connection, version, config }
    return [{ type: 'changeConfig', config }]
  }

  /** The config of this number rules. @returns undefined if no change has waited for it */
  durable(number: number): { readonly effects: Effect[] } | undefined {
    const pending = this.#pending
    if (pending?.config.number !== number) return undefined
    const before = this.#config
    this.#config = pending.config
    this.#pending = undefined
    return { effects: [tell(before, pending.config), answer(pending)] }
  }
}

/** @throws PROTOCOL_VERSION_UNSUPPORTED */
function versionOf(message: Message<'config_change'>): number {
  const version = negotiateVersion(message)
  if (version >= CONFIG_CHANGE_VERSION) return version
  throw new TravertineError(
    'PROTOCOL_VERSION_UNSUPPORTED',
    `Cannot change the config of the cluster: found level ${version} of the protocol, expected at least ${CONFIG_CHANGE_VERSION}`,
  )
}

function answer({ connection, version, config }: Pending): Effect {
  const { number, loosened, quorum } = config
  const members = config.members.map(({ address, inSync }) => ({ address, inSync }))
  return {
    type: 'send',
    connection,
    message: { type: 'config_change_ok', version, number, loosened, quorum, members },
  }
}

function tell(before: ClusterConfig, config: ClusterConfig): Effect {
  const text = `config ${config.number}: ${describe(config)}`
  return config.loosened === before.loosened
    ? { type: 'log', level: 'info', text }
    : {
        type: 'log',
        level: 'warn',
        code: 'POLICY_LOOSENED',
        text: `PROPAGATED promises less than before, by an operator's command: ${text}, before: ${describe(before)}`,
      }
}

function describe({ quorum, members }: ClusterConfig): string {
  const names = members.map(({ address, inSync }) => (inSync ? address : `${address} (does not count)`))
  return `quorum ${quorum}, ${names.length === 0 ? 'no replica' : names.join(', ')}`
}

function conflict(found: string): TravertineError {
  return new TravertineError('CONFIG_CONFLICT', `Cannot change the config of the cluster: found ${found}`, {
    hint: 'look at it as it is now with `travertine member list`, and decide again',
  })
}

function tooLoose(config: ClusterConfig, wanted: Message<'config_change'>): TravertineError {
  const found = uncounted(config, wanted).map((address) => `${address} counting no more`)
  if (wanted.quorum < config.quorum) found.push(`quorum ${wanted.quorum} instead of ${config.quorum}`)
  return new TravertineError(
    'POLICY_LOOSENED',
    `Cannot change the config of the cluster: found ${found.join(', ')}; expected a policy that is as strict as before`,
    { hint: 'PROPAGATED would promise less; if that is meant, say so with --loosen' },
  )
}
