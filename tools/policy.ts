/** `travertine policy`: how many replicas PROPAGATED wants at least; shows or changes it while the cluster runs. */
import type { Command } from 'commander'
import { REPLICA_COUNT_LIMIT } from '../protocol/limits.ts'
import { type ChangeOptions, changeConfig, printConfig, readConfig } from './change-config.ts'
import { newCommand, wholeNumber } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { addNodeOption } from './member.ts'
import { addSecurityOptions } from './security-options.ts'

export function policyCommand(): Command {
  const command = newCommand({
    name: 'policy',
    summary: 'show or change how many replicas PROPAGATED wants',
    description:
      'Without a value shows the policy. All in-sync members count for PROPAGATED; the policy says how many of them there ' +
      'have to be at least: with fewer of them PROPAGATED waits, and STORED goes on. A lower value takes --loosen. ' +
      'A change is written into the log, and rules when the command is done. It needs the role admin.',
    examples: [
      'travertine policy',
      'travertine policy 2 --node 10.0.0.1:7400',
      'travertine policy 1 --loosen --node 10.0.0.1:7400 --secret-file /etc/travertine/secret',
    ],
    exitCodes: [ExitCode.NETWORK],
  })
    .argument('[quorum]', `in-sync members at least, 0 to ${REPLICA_COUNT_LIMIT}`, wholeNumber(0, REPLICA_COUNT_LIMIT))
    .option('--loosen', 'PROPAGATED may promise less than before')
  return addNodeOption(addSecurityOptions(command)).action(policy)
}

async function policy(quorum: number | undefined, options: ChangeOptions): Promise<void> {
  if (quorum === undefined) printConfig(await readConfig(options), options.json)
  else await changeConfig(options, ({ members }) => ({ quorum, members }))
}
