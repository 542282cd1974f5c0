/**
 * A real systemd in a container of its own: no network but loopback, no file of the machine that it could write to.
 *
 * It boots into one unit that runs a script of the test, and powers off after it. The project is at /opt/travertine, the
 * command in the path, and what is to be seen of it afterwards in /out. Needs root and the cgroups of a machine with systemd-nspawn.
 */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT } from '../project.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

/** Where systemd of version 252 wants to stand; both have to exist. */
const CGROUPS = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified']

const TARGET = '[Unit]\nDefaultDependencies=no\nRequires=test.service\nAfter=test.service\n'

const SERVICE = `[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/usr/bin/env bash /etc/systemd/system/script
ExecStopPost=/usr/bin/systemctl --force --force poweroff
StandardOutput=append:/out/said
StandardError=append:/out/errors
`

export interface Booted {
  /** What is in a file of /out; '' if there is none. */
  readonly out: (file: string) => string
  /** What the container itself had to say; all that there is if it did not boot. */
  readonly console: string
}

/** false, or why no container can be booted here. */
export function whyNoContainer(): string | false {
  if (process.getuid?.() !== 0) return 'a container with systemd needs root'
  if (!existsSync('/usr/bin/systemd-nspawn')) return 'systemd-nspawn is not installed (Debian: systemd-container)'
  if (!existsSync('/usr/lib/systemd/systemd')) return 'there is no systemd on this machine'
  const missing = CGROUPS.filter((directory) => !existsSync(directory))
  return missing.length > 0 && `the cgroups of this machine are mounted in another way: no ${missing.join(', ')}`
}

/** Boots, runs the script, and resolves when the container has powered off. `units`: file name and text. */
export async function boot(
  t: Teardown,
  { directory, script, units }: { directory: string; script: string; units: Readonly<Record<string, string>> },
): Promise<Booted> {
  const name = `travertine-${process.pid}`
  const parts = Object.fromEntries(['units', 'bin', 'out'].map((part) => [part, join(directory, part)] as const))
  const { units: unitDirectory = '', bin = '', out = '' } = parts
  for (const part of [unitDirectory, bin, out]) mkdirSync(part)
  for (const [file, text] of Object.entries({ 'test.target': TARGET, 'test.service': SERVICE, script, ...units })) {
    mkdirSync(join(unitDirectory, file, '..'), { recursive: true })
    writeFileSync(join(unitDirectory, file), text)
  }
  writeFileSync(join(bin, 'travertine'), '#!/bin/sh\nexec /opt/node /opt/travertine/dist/tools/main.js "$@"\n')
  chmodSync(join(bin, 'travertine'), 0o755)
  chmodSync(directory, 0o755)
  const groups = CGROUPS.map((group) => join(group, name))
  for (const group of groups) mkdirSync(group)
  t.teardown(() => {
    for (const group of groups) removeGroup(group)
  })
  const container = [
    ...['-q', '-D', '/', '--volatile=yes', '--register=no', '--keep-unit', '--private-network', `--machine=${name}`],
    ...[`--bind=${out}:/out`, `--bind=${unitDirectory}:/etc/systemd/system`, `--bind-ro=${bin}:/usr/local/bin`],
    ...[`--bind-ro=${PROJECT}:/opt/travertine`, `--bind-ro=${process.execPath}:/opt/node`],
    ...['--console=pipe', '--boot', 'systemd.unit=test.target'],
  ]
  const enter = groups.map((group) => `echo $$ > '${group}/cgroup.procs'`).join(' && ')
  const child = spawn('/bin/sh', ['-c', `${enter} && exec systemd-nspawn "$@"`, 'sh', ...container], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => (text += chunk))
  const ended = new Promise((resolve) => child.once('close', resolve))
  t.teardown(() => {
    child.kill('SIGKILL')
    return ended
  })
  await ended
  const said = (file: string): string => (existsSync(join(out, file)) ? readFileSync(join(out, file), 'utf8') : '')
  return { out: said, console: text }
}

/** With those that systemd has made in it, innermost first. */
function removeGroup(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroup(join(group, entry.name))
  try {
    rmdirSync(group)
  } catch {
    // somebody may still be in it: an empty group that stays costs nothing
  }
}
