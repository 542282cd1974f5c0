/**
 * Two machines made of network namespaces: each has its own loopback, one address of a network that both share, and its own
 * /etc/travertine and /var/lib/travertine (paths in commands are turned into those). What a machine has beside that is played:
 * `systemctl` starts what the unit would start, `scp` copies to the other one, users are not changed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MAIN } from './travertine.ts'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

export interface Ran {
  readonly code: number | null
  readonly output: string
}

const STUBS: Readonly<Record<string, string>> = {
  travertine: `exec '${process.execPath}' '${MAIN}' "$@"`,
  runuser: '[ "$1 $3" = "-u --" ] && shift 3 && exec "$@"',
  chown: 'shift && ls "$@" > /dev/null',
  scp: `[ "$1" = -p ] && shift
files=() && while [ $# -gt 1 ]; do files+=("$1"); shift; done
exec cp -p "\${files[@]}" "$OTHER\${1#*:$ROOT}"`,
  systemctl: `[ "$1 $2" = 'enable --now' ] || exit 1
exec travertine run --config "$ROOT/etc/travertine/\${3#travertine@}.toml"`,
}

const ip = (...words: readonly string[]): string => {
  const { status, stderr, error } = spawnSync('ip', words, { encoding: 'utf8' })
  return status === 0 ? '' : (error?.message ?? stderr.trim())
}

/** false, or why there can be no two machines here. */
export function whyNoMachines(): string | false {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  if (spawnSync('openssl', ['version']).status !== 0) return 'openssl is not installed'
  const name = `travertine-try-${process.pid}`
  const why = ip('netns', 'add', name)
  if (why !== '') return `network namespaces are not allowed here: ${why}`
  ip('netns', 'del', name)
  return false
}

export class Machine {
  readonly root: string
  readonly #namespace: string
  readonly #environment: Readonly<Record<string, string | undefined>>
  readonly #running: ChildProcess[] = []

  private constructor(root: string, namespace: string, other: string, stubs: string) {
    this.root = root
    this.#namespace = namespace
    this.#environment = { ...process.env, PATH: `${stubs}:${process.env['PATH'] ?? ''}`, ROOT: root, OTHER: other }
    for (const name of ['etc/travertine', 'var/lib/travertine']) mkdirSync(join(root, name), { recursive: true })
  }

  /** 10.0.0.1 and 10.0.0.2. */
  static pair(t: Teardown, directory: string): { master: Machine; replica: Machine } {
    const stubs = join(directory, 'stubs')
    mkdirSync(stubs)
    for (const [name, text] of Object.entries(STUBS)) {
      writeFileSync(join(stubs, name), `#!/usr/bin/env bash\n${text}\n`)
      chmodSync(join(stubs, name), 0o755)
    }
    const a = `travertine-${process.pid}-a`
    const b = `travertine-${process.pid}-b`
    const machines = { master: join(directory, 'master'), replica: join(directory, 'replica') }
    const master = new Machine(machines.master, a, machines.replica, stubs)
    const replica = new Machine(machines.replica, b, machines.master, stubs)
    t.teardown(async () => {
      await Promise.all([master.stop(), replica.stop()])
      for (const name of [a, b]) ip('netns', 'del', name)
    })
    must(ip('netns', 'add', a))
    must(ip('netns', 'add', b))
    must(ip('link', 'add', 'wire', 'netns', a, 'type', 'veth', 'peer', 'name', 'wire', 'netns', b))
    for (const [name, address] of [[a, '10.0.0.1/24'] as const, [b, '10.0.0.2/24'] as const]) {
      must(ip('-n', name, 'address', 'add', address, 'dev', 'wire'))
      for (const link of ['lo', 'wire']) must(ip('-n', name, 'link', 'set', link, 'up'))
    }
    return { master, replica }
  }

  /** Runs a block of commands to its end, as a user would type it. */
  run(block: string): Promise<Ran> {
    const { child, output } = this.#spawn(block)
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, output: output() })))
  }

  /** Runs one that stays. Resolves when it has printed the line that says it is up. */
  start(block: string): Promise<Ran> {
    const { child, output } = this.#spawn(block)
    this.#running.push(child)
    return new Promise((resolve) => {
      child.stdout?.on('data', () => resolve({ code: null, output: output() }))
      child.once('close', (code) => resolve({ code, output: output() }))
    })
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#running.map((child) => {
        if (child.exitCode !== null || child.signalCode !== null) return undefined
        const ended = new Promise((resolve) => child.once('close', resolve))
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM') // the shell and what it has started
        return ended
      }),
    )
  }

  #spawn(block: string): { child: ChildProcess; output: () => string } {
    const text = block.replaceAll(/\/(etc|var\/lib)\/travertine/g, `${this.root}/$1/travertine`)
    const words = ['netns', 'exec', this.#namespace, 'bash', '-e', '-u', '-o', 'pipefail', '-c', text]
    const child = spawn('ip', words, { env: this.#environment, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk) => (output += chunk))
    return { child, output: () => output }
  }
}

function must(error: string): void {
  if (error !== '') throw new Error(`ip: ${error}`)
}
