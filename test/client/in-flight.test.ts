/**
 * The bookkeeping of answers against a naive one that keeps every session in a list and looks at all of them each time.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { AbortWatch } from '../../client/abort-watch.ts'
import type { Failure } from '../../client/client-error.ts'
import { InFlight } from '../../client/in-flight.ts'
import type { PendingReceipt } from '../../client/receipt.ts'
import { nodeId, termNumber } from '../../protocol/ids.ts'
import { nodeClock } from '../../world/node-clock.ts'
import { NODE } from './fake-node.ts'

const TERM = { number: termNumber(7n), nodeId: nodeId(NODE), tag: 1 }
const REFUSED: Failure = { code: 'DISK_LOW', outcome: 'not-applied', reason: 'full', hint: '' }
const LOST: Failure = { code: 'CONNECTION_LOST', outcome: 'unknown', reason: 'gone', hint: '' }
const NEVER_SENT: Failure = { ...LOST, outcome: 'not-applied' }

/** One session as the naive implementation keeps it. */
interface Naive {
  readonly deadline: number
  readonly receipt: PendingReceipt
  stored: number | undefined
  rejected: boolean
  /** Somebody waits for PROPAGATED. */
  isRead: boolean
  /** What each promise is to say; undefined while it is open. */
  says: { stored: string | undefined; propagated: string | undefined }
}

class Pair {
  readonly inFlight: InFlight
  readonly sessions: Naive[] = []
  readonly base: number
  #epoch = 0
  #stored = 0
  #propagated = 0

  constructor(base: number) {
    this.base = base
    const signals = new AbortWatch(() => {})
    const options = { channel: 3, term: TERM, replicas: 1, sequence: base, signals }
    this.inFlight = new InFlight({ ...options, clock: nodeClock, watchDeadline: () => {} })
  }

  add(deadline: number): void {
    const limits = { deadlineMs: 1, deadline: performance.now() + 1e9 + deadline, signal: undefined }
    const receipt = this.inFlight.add({ bytes: 10, limits, loud: false })
    const says = { stored: undefined, propagated: undefined }
    this.sessions.push({ receipt, deadline: limits.deadline, stored: undefined, rejected: false, isRead: false, says })
  }

  /** @param share how far between the last answer and the newest session, in eighths */
  store(share: number): void {
    this.#stored += Math.floor(((this.sessions.length - this.#stored) * share) / 8)
    this.#epoch += 1
    this.inFlight.stored(this.#epoch, this.base + this.#stored)
    for (const session of this.sessions.slice(0, this.#stored)) {
      if (session.stored !== undefined || session.rejected) continue
      session.stored = this.#epoch
      session.says.stored ??= `epoch ${this.#epoch}`
    }
  }

  propagate(share: number): void {
    this.#propagated += Math.floor(((this.#stored - this.#propagated) * share) / 8)
    this.inFlight.propagated(this.#epoch, this.base + this.#propagated)
    for (const session of this.sessions.slice(0, this.#propagated)) {
      if (!session.rejected) session.says.propagated ??= `epoch ${session.stored}`
    }
  }

  reject(pick: number): void {
    const open = this.sessions.filter((session) => session.stored === undefined && !session.rejected)
    const session = open[pick % open.length]
    if (session === undefined || this.sessions.indexOf(session) < this.#stored) return
    this.inFlight.rejected(session.receipt.sequence, REFUSED)
    session.rejected = true
    session.says.stored ??= 'DISK_LOW not-applied'
    session.says.propagated ??= 'DISK_LOW not-applied'
  }

  /** Everything that expires in the first `share` eighths of all deadlines does so. */
  sweep(share: number): void {
    const now = performance.now() + 1e9 + share * 100
    const next = this.inFlight.sweep(now)
    const waiting = this.sessions.filter(
      ({ says, isRead }) => says.stored === undefined || (isRead && says.propagated === undefined),
    )
    for (const { says } of waiting.filter(({ deadline }) => deadline <= now)) {
      says.stored ??= 'DEADLINE_EXCEEDED unknown'
      says.propagated = 'DEADLINE_EXCEEDED unknown'
    }
    const left = waiting.filter(({ deadline }) => deadline > now).map(({ deadline }) => deadline)
    if (next !== Math.min(Number.POSITIVE_INFINITY, ...left)) throw new Error('a deadline was forgotten')
  }

  end(sentShare: number): void {
    const sent = this.#stored + Math.floor(((this.sessions.length - this.#stored) * sentShare) / 8)
    this.inFlight.end({ sent: LOST, neverSent: NEVER_SENT, sentSequence: this.base + sent })
    for (const [i, session] of this.sessions.entries()) {
      const outcome = i < sent ? 'unknown' : 'not-applied'
      session.says.stored ??= `CONNECTION_LOST ${outcome}`
      session.says.propagated ??= `CONNECTION_LOST ${outcome}`
    }
  }

  read(n: number, level: 'stored' | 'propagated'): void {
    const session = this.sessions[n % Math.max(1, this.sessions.length)]
    if (session === undefined) return
    if (level === 'propagated') session.isRead = true
    void session.receipt.promise(level)
  }

  checkCounts(): void {
    const open = this.sessions.filter((session) => session.stored === undefined && !session.rejected)
    if (this.inFlight.sessions !== open.length) throw new Error(`${this.inFlight.sessions} of ${open.length} sessions`)
    if (this.inFlight.bytes !== open.length * 10) throw new Error(`${this.inFlight.bytes} bytes`)
  }

  /** Reads all promises, those of even sessions for the second time. */
  async checkPromises(): Promise<void> {
    if (this.inFlight.sessions + this.inFlight.bytes + this.inFlight.live !== 0) throw new Error('something is left')
    for (const [i, { receipt, says }] of this.sessions.entries()) {
      const found = { stored: await textOf(receipt.stored), propagated: await textOf(receipt.propagated) }
      if (found.stored === says.stored && found.propagated === says.propagated) continue
      throw new Error(`session ${i} says ${JSON.stringify(found)}, expected ${JSON.stringify(says)}`)
    }
  }
}

function textOf(promise: PendingReceipt['stored']): Promise<string> {
  return promise.then(
    ({ epoch }) => `epoch ${epoch}`,
    ({ code, outcome }: { code: string; outcome: string }) => `${code} ${outcome}`,
  )
}

const eighths = fc.nat(8)
const command = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('add'), fc.nat(800)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('store'), eighths) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('propagate'), eighths) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('reject'), fc.nat(50)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('sweep'), fc.nat(2)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('read stored'), fc.nat()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('read propagated'), fc.nat()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('many'), fc.nat(300)) },
)

