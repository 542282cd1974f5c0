/**
 * One round: a load, the planned faults, then all nodes up again until their logs are level, and the judgement.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, connect } from '../../client/client.ts'
import { check } from './checker.ts'
import type { ClientHistory, SessionContent } from './client-history.ts'
import { describeFault, type Ending, type Fault, type NodeName, type Plan } from './plan.ts'
import { entriesOf, STORAGE } from './session-content.ts'
import type { TortureCluster } from './torture-cluster.ts'
import { WriteLoad } from './write-load.ts'

/** A cluster that is not level by then never will be: the round has failed, not only the machine is slow. */
const LEVEL_MS_MAX = 60_000
const RETRY_MS = 50
const LOOK_MS = 10
/** The load is under way before the first fault, and goes on for a moment after the last. */
const ANSWERS_ENOUGH = 40
const ANSWERS_MS_MAX = 20_000
/** What was sent last may still be answered. */
const GRACE_MS = 300
const TERMINATE_MS_MAX = 20_000
/** A node looks at its disk when it makes a segment. It may be down, or have no writers just now. */
const NOTICE_MS_MAX = 5_000

export interface RoundOptions {
  readonly cluster: TortureCluster
  readonly plan: Plan
  /** Number of the round's first writer. */
  readonly firstWriter: number
}

/** @returns what is wrong; empty where nothing is */
export async function runRound(options: RoundOptions): Promise<string[]> {
  const { cluster, plan, firstWriter } = options
  const { history } = cluster
  cluster.startAll()
  const load = new WriteLoad({
    address: cluster.member('master').proxy.address,
    channels: cluster.channels,
    writers: plan.writers,
    heavy: plan.heavy,
    firstWriter: firstWriter + 1,
    seed: plan.loadSeed,
    history,
  })
  if (!plan.cold) await answered(history)
  await Promise.all(
    plan.faults.map(async ({ atMs, fault }) => {
      await sleep(atMs)
      cluster.event(describeFault(fault))
      await play(cluster, fault)
    }),
  )
  await answered(history)
  await load.end(GRACE_MS)
  cluster.startAll()
  const notLevel = await level(cluster, firstWriter)
  if (notLevel !== undefined) return [...defectsOf(cluster), notLevel]
  await end(cluster, plan.ending)
  return [...defectsOf(cluster), ...judge(cluster)]
}

/** The load runs well: all nodes take part. Where they do not, whoever waits for level logs will say so. */
async function answered(history: ClientHistory): Promise<void> {
  const enough = history.propagatedCount + ANSWERS_ENOUGH
  const deadline = performance.now() + ANSWERS_MS_MAX
  while (history.propagatedCount < enough && performance.now() < deadline) await sleep(LOOK_MS)
}

async function play(cluster: TortureCluster, fault: Fault): Promise<void> {
  const nodes = (names: readonly NodeName[]) => names.map((name) => cluster.member(name).node)
  switch (fault.kind) {
    case 'kill':
      await Promise.all(nodes(fault.nodes).map((node) => node.kill()))
      await sleep(fault.downMs)
      for (const name of fault.nodes) cluster.start(name)
      return
    case 'terminate':
      await cluster.member(fault.node).node.terminate(fault.patienceMs)
      await sleep(fault.downMs)
      cluster.start(fault.node)
      return
    case 'pause':
      for (const node of nodes(fault.nodes)) node.pause()
      await sleep(fault.ms)
      for (const node of nodes(fault.nodes)) node.goOn()
      return
    case 'cut':
      cluster.member(fault.node).proxy.cut(fault.port, fault.how)
      return
    case 'cut within':
      cluster.member(fault.node).proxy.cutBehind(fault.port, fault.direction, fault.bytes, fault.how)
      return
    case 'hold': {
      const { proxy } = cluster.member(fault.node)
      const releases = fault.directions.map((direction) => proxy.hold(fault.port, direction))
      await sleep(fault.ms)
      if (fault.then === 'reset') proxy.cut(fault.port, 'reset')
      for (const release of releases) release()
      return
    }
    case 'refuse': {
      const release = cluster.member(fault.node).proxy.refuse()
      await sleep(fault.ms)
      release()
      return
    }
    case 'pause thread': {
      const { node, ...pause } = fault
      cluster.member(node).node.pauseThread(pause)
      await sleep(fault.ms)
      return
    }
    case 'fill disk':
      await fillDisk(cluster, fault.freeBytes, fault.ms)
  }
}

