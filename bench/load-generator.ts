/**
 * The load generator: a process of its own that drives one workload against one address with the client library, the same
 * for the floor and for Travertine, and measures what the writers see.
 *
 * Tells its parent 'begin' and 'end' of the measured part (the parent then reads what the processes have used), and the
 * result. The warm-up before 'begin' is not in any figure. Both parts are bounded in time and in bytes.
 */
import { type Channel, connect } from '../client/client.ts'
import { endWithParent, tellParent } from './child-process.ts'
import { type LoadBounds, type LoadResult, Meter } from './meter.ts'
import { KEY_BYTES, sessionBytes, VALUE_BYTES, WORKLOADS, type WorkloadName } from './workloads.ts'

export interface LoadOrder extends LoadBounds {
  readonly address: string
  readonly workload: WorkloadName
  readonly channels: number
}

export type LoadMessage = { phase: 'begin' } | { phase: 'end' } | { phase: 'result'; result: LoadResult }

const STORAGE = 1n
/** Entries made ahead and used in turn: making them is no part of what is measured. */
const POOL_ENTRIES = 8192
endWithParent()
const order = JSON.parse(process.argv[2] ?? '{}') as LoadOrder // written by rounds.ts
tellParent({ phase: 'result', result: await generate(order) } satisfies LoadMessage)
// and then it stays until its parent, which still has to read its peak memory, lets go of it

async function generate({ address, workload: name, channels: count, ...bounds }: LoadOrder): Promise<LoadResult> {
  const workload = WORKLOADS.find((candidate) => candidate.name === name)
  if (workload === undefined) throw new Error(`Cannot generate load: found workload "${name}", expected a known one`)
  const client = await connect({ address })
  const channels: Channel[] = []
  for (let channel = 0; channel < count; channel++)
    channels.push(await client.openChannel({ channel, level: 'propagated' }))
  const meter = new Meter(bounds, sessionBytes(workload), (phase) => tellParent({ phase } satisfies LoadMessage))
  const pool = makePool()
  const writers: Promise<void>[] = []
  for (let index = 0; index < workload.writers; index++) {
    const channel = channels[index % count] as Channel // the index is below count
    writers.push(runWriter({ channel, pool, offset: index * 127, entries: workload.entriesPerSession, meter }))
  }
  await Promise.all(writers)
  await client.close()
  return meter.result(workload.entriesPerSession)
}

interface Writer {
  readonly channel: Channel
  readonly pool: readonly PoolEntry[]
  /** Where in the pool this writer begins: writers do not write the same keys in step. */
  readonly offset: number
  readonly entries: number
  readonly meter: Meter
}

async function runWriter({ channel, pool, offset, entries, meter }: Writer): Promise<void> {
  let next = offset
  while (!meter.ended) {
    const begin = performance.now()
    const session = channel.beginSession()
    for (let index = 0; index < entries; index++) {
      const { key, value } = pool[next++ % POOL_ENTRIES] as PoolEntry // the pool has that many
      session.put(STORAGE, key, value)
    }
    await session.end().propagated
    meter.completed(begin)
  }
}

interface PoolEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

function makePool(): PoolEntry[] {
  const pool: PoolEntry[] = []
  for (let index = 0; index < POOL_ENTRIES; index++) {
    const key = Buffer.alloc(KEY_BYTES)
    key.writeUInt32BE((index * 2_654_435_761) % 2 ** 32, 0)
    pool.push({ key, value: Buffer.alloc(VALUE_BYTES, index) })
  }
  return pool
}