t.test('against a list that is looked at as a whole each time', async (t) => {
  const base = fc.constantFrom(0, 1, 2 ** 31 - 3, 2 ** 32 - 2, 2 ** 52)
  await fc.assert(
    fc.asyncProperty(
      base,
      fc.array(command, { maxLength: 60, size: 'max' }),
      eighths,
      async (first, commands, sentShare) => {
        const pair = new Pair(first)
        for (const [what, n] of commands) {
          if (what === 'add') pair.add(n)
          else if (what === 'many') for (let i = 0; i < n; i++) pair.add(800)
          else if (what === 'store') pair.store(n)
          else if (what === 'propagate') pair.propagate(n)
          else if (what === 'reject') pair.reject(n)
          else if (what === 'sweep') pair.sweep(n)
          else pair.read(n, what === 'read stored' ? 'stored' : 'propagated')
          pair.checkCounts()
        }
        pair.end(sentShare)
        await pair.checkPromises()
      },
    ),
    { numRuns: 300 },
  )
  t.pass('300 runs')
})

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
  const pair = new Pair(0)
  const limits = { deadlineMs: 1, deadline: Number.MAX_SAFE_INTEGER, signal: undefined }
  const grown = await heapGrowth(async () => {
    for (let i = 1; i <= 500_000; i++) {
      pair.inFlight.add({ bytes: 10, limits, loud: false })
      pair.inFlight.rejected(i, REFUSED)
    }
  })
  t.ok(grown < 2_000_000, `${grown} bytes for half a million sessions; a ring of all of them has 4 MB`)
  t.equal(pair.inFlight.sessions + pair.inFlight.live, 0)
  pair.inFlight.stored(1, 500_000)
})

t.test('while a replica is away, calls that have expired are not kept', async (t) => {
  const pair = new Pair(0)
  const limits = { deadlineMs: 1, deadline: 1e12, signal: undefined }
  const grown = await heapGrowth(async () => {
    for (let i = 1; i <= 30_000; i++) {
      const receipt = pair.inFlight.add({ bytes: 10, limits, loud: false })
      if (i % 2 === 0) void receipt.propagated
      pair.inFlight.stored(1, i)
      void receipt.propagated // every other one only now
      if (i % 100 > 0) continue
      pair.inFlight.sweep(2e12)
      await new Promise((resolve) => setImmediate(resolve)) // rejections are told
    }
  })
  t.ok(grown < 5_000_000, `${grown} bytes for 30,000 sessions; kept with their errors they are 30 MB`)
  t.equal(pair.inFlight.sessions + pair.inFlight.live, 0)
})
