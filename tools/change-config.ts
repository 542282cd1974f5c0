/**
 * Members and policy of a running cluster, as `member` and `policy` read and change them: finds the master, reads the config
 * that rules, and sends what is wanted instead of it. The number that was read goes along: if somebody else was faster,
 * the master says so, and nothing is changed.
 */
import type { ClientSecurity } from '../client/client.ts'
import { shakeHands } from '../client/handshake.ts'
import { checkConnectOptions } from '../client/options.ts'
import { HOST_DEFAULT, PORT_DEFAULT } from '../config/defaults.ts'
import { splitAddress } from '../protocol/address.ts'
import type { PeerRole } from '../protocol/authentication.ts'
import { type Message, PROTOCOL_VERSION_MAX } from '../protocol/control-message.ts'
import { type ErrorCode, TravertineError } from '../protocol/errors.ts'
import type { WireMember } from '../protocol/message-field.ts'
import { nodeWorld } from '../world/node-world.ts'
import { askMaster } from './ask-master.ts'
import { listOf } from './ask-status.ts'
import { coloursOf, printJson, printLine } from './output.ts'
import { readSecurityOptions, type SecurityOptions } from './security-options.ts'

/** The level that brought config_change. */
const VERSION_MIN = 2

export interface ChangeOptions extends SecurityOptions {
  readonly node: readonly string[]
  readonly loosen?: boolean
  readonly json?: boolean
}

export interface Ruling {
  readonly master: string
  readonly clusterId: string
  readonly channels: number
  readonly number: number
  readonly loosened: number
  readonly quorum: number
  readonly members: readonly WireMember[]
}

type Wanted = Pick<Ruling, 'quorum' | 'members'>

/** What rules now. @throws what askMaster throws */
export async function readConfig(options: ChangeOptions, role: PeerRole = 'reader'): Promise<Ruling> {
  const given = options.node.length > 0 ? options.node : [`${HOST_DEFAULT}:${PORT_DEFAULT}`]
  const { address, status } = await askMaster(given, readSecurityOptions(options, role), role)
  const members = listOf(status['replicas']).map(({ address, inSync }) => ({
    address: String(address),
    inSync: inSync === true,
  }))
  return {
    master: address,
    clusterId: String(status['clusterId']),
    channels: Number(status['channels']),
    number: Number(status['configNumber']),
    loosened: Number(status['loosened']),
    quorum: Number(status['quorum']),
    members,
  }
}

/** Makes what `want` says of the config that rules, and prints what rules then. @throws also what the master refuses with */
export async function changeConfig(
  options: ChangeOptions,
  want: (ruling: Ruling) => Wanted | Promise<Wanted>,
): Promise<void> {
  const before = await readConfig(options, 'admin')
  const { master, clusterId, channels, number: base } = before
  const wanted = await want(before)
  const message: Message<'config_change'> = {
    type: 'config_change',
    versionMin: VERSION_MIN,
    versionMax: PROTOCOL_VERSION_MAX,
    clusterId,
    base,
    loosen: options.loosen === true,
    quorum: wanted.quorum,
    members: wanted.members,
  }
  const { number, loosened, quorum, members } = await send(master, message, readSecurityOptions(options, 'admin'))
  printConfig({ master, clusterId, channels, number, loosened, quorum, members }, options.json, number > base)
}

export function printConfig(ruling: Ruling, json: boolean | undefined, changed?: boolean): void {
  const { master, clusterId, number, loosened, quorum, members } = ruling
  if (json === true) {
    const isChange = changed === undefined ? {} : { changed }
    printJson({ ok: true, ...isChange, master, clusterId, number, quorum, loosened, members })
    return
  }
  const { bold } = coloursOf(process.stdout)
  const news = changed === undefined ? '' : changed ? ', changed' : ', as it was'
  printLine(`${bold(`config ${number}`)}${news}, master ${master}`)
  printLine(`policy      quorum ${quorum}, loosened ${loosened} times`)
  for (const { address, inSync } of members) {
    printLine(`member      ${address}  ${inSync ? 'in-sync' : 'does not count for PROPAGATED'}`)
  }
  const counted = members.filter(({ inSync }) => inSync).length
  if (counted === 0) printLine('no member counts: PROPAGATED is refused with NO_REPLICA_IN_SET')
  else if (counted < quorum) printLine(`PROPAGATED waits: found ${counted} in-sync members, expected ${quorum}`)
}

async function send(
  address: string,
  message: Message<'config_change'>,
  security: ClientSecurity,
): Promise<Message<'config_change_ok'>> {
  const [host, port] = splitAddress(address) ?? ['', 0] // it was just asked for its status
  const checked = checkConnectOptions({ address, security }, nodeWorld, 'admin')
  const { world, credential } = checked
  try {
    const { connection, reply } = await shakeHands(
      world,
      { host, port },
      message,
      'config_change_ok',
      checked,
      credential,
    )
    connection.destroy()
    return reply
  } catch (thrown) {
    throw thrown instanceof TravertineError ? explained(thrown, address) : thrown
  }
}

/** After these nobody knows whether the master has got to read the message. */
const UNKNOWN_OUTCOME: readonly ErrorCode[] = ['CONNECT_FAILED', 'HANDSHAKE_TIMEOUT', 'DEADLINE_EXCEEDED']

function explained(error: TravertineError, peer: string): TravertineError {
  const { code, where } = error
  if (code === 'MESSAGE_UNEXPECTED' && /found type "config_change"/.test(error.message)) {
    return new TravertineError(
      'PROTOCOL_VERSION_UNSUPPORTED',
      `Cannot change the config of the cluster: found a master of level 1 of the protocol, expected ${VERSION_MIN}`,
      { where: { ...where, peer }, hint: 'run a newer version on it; nothing was changed' },
    )
  }
  if (!UNKNOWN_OUTCOME.includes(code)) return error
  return new TravertineError(code, error.message, {
    where,
    hint: 'it may have been changed, or not; see `travertine member list`',
    cause: error,
  })
}