async function fillDisk(cluster: TortureCluster, freeBytes: number, ms: number): Promise<void> {
  const { name, disk } = cluster.smallDisk
  if (typeof disk === 'string') return // whoever has created the cluster says so
  const { node } = cluster.member(name)
  const ends = node.fullDiskEnds
  const logged = node.loggedBytes
  await disk.fill(freeBytes)
  const deadline = performance.now() + NOTICE_MS_MAX
  const notices = (): boolean => node.fullDiskEnds > ends || node.hasSaid('DISK_LOW', logged)
  while (!notices() && performance.now() < deadline) await sleep(LOOK_MS)
  if (notices()) cluster.fullDisks += 1
  await sleep(ms)
  await disk.empty()
}

/**
 * One more session per channel, PROPAGATED: then every log reaches beyond everything written before. It is the promise
 * under test, so the checker looks at these sessions like at all others.
 */
async function level(cluster: TortureCluster, writer: number): Promise<string | undefined> {
  const deadline = performance.now() + LEVEL_MS_MAX
  for (let attempt = 0; performance.now() < deadline; attempt++) {
    await cluster.untilReady()
    if (defectsOf(cluster).length > 0) return 'the cluster is not whole'
    try {
      const client = await connect({ address: cluster.directAddress, deadlineMs: 2_000 })
      try {
        await writeLast(client, cluster.history, writer, attempt, deadline)
        return undefined
      } finally {
        await client.close({ signal: AbortSignal.abort() })
      }
    } catch (error) {
      cluster.event(`not level yet: ${String(error)}`)
      await sleep(RETRY_MS)
    }
  }
  return `the logs are not level after ${LEVEL_MS_MAX} ms without faults`
}

async function writeLast(
  client: Client,
  history: ClientHistory,
  writer: number,
  attempt: number,
  deadline: number,
): Promise<void> {
  const { channels } = client.info
  const receipts = Array.from({ length: channels }, async (_, id) => {
    const channel = await client.openChannel({ channel: id, deadlineMs: 5_000 })
    const n = 1 + attempt * channels + id
    const content: SessionContent = { writer, n, entries: 1, valueBytes: 12, dependsOn: undefined }
    const session = channel.beginSession({ deadlineMs: Math.max(1, Math.ceil(deadline - performance.now())) })
    for (const { key, value } of entriesOf(content)) session.put(STORAGE, key, value)
    const record = history.sent(id, content)
    const receipt = session.end()
    history.reached('stored', record, await receipt.stored)
    history.reached('propagated', record, await receipt.propagated)
  })
  await Promise.all(receipts)
}

async function end(cluster: TortureCluster, ending: Ending): Promise<void> {
  if (ending === 'kill') await Promise.all(cluster.nodes.map((node) => node.kill()))
  if (ending !== 'terminate') return
  // the master first: while it drains, its replicas have to answer
  for (const node of cluster.nodes) await node.terminate(TERMINATE_MS_MAX)
}

function judge(cluster: TortureCluster): string[] {
  const { logs, faults } = cluster.settle()
  const [master, ...replicas] = logs
  const findings = check({ sessions: cluster.history.sessions, master: master!, replicas }) // the master is the first of all nodes
  return [...faults, ...findings.map(({ rule, text }) => `${rule}: ${text}`)]
}

const defectsOf = (cluster: TortureCluster): string[] => cluster.nodes.flatMap((node) => node.defects)
