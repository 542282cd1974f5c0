/** What `travertine up` tells people: the summary of the demo, and what to try next with the paths and ports of this run. */
import { basename, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PairNode } from './local-pair.ts'
import type { Colours } from './output.ts'
import type { DemoResult } from './up-demo.ts'
import type { Workspace } from './workspace.ts'

export function demoLines(result: DemoResult, { bold, green }: Colours): string[] {
  const { entries, sessions, epochs, stored, propagated, replicaEntriesVerified, seconds } = result.figures
  const perSecond = (count: number): string => figure(count / Math.max(seconds, 0.001))
  return [
    '',
    `${bold(figure(entries))} entries in ${figure(sessions)} sessions and ${figure(epochs)} epochs, durable on both disks, in ${seconds.toFixed(2)} s`,
    `  ${perSecond(entries)} entries/s, ${perSecond(sessions)} sessions/s, ${perSecond(result.bytes / 1e6)} MB/s`,
    `  STORED up to epoch ${stored}, PROPAGATED up to epoch ${propagated}`,
    `${green('Verified')}: the replica's files hold all ${figure(replicaEntriesVerified)} entries, each once, byte for byte`,
  ]
}

export function nextLines(
  { master, replica }: { readonly master: PairNode; readonly replica: PairNode },
  workspace: Workspace,
  { bold, dim }: Colours,
): string[] {
  const travertine = commandWord()
  const fate = workspace.isTemporary ? 'removed at the end; --directory keeps it' : 'stays'
  return [
    '',
    bold('The pair is up.'),
    `  master   ${master.address}  ${master.directory}`,
    `  replica  ${replica.address}  ${replica.directory}`,
    `  data in ${workspace.directory} (${fate})`,
    '',
    'What to try next, in another terminal:',
    `  printf 'hello\\nworld\\n' | ${travertine} load - --format lines --address ${master.address}`,
    `  ${travertine} inspect ${replica.directory} --entries --limit 3`,
    `  ${travertine} verify ${replica.directory}`,
    `  ${travertine} verify --compare ${master.directory} ${replica.directory}`,
    '',
    dim('Ctrl-C stops both.'),
  ]
}

/** How this program was called, so that the lines can be copied. */
function commandWord(): string {
  const called = process.argv[1] ?? ''
  if (basename(called) === 'travertine') return 'travertine'
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const near = relative('', main)
  return `node ${near.startsWith('..') ? main : near}`
}

const figure = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 })
