/** `travertine member`: the replicas of a running cluster: who they are, one more, one less. */
import { Argument, type Command } from 'commander'
import { TravertineError } from '../protocol/errors.ts'
import type { WireMember } from '../protocol/message-field.ts'
import { askNode } from './ask-status.ts'
import { type ChangeOptions, changeConfig, printConfig, type Ruling, readConfig } from './change-config.ts'
import { newCommand, nodeAddresses } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { addSecurityOptions, readSecurityOptions } from './security-options.ts'

const ACTIONS = ['list', 'add', 'remove'] as const
type Action = (typeof ACTIONS)[number]

interface MemberOptions extends ChangeOptions {
  readonly notInSync?: boolean
  readonly check: boolean
}

export function memberCommand(): Command {
  const command = newCommand({
    name: 'member',
    summary: 'list, add or remove replicas while the cluster runs',
    description:
      'list shows the members and the policy. add makes replicas members: the master streams to them, and PROPAGATED waits ' +
      'for them at once, unless --not-in-sync is given; a member can be added again to change that. A new one is asked ' +
      'first whether it is a replica of this cluster. remove lets members go; where they count, PROPAGATED promises less afterwards, and it takes --loosen. ' +
      'A change is written into the log, and rules when the command is done. It needs the role admin.',
    examples: [
      'travertine member list',
      'travertine member add 10.0.0.3:7400 --node 10.0.0.1:7400',
      'travertine member add db4.example db5.example --not-in-sync --node 10.0.0.1:7400',
      'travertine member remove 10.0.0.2:7400 --loosen --node 10.0.0.1:7400 --secret-file /etc/travertine/secret',
    ],
    exitCodes: [ExitCode.NETWORK],
  })
    .addArgument(new Argument('<action>', 'what to do').choices(ACTIONS))
    .argument('[address...]', 'members to add or to remove', nodeAddresses)
    .option('--not-in-sync', 'add: PROPAGATED does not wait for it')
    .option('--no-check', 'add: do not ask it first; it is out of reach from here, or not there yet')
    .option('--loosen', 'PROPAGATED may promise less than before')
  return addNodeOption(addSecurityOptions(command)).action(member)
}

export function addNodeOption(command: Command): Command {
  return command.option('--node <host:port>', 'a node of the cluster; may be repeated', nodeAddresses, [])
}

async function member(action: Action, names: readonly string[], options: MemberOptions): Promise<void> {
  if ((action === 'list') !== (names.length === 0)) {
    const [found, expected] = names.length === 0 ? ['no address', 'some'] : [`${names.length} addresses`, 'none']
    throw new TravertineError('CONFIG_INVALID', `Cannot ${action} members: found ${found}, expected ${expected}`)
  }
  switch (action) {
    case 'list':
      return printConfig(await readConfig(options), options.json)
    case 'add': {
      const inSync = options.notInSync !== true
      return changeConfig(options, async (ruling) => {
        if (options.check) await checkReplicas(ruling, names, options)
        return { quorum: ruling.quorum, members: withMembers(ruling.members, names, inSync) }
      })
    }
    case 'remove':
      return changeConfig(options, ({ quorum, members }) => ({ quorum, members: withoutMembers(members, names) }))
  }
}

/**
 * PROPAGATED waits for a member at once, so a wrong address would hold up all writers. Members of before may be away; those
 * that answer are known by their ids, since one replica under two names would be taken by each from the other, for ever.
 *
 * @throws what a node cannot be reached by; CLUSTER_MISMATCH; CHANNEL_COUNT_MISMATCH; CONFIG_INVALID for a master, or for a second name
 */
async function checkReplicas(ruling: Ruling, names: readonly string[], options: MemberOptions): Promise<void> {
  const known = ruling.members.map(({ address }) => address)
  const added = [...new Set(names)].filter((name) => !known.includes(name))
  if (added.length === 0) return
  const security = readSecurityOptions(options, 'admin')
  const asked = await Promise.all([...known, ...added].map((name) => askNode(name, security, 'admin')))
  const firstNames = new Map<unknown, string>()
  for (const { address, status, error } of asked) {
    const nodeId = status?.['nodeId']
    const firstName = firstNames.get(nodeId) ?? address
    if (nodeId !== undefined) firstNames.set(nodeId, firstName)
    if (known.includes(address)) continue
    const hint = 'start the replica first, or leave out this question with --no-check'
    if (status === undefined) {
      const code = error?.code ?? 'CONNECT_FAILED'
      throw new TravertineError(code, `Cannot add ${address}: ${error?.message}`, { where: { peer: address }, hint })
    }
    const { clusterId, channels, role } = status
    if (clusterId !== ruling.clusterId) {
      const message = `Cannot add ${address}: found cluster ${clusterId}, expected ${ruling.clusterId}`
      throw new TravertineError('CLUSTER_MISMATCH', message, {
        where: { peer: address },
        hint: 'init --join makes a replica of this cluster',
      })
    }
    if (Number(channels) !== ruling.channels) {
      const message = `Cannot add ${address}: found ${channels} channels, expected ${ruling.channels}`
      throw new TravertineError('CHANNEL_COUNT_MISMATCH', message, {
        where: { peer: address },
        hint: 'the channel count is fixed at init: make the replica anew, with init --join',
      })
    }
    if (role === 'replica' && firstName === address) continue
    const [found, ending] =
      role === 'replica'
        ? [
            `the same node as ${firstName}`,
            { hint: 'remove the other name, or leave out this question with --no-check' },
          ]
        : [`a ${String(role)}`, {}]
    throw new TravertineError('CONFIG_INVALID', `Cannot add ${address}: found ${found}, expected another replica`, {
      where: { peer: address },
      ...ending,
    })
  }
}

function withMembers(members: readonly WireMember[], names: readonly string[], inSync: boolean): WireMember[] {
  const others = members.filter(({ address }) => !names.includes(address))
  return [...others, ...[...new Set(names)].map((address) => ({ address, inSync }))]
}

/** @throws MEMBER_UNKNOWN */
function withoutMembers(members: readonly WireMember[], names: readonly string[]): WireMember[] {
  for (const name of names) {
    if (members.some(({ address }) => address === name)) continue
    throw new TravertineError('MEMBER_UNKNOWN', `Cannot remove a member: found no ${name} among the members`, {
      hint: 'see `travertine member list`',
    })
  }
  return members.filter(({ address }) => !names.includes(address))
}
