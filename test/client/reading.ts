/** Subscriptions and writers for tests, and entries as lines: what is handed out is compared with what stands in files. */
import {
  type Client,
  type CommittedEpoch,
  connect,
  type SubscribeOptions,
  type Subscription,
  subscribe,
} from '../../client/client.ts'
import type { LoggedEntry } from '../../protocol/entry.ts'
import { readLog } from '../../tools/read-log.ts'
import { mastershipAt } from '../../wal/term-history.ts'

import type { Cluster, Teardown } from '../daemon/cluster.ts'

const addressOf = (cluster: Cluster, name: string): string => `127.0.0.1:${cluster.node(name).port}`

export async function reader(t: Teardown, cluster: Cluster, name: string, more: Partial<SubscribeOptions> = {}) {
  const subscription = await subscribe({ address: addressOf(cluster, name), ...more })
  t.teardown(() => subscription.close())
  return subscription
}

export async function writer(t: Teardown, cluster: Cluster): Promise<Client> {
  const client = await connect({ address: addressOf(cluster, 'm') })
  t.teardown(() => client.close({ signal: AbortSignal.abort() }))
  return client
}

/** Sessions of random shape on all channels, acknowledged at `level`. */
export async function writeSome(
  client: Client,
  name: string,
  count: number,
  level: 'stored' | 'propagated',
): Promise<void> {
  const channels = await Promise.all(
    Array.from({ length: client.info.channels }, (_, channel) => client.openChannel({ channel })),
  )
  const work = Array.from({ length: count }, (_, i) => {
    const session = channels[i % channels.length]!.beginSession() // there is one
    session.put(BigInt(i % 3), `${name} ${i}`, Buffer.from(`value ${i}`))
    if (i % 5 === 0) session.remove(2n, `${name} gone ${i}`)
    if (i % 11 === 0) session.addStorage(7n)
    const receipt = session.end()
    return level === 'stored' ? receipt.stored : receipt.propagated
  })
  await Promise.all(work)
  await Promise.all(channels.map((channel) => channel.close()))
}

/** Reads until the epoch `last` has come; all lines so far. */
export async function readThrough(subscription: Subscription, last: bigint, lines: string[] = []): Promise<string[]> {
  while (subscription.nextEpoch <= last) {
    const epoch = await subscription.next()
    if (epoch === undefined) break
    lines.push(...linesOf(epoch))
  }
  return lines
}

/** All that a subscription hands out up to its end. */
export async function readAll(subscription: Subscription): Promise<string[]> {
  const lines: string[] = []
  for await (const epoch of subscription) lines.push(...linesOf(epoch))
  return lines
}

interface Place {
  readonly term: bigint
  readonly epoch: bigint
  readonly channel: number
  readonly position: number
  readonly index: number
}

function line({ term, epoch, channel, position, index }: Place, entry: LoggedEntry): string {
  const key = 'key' in entry ? Buffer.from(entry.key).toString('hex') : ''
  const value = entry.op === 'put' ? Buffer.from(entry.value).toString('hex') : ''
  const { major, minor } = entry.version
  return `${term}/${epoch} ${channel}@${position}#${index} ${entry.op} ${entry.storage} ${key} ${value} ${major}.${minor}`
}

export function linesOf(committed: CommittedEpoch): string[] {
  const { term, epoch } = committed
  return Array.from(committed.entries(), (entry) => line({ term: term.number, epoch, ...entry }, entry))
}

/** What the files of a node hold, as another reader finds it. */
export function linesInFiles(directory: string): string[] {
  const { entries, manifest } = readLog({ directory })
  return Array.from(entries(), ({ entry, ...place }) => {
    const term = mastershipAt(manifest.history, place.channel, place.position)?.term.number ?? 0n
    return line({ term, ...place }, entry)
  })
}
