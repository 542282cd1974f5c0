/** `travertine member`: the replicas of a running cluster: who they are, one more, one less. */
import { Argument, type Command } from 'commander'
import { TravertineError } from '../protocol/errors.ts'
import type { WireMember } from '../protocol/message-field.ts'
import { type ChangeOptions, changeConfig, memberAddress, printConfig, readConfig } from './change-config.ts'
import { collect, newCommand } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { addSecurityOptions } from './security-options.ts'

const ACTIONS = ['list', 'add', 'remove'] as const
type Action = (typeof ACTIONS)[number]

interface MemberOptions extends ChangeOptions {
  readonly notInSync?: boolean
}

export function memberCommand(): Command {
  const command = newCommand({
    name: 'member',
    summary: 'list, add or remove replicas while the cluster runs',
    description:
      'list shows the members and the policy. add makes replicas members: the master streams to them, and PROPAGATED waits ' +
      'for them at once, unless --not-in-sync is given; a member can be added again to change that. remove lets members ' +
      'go; where they count, PROPAGATED promises less afterwards, and it takes --loosen. An ADDRESS is host:port, or a host ' +
      'with the default port. A change is written into the log, and rules when the command is done. It needs the role admin.',
    examples: [
      'travertine member list',
      'travertine member add 10.0.0.3:7400 --node 10.0.0.1:7400',
      'travertine member add db4.example db5.example --not-in-sync --node 10.0.0.1:7400',
      'travertine member remove 10.0.0.2:7400 --loosen --node 10.0.0.1:7400 --secret-file /etc/travertine/secret',
    ],
    exitCodes: [ExitCode.NETWORK],
  })
    .addArgument(new Argument('<action>', 'what to do').choices(ACTIONS))
    .argument('[address...]', 'members to add or to remove')
    .option('--not-in-sync', 'add: PROPAGATED does not wait for it')
    .option('--loosen', 'PROPAGATED may promise less than before')
  return addNodeOption(addSecurityOptions(command)).action(member)
}

export function addNodeOption(command: Command): Command {
  return command.option('--node <host:port>', 'a node of the cluster; may be repeated', collect, [])
}

async function member(action: Action, addresses: readonly string[], options: MemberOptions): Promise<void> {
  const names = addresses.map(memberAddress)
  if ((action === 'list') !== (names.length === 0)) {
    const [found, expected] = names.length === 0 ? ['no address', 'some'] : [`${names.length} addresses`, 'none']
    throw new TravertineError('CONFIG_INVALID', `Cannot ${action} members: found ${found}, expected ${expected}`)
  }
  switch (action) {
    case 'list':
      return printConfig(await readConfig(options), options.json)
    case 'add': {
      const inSync = options.notInSync !== true
      return changeConfig(options, ({ quorum, members }) => ({ quorum, members: withMembers(members, names, inSync) }))
    }
    case 'remove':
      return changeConfig(options, ({ quorum, members }) => ({ quorum, members: withoutMembers(members, names) }))
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
