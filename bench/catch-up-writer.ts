/**
 * The writer of the catch-up bench, a process of its own: first it loads the log, then it is a few closed loops that wait
 * for STORED, and for each message of its parent it tells what they have seen since the last one.
 */
import { build } from 'hdr-histogram-js'
import { type Channel, connect } from '../client/client.ts'
import { endWithParent, tellParent } from './child-process.ts'
import { KEY_BYTES, sessionBytes, VALUE_BYTES } from './workloads.ts'

export interface WriterOrder {
  readonly address: string
  /** Of the log, its seals aside, before the loops begin. */
  readonly loadBytes: number
  readonly writers: number
}

/** What the loops saw in one stretch of time. */
export interface WriterFigures {
  readonly seconds: number
  readonly commits: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const STORAGE = 1n
/** As in the workload `bulk`. */
const LOAD_ENTRIES = 1000
const LOAD_IN_FLIGHT = 32
const UNITS_PER_MS = 10_000

const key = Buffer.alloc(KEY_BYTES, 0x6b)
const value = Buffer.alloc(VALUE_BYTES, 0x76)

endWithParent()
const order = JSON.parse(process.argv[2] ?? '{}') as WriterOrder // written by catch-up.ts
const client = await connect({ address: order.address })
const channel = await client.openChannel({ channel: 0 })
await load(channel, order.loadBytes)
const histogram = build({ highestTrackableValue: 600_000 * UNITS_PER_MS, numberOfSignificantValueDigits: 3 })
let beginMs = performance.now()
process.on('message', () => {
  const now = performance.now()
  const figures: WriterFigures = {
    seconds: (now - beginMs) / 1000,
    commits: histogram.totalCount,
    p50Ms: histogram.getValueAtPercentile(50) / UNITS_PER_MS,
    p99Ms: histogram.getValueAtPercentile(99) / UNITS_PER_MS,
  }
  histogram.reset()
  beginMs = now
  tellParent({ ...figures })
})
tellParent({ isLoaded: true })
await Promise.all(Array.from({ length: order.writers }, () => writeForEver(channel)))

async function load(to: Channel, bytes: number): Promise<void> {
  let sentBytes = 0
  const loop = async (): Promise<void> => {
    while (sentBytes < bytes) {
      const session = to.beginSession()
      for (let index = 0; index < LOAD_ENTRIES; index++) session.put(STORAGE, key, value)
      sentBytes += sessionBytes({ entriesPerSession: LOAD_ENTRIES })
      await session.end().stored
    }
  }
  await Promise.all(Array.from({ length: LOAD_IN_FLIGHT }, loop))
}

async function writeForEver(to: Channel): Promise<never> {
  for (;;) {
    const sentMs = performance.now()
    const session = to.beginSession()
    session.put(STORAGE, key, value)
    await session.end().stored
    histogram.recordValue(Math.round((performance.now() - sentMs) * UNITS_PER_MS))
  }
}
