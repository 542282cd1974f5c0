/**
 * Memory stays flat: a minute of full load on two replicas, one of which stands still (SIGSTOP) for half of it.
 *
 * What is compared is the resident memory of each process, the highest of the first seconds under load with that of all
 * the rest. What the paused replica lacks lies in the master's files, not in its memory.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Channel } from '../../client/client.ts'
import { initNode } from '../../daemon/node.ts'
import { MIB } from '../../protocol/limits.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { openChannel, type ReadyNode, runNode } from './node-pair.ts'

const CLUSTER = '00000000-0000-4000-8000-000000000001'
/** Longer than the garbage of a busy channel takes to be collected once: the memory goes up and down with it. */
const WARM_UP_SECONDS = 40
const SECONDS = 60
const PAUSE_SECONDS = 30
const WRITERS = 64
const GROWTH_MAX = 1.1

t.setTimeout(0) // it measures a minute and more

t.test('a minute of load with a replica paused for half of it', async (t) => {
  const directory = temporaryDirectory(t)
  const common = { clusterId: CLUSTER, segmentBytes: 16 * MIB }
  const replicas: ReadyNode[] = []
  for (const name of ['r1', 'r2']) {
    initNode({ directory: join(directory, name), role: 'replica', ...common })
    replicas.push(await runNode(t, join(directory, name)))
  }
  const addresses = replicas.map(({ port }) => `127.0.0.1:${port}`)
  initNode({ directory: join(directory, 'm'), role: 'master', replicas: addresses, ...common })
  const master = await runNode(t, join(directory, 'm'))
  const { channel } = await openChannel(t, master.port)
  const load = new Load(channel)
  const nodes = { master, replica1: replicas[0]!, replica2: replicas[1]! }
  const highest = await watch(nodes, WARM_UP_SECONDS)
  const paused = replicas[1]!.command
  const before = load.sessions
  const rest = watch(nodes, SECONDS)
  await sleep(((SECONDS - PAUSE_SECONDS) / 2) * 1_000)
  paused.kill('SIGSTOP')
  await sleep(PAUSE_SECONDS * 1_000)
  paused.kill('SIGCONT')
  const found = await rest
  const written = load.sessions - before
  await load.end()
  t.ok(written > 1_000 * SECONDS, `${written} sessions STORED`)
  for (const [name, bytes] of Object.entries(found)) {
    const [was, is] = [highest[name]!, bytes].map((n) => Math.round(n / MIB))
    t.ok(bytes <= GROWTH_MAX * highest[name]!, `${name}: ${is} MiB at most, ${was} MiB while it got warm`)
  }
  const last = { op: 'put', storage: 1, key: 'last', value: Buffer.from('last') } as const
  t.ok(await channel.write([last], { level: 'propagated', deadlineMs: 120_000 }), 'and the paused one catches up')
})

/** Writers that wait for STORED, in closed loops. */
class Load {
  sessions = 0
  #ends = false
  readonly #writers: Promise<void>[]

  constructor(channel: Channel) {
    this.#writers = Array.from({ length: WRITERS }, (_, writer) => this.#write(channel, writer))
  }

  async end(): Promise<void> {
    this.#ends = true
    await Promise.all(this.#writers)
  }

  async #write(channel: Channel, writer: number): Promise<void> {
    const value = Buffer.alloc(100, writer)
    for (let n = 0; !this.#ends; n++) {
      const put = { op: 'put', storage: 1, key: `${writer}-${n}`, value } as const
      await channel.write([put], { level: 'stored', deadlineMs: 60_000 })
      this.sessions += 1
    }
  }
}

/** Highest resident memory of each node over so many seconds. */
async function watch(nodes: Readonly<Record<string, ReadyNode>>, seconds: number): Promise<Record<string, number>> {
  const highest: Record<string, number> = {}
  for (let second = 0; second < seconds; second++) {
    for (const [name, { command }] of Object.entries(nodes)) {
      const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${command.pid}/status`, 'utf8')) ?? []
      highest[name] = Math.max(highest[name] ?? 0, Number(kib) * 1024)
    }
    await sleep(1_000)
  }
  return highest
}
