/**
 * `travertine status`: how the cluster is. Asks the given nodes, and those that they name; the exit code says healthy,
 * degraded or no master, so that a script needs no more.
 */
import type { Command } from 'commander'
import { HOST_DEFAULT, PORT_DEFAULT } from '../config/defaults.ts'
import { askCluster } from './ask-status.ts'
import { newCommand, nodeAddresses } from './command-line.ts'
import { ExitCode } from './exit-codes.ts'
import { coloursOf, printJson, printLine } from './output.ts'
import { addSecurityOptions, readSecurityOptions, type SecurityOptions } from './security-options.ts'
import { type Health, reportStatus, type StatusReport } from './status-report.ts'

const EXIT_CODE_OF: Readonly<Record<Health, ExitCode>> = {
  healthy: ExitCode.DONE,
  degraded: ExitCode.DEGRADED,
  'no-master': ExitCode.NO_MASTER,
}

export function statusCommand(): Command {
  const command = newCommand({
    name: 'status',
    summary: 'show how the cluster is',
    description:
      'Asks the given nodes how they are, the master that they name, its members, and the replicas that those feed. Shows roles, term, watermarks and ' +
      'policy, and per node whether it counts for PROPAGATED, how far it is behind, and what is wrong with it.',
    examples: [
      'travertine status',
      'travertine status 10.0.0.1:7400 10.0.0.2:7400 --json',
      'travertine status 10.0.0.1:7400 --secret-file /etc/travertine/secret --ca /etc/travertine/ca.crt',
    ],
    exitCodes: [ExitCode.DEGRADED, ExitCode.NO_MASTER],
  }).argument(
    '[address...]',
    `nodes to begin with, host:port; without one ${HOST_DEFAULT}:${PORT_DEFAULT}`,
    nodeAddresses,
  )
  return addSecurityOptions(command).action(status)
}

async function status(
  addresses: readonly string[],
  options: SecurityOptions & { readonly json?: boolean },
): Promise<void> {
  const given = addresses.length > 0 ? addresses : [`${HOST_DEFAULT}:${PORT_DEFAULT}`]
  const report = reportStatus(await askCluster(given, readSecurityOptions(options, 'reader')))
  if (options.json === true) printJson(jsonReport(report))
  else printReport(report)
  process.exitCode = EXIT_CODE_OF[report.health]
}

function jsonReport({ health, reasons, master, status, nodes }: StatusReport): object {
  const pick = (name: string): unknown => status?.[name] ?? null
  return {
    ok: health === 'healthy',
    health,
    reasons,
    clusterId: pick('clusterId'),
    master: master ?? null,
    term: pick('term'),
    watermarks: {
      open: pick('open'),
      closed: pick('closed'),
      stored: pick('stored'),
      propagated: pick('propagated'),
    },
    policy: { number: pick('configNumber'), quorum: pick('quorum'), loosened: pick('loosened') },
    nodes: nodes.map((node) => ({
      ...node,
      fedBy: node.fedBy ?? null,
      lagEpochs: node.lagEpochs ?? null,
      lagBytes: node.lagBytes ?? null,
    })),
  }
}

function printReport({ health, reasons, master, status, nodes }: StatusReport): void {
  const { bold } = coloursOf(process.stdout)
  printLine(`${bold(health)}${master === undefined ? '' : `, master ${master}, term ${status?.['term']}`}`)
  if (status !== undefined) {
    const { open, closed, stored, propagated, configNumber, quorum, loosened } = status
    printLine(`epochs      open ${open}, closed ${closed}, stored ${stored}, propagated ${propagated}`)
    printLine(`policy      quorum ${quorum}, config ${configNumber}, loosened ${loosened} times`)
  }
  const rows = nodes.map(({ address, role, fedBy, inSync, state, lagEpochs, lagBytes }) => {
    const counts = inSync ? 'in-sync' : role === 'master' ? '-' : 'no'
    return [
      address,
      fedBy === undefined ? role : `${role} of ${fedBy}`,
      counts,
      state,
      `${lagEpochs ?? '-'}`,
      `${lagBytes ?? '-'}`,
    ]
  })
  for (const line of table([['node', 'role', 'counts', 'state', 'epochs behind', 'bytes behind'], ...rows])) {
    printLine(line)
  }
  for (const reason of reasons) printLine(`WHY  ${reason}`)
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length))) // all rows have as many cells
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
}
