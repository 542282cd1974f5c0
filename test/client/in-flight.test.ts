/**
 * The bookkeeping of answers, over connections that break, against a naive one that keeps every session in a list and
 * looks at all of them each time.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { AbortWatch } from '../../client/abort-watch.ts'
import type { Failure } from '../../client/client-error.ts'
import { InFlight } from '../../client/in-flight.ts'
import { nodeId, termNumber } from '../../protocol/ids.ts'
import { nodeClock } from '../../world/node-clock.ts'
import { NODE } from './fake-node.ts'
import { NaiveProducer } from './naive-producer.ts'

const REFUSED: Failure = { code: 'DISK_LOW', outcome: 'not-applied', reason: 'full', hint: '' }

const eighths = fc.nat(8)
const bits = fc.integer({ min: 0, max: 1023 })
/** What happens, and two numbers to it. */
const command = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('add'), fc.nat(800), fc.constant(0)) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('hand over'), fc.constant(0), fc.constant(0)) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('arrive'), eighths, fc.oneof(fc.constant(0), bits)) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('store'), eighths, fc.constant(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('propagate'), eighths, fc.constant(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('break'), eighths, fc.oneof(fc.constant(0), bits)) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('open'), fc.nat(9), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('try in vain'), fc.constant(0), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('go'), fc.constant(0), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('forget'), fc.constant(0), fc.constant(0)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('sweep'), fc.nat(2), fc.constant(0)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('read stored'), fc.nat(), fc.constant(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('read propagated'), fc.nat(), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('many'), fc.nat(100), fc.constant(0)) },
)

function run(naive: NaiveProducer, [what, n, m]: [string, number, number]): void {
  if (what === 'add') naive.add(n)
  else if (what === 'many') for (let i = 0; i < n; i++) naive.add(800)
  else if (what === 'hand over') naive.handOver()
  else if (what === 'arrive') naive.arrive(n, m)
  else if (what === 'store') naive.store(n)
  else if (what === 'propagate') naive.propagate(n)
  else if (what === 'break') naive.break(n, m)
  else if (what === 'open') naive.open(n)
  else if (what === 'try in vain') naive.tryInVain()
  else if (what === 'go') naive.go()
  else if (what === 'forget') naive.forget()
  else if (what === 'sweep') naive.sweep(n)
  else naive.read(n, what === 'read stored' ? 'stored' : 'propagated')
}

t.test('against a list that is looked at as a whole each time', async (t) => {
  const base = fc.constantFrom(0, 1, 2 ** 31 - 3, 2 ** 32 - 2, 2 ** 52)
  await fc.assert(
    fc.asyncProperty(base, fc.array(command, { maxLength: 80, size: 'max' }), async (first, commands) => {
      const naive = new NaiveProducer(first)
      for (const one of commands) {
        run(naive, one)
        naive.check()
      }
      naive.end()
      await naive.checkPromises()
    }),
    { numRuns: 500 },
  )
  t.pass('500 runs')
})

/** As after the first opening of a log connection. */
function opened(): InFlight {
  const signals = new AbortWatch(() => {})
  const options = { channel: 3, sequence: 0, reconnect: true, clock: nodeClock, watchDeadline: () => {}, signals }
  const term = { number: termNumber(7n), nodeId: nodeId(NODE), tag: 1 }
  const inFlight = new InFlight(options)
  inFlight.claim()
  inFlight.opened({ term, replicas: 1, sequence: 0, missing: [], lastTerm: term })
  return inFlight
}

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** Bytes of heap that stay when `work` is done. */
async function heapGrowth(work: () => Promise<void>): Promise<number> {
  collect()
  const before = process.memoryUsage().heapUsed
  await work()
  collect()
  return process.memoryUsage().heapUsed - before
}

t.test('a node that rejects everything for ever does not make the ring grow', async (t) => {
  const inFlight = opened()
  const limits = { deadlineMs: 1, deadline: Number.MAX_SAFE_INTEGER, signal: undefined }
  const grown = await heapGrowth(async () => {
    for (let i = 1; i <= 500_000; i++) {
      inFlight.add({ bytes: 10, limits, loud: false })
      inFlight.handedOver()
      inFlight.rejected(i, REFUSED)
    }
  })
  t.ok(grown < 2_000_000, `${grown} bytes for half a million sessions; a ring of all of them has 4 MB`)
  t.equal(inFlight.sessions + inFlight.live, 0)
  inFlight.stored(1, 500_000)
})

t.test('while a replica is away, calls that have expired are not kept', async (t) => {
  const inFlight = opened()
  const limits = { deadlineMs: 1, deadline: 1e12, signal: undefined }
  const grown = await heapGrowth(async () => {
    for (let i = 1; i <= 30_000; i++) {
      const receipt = inFlight.add({ bytes: 10, limits, loud: false })
      if (i % 2 === 0) void receipt.propagated
      inFlight.handedOver()
      inFlight.stored(1, i)
      void receipt.propagated // every other one only now
      if (i % 100 > 0) continue
      inFlight.sweep(2e12)
      await new Promise((resolve) => setImmediate(resolve)) // rejections are told
    }
  })
  t.ok(grown < 5_000_000, `${grown} bytes for 30,000 sessions; kept with their errors they are 30 MB`)
  t.equal(inFlight.sessions + inFlight.live, 0)
})
