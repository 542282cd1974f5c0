/**
 * What must become of the sessions of a producer, said a second time and without thrift: every session stands in a list,
 * the node's log is another list, and each step looks at all of both.
 *
 * Drives an InFlight through connections that break and nodes that come back with all, part or none of the log.
 */
import { AbortWatch } from '../../client/abort-watch.ts'
import type { Failure } from '../../client/client-error.ts'
import { InFlight } from '../../client/in-flight.ts'
import type { PendingReceipt } from '../../client/receipt.ts'
import { nodeId, type Term, termNumber } from '../../protocol/ids.ts'
import { nodeClock } from '../../world/node-clock.ts'
import { NODE } from './fake-node.ts'

const DISK_LOW: Failure = { code: 'DISK_LOW', outcome: 'not-applied', reason: 'full', hint: '' }
const GOING: Failure = { ...DISK_LOW, code: 'SHUTTING_DOWN' }
const ENDED: Failure = { code: 'CONNECTION_LOST', outcome: 'unknown', reason: 'gone', hint: '' }
const NEVER_SENT: Failure = { ...ENDED, outcome: 'not-applied' }
/** So far ahead that no real clock gets there while a test runs. */
const FAR_MS = 1e9

const termOf = (number: number): Term => ({ number: termNumber(BigInt(number)), nodeId: nodeId(NODE), tag: 1 })

interface Session {
  readonly sequence: number
  readonly receipt: PendingReceipt
  readonly deadline: number
  /** It was handed to some connection. */
  isSent: boolean
  /** The client has heard what it will hear, or will never send it. */
  isAnswered: boolean
  isStored: boolean
  /** Refused by a node that was going. */
  isHeld: boolean
  hasFailed: boolean
  /** Somebody waits for PROPAGATED. */
  isRead: boolean
  /** What each promise is to say; undefined while it is open. */
  readonly says: { stored?: string; propagated?: string }
}

interface Logged {
  readonly sequence: number
  readonly epoch: number
  readonly term: number
}

export class NaiveProducer {
  readonly inFlight: InFlight
  readonly sessions: Session[] = []
  readonly #base: number
  /** Where the numbers of the present id begin. */
  #idBase: number
  /** The node's log, as far as it is of this producer and id. */
  #log: Logged[] = []
  /** Handed to the connection, not yet looked at by the node. */
  #inTransit: Session[] = []
  #isConnected = false
  #isGoing = false
  #claimedSent = 0
  #sentHere = 0
  /** What the node has said on this connection: index into its log. */
  #saidStored = 0
  #saidPropagated = 0
  /** What it has ever said is STORED, and PROPAGATED: of the latter no change of history takes anything away. */
  #durable = 0
  #safe = 0
  #epoch = 0
  #term = 1
  #isEnded = false
  readonly #knownLost = new Set<Session>()

  constructor(base: number) {
    this.#base = base
    this.#idBase = base
    const options = { channel: 3, sequence: base, reconnect: true, clock: nodeClock, watchDeadline: () => {} }
    this.inFlight = new InFlight({ ...options, signals: new AbortWatch(() => {}) })
    this.open(0)
  }

  add(deadline: number): void {
    const limits = { deadlineMs: 1, deadline: performance.now() + FAR_MS + deadline, signal: undefined }
    const receipt = this.inFlight.add({ bytes: 10, limits, loud: false })
    const flags = { isSent: false, isAnswered: false, isStored: false, isHeld: false, hasFailed: false, isRead: false }
    this.sessions.push({ receipt, sequence: receipt.sequence, deadline: limits.deadline, ...flags, says: {} })
  }

  /** All that is to be sent goes to the connection. */
  handOver(): void {
    if (!this.#isConnected) return
    this.inFlight.handedOver()
    const toSend = this.sessions.filter((one) => one.sequence > this.#sentHere && !one.isAnswered)
    for (const session of toSend) {
      const previous = this.#sentHere
      this.#sentHere = session.sequence
      session.isSent = true
      const leavesOut = session.sequence - previous > 1
      if (leavesOut && previous >= this.#claimedSent && previous > this.#idBase) throw new Error('left one out')
    }
    this.#inTransit.push(...toSend)
  }

  /** The node looks at some of what was sent. @param pattern bits: which of them it rejects */
  arrive(share: number, pattern: number, isHeard = true): void {
    const count = Math.floor((this.#inTransit.length * share) / 8)
    this.#epoch += 1
    for (const [i, session] of this.#inTransit.splice(0, count).entries()) {
      const { sequence } = session
      const isRejected = ((pattern >> (i % 10)) & 1) === 1
      if (!this.#isGoing && !isRejected) this.#log.push({ sequence, epoch: this.#epoch, term: this.#term })
      else if (isHeard) {
        this.inFlight.rejected(sequence, this.#isGoing ? GOING : DISK_LOW)
        if (this.#isGoing) session.isHeld = true
        else this.#answer(session, 'DISK_LOW not-applied')
      }
    }
  }

  store(share: number): void {
    const from = Math.max(this.#saidStored, this.#durable)
    const to = from + Math.floor(((this.#log.length - from) * share) / 8)
    const last = this.#log[to - 1]
    if (!this.#isConnected || last === undefined || this.#saidStored === to) return
    this.#saidStored = to
    this.#durable = to
    this.inFlight.stored(last.epoch, last.sequence)
    for (const session of this.#unanswered()) {
      if (session.sequence > last.sequence) continue
      if (session.isHeld) {
        this.#answer(session, 'SHUTTING_DOWN not-applied')
        continue
      }
      session.isAnswered = true
      session.isStored = true
      session.says.stored ??= `epoch ${last.epoch} of term ${last.term}`
    }
  }

  propagate(share: number): void {
    const from = Math.max(this.#saidPropagated, this.#safe)
    const to = from + Math.floor(((this.#saidStored - from) * share) / 8)
    const last = this.#log[to - 1]
    if (!this.#isConnected || last === undefined || to > this.#saidStored) return
    this.#saidPropagated = to
    this.#safe = Math.max(this.#safe, to)
    this.inFlight.propagated(last.epoch, last.sequence)
    for (const session of this.sessions) {
      if (session.sequence > last.sequence || session.sequence <= this.#idBase) continue
      if (session.isStored) session.says.propagated ??= session.says.stored ?? ''
    }
  }

  /** The node begins to refuse everything. */
  go(): void {
    if (this.#isConnected) this.#isGoing = true
  }

  /** @param share of what was in transit has still arrived, and nobody has heard what became of it */
  break(share: number, pattern: number): void {
    if (!this.#isConnected) return
    this.arrive(share, pattern, false)
    this.#inTransit = []
    this.#isConnected = false
    this.#isGoing = false
    this.inFlight.broken()
  }

  /** A claim that comes to nothing. */
  tryInVain(): void {
    if (this.#isConnected) return
    this.inFlight.claim()
    this.inFlight.broken()
  }

  /** @param cut 0: the same history goes on. Else another one, which may have lost eighths of what is not PROPAGATED */
  open(cut: number): void {
    if (this.#isConnected) return
    this.#claimedSent = this.inFlight.claim().sent
    if (cut > 0) {
      const lost = Math.floor(((this.#log.length - this.#safe) * (cut - 1)) / 8)
      this.#log.length -= lost
      this.#durable = Math.min(this.#durable, this.#log.length)
      this.#term += 1
      // a new mastership may use the epoch numbers of a lost tail again
      if (lost > 0) this.#epoch = this.#log.at(-1)?.epoch ?? 0
    }
    const last = this.#log.at(-1)
    const sequence = last?.sequence ?? 0
    const lost = this.inFlight.opened({
      term: termOf(this.#term),
      replicas: 1,
      sequence,
      missing: this.#missing(sequence),
      lastTerm: termOf(last?.term ?? this.#term),
    })
    this.#isConnected = true
    this.#saidStored = 0
    this.#saidPropagated = 0
    this.#sentHere = Math.max(sequence, this.#idBase)
    this.#judge(sequence, lost)
  }

  /** The table has no place for this producer any more. */
  forget(): void {
    if (this.#isConnected) return
    this.inFlight.claim()
    this.inFlight.forgotten()
    for (const session of this.sessions) {
      const { says, isAnswered, isSent, isHeld, isStored } = session
      if (isStored) says.propagated ??= 'PRODUCER_EXPIRED unknown'
      if (isAnswered) continue
      if (isHeld) this.#answer(session, 'SHUTTING_DOWN not-applied')
      else this.#answer(session, `PRODUCER_EXPIRED ${isSent ? 'unknown' : 'not-applied'}`)
    }
    this.#log = []
    this.#durable = 0
    this.#safe = 0
    this.#idBase = this.#base + this.sessions.length
    this.open(0)
  }

  /** Everything that expires in the first `share` eighths of all deadlines does so. */
  sweep(share: number): void {
    const now = performance.now() + FAR_MS + share * 100
    const next = this.inFlight.sweep(now)
    const waiting = this.sessions.filter(({ says, isRead, isStored }) =>
      isStored ? isRead && says.propagated === undefined : says.stored === undefined,
    )
    for (const session of waiting.filter(({ deadline }) => deadline <= now)) {
      if (session.isHeld) this.#answer(session, 'SHUTTING_DOWN not-applied')
      else if (!this.#isConnected && !session.isSent) this.#answer(session, 'DEADLINE_EXCEEDED not-applied')
      else this.#fail(session, 'DEADLINE_EXCEEDED unknown')
    }
    const left = waiting.filter(({ deadline }) => deadline > now).map(({ deadline }) => deadline)
    if (next !== Math.min(Number.POSITIVE_INFINITY, ...left)) throw new Error('a deadline was forgotten')
  }

  read(n: number, level: 'stored' | 'propagated'): void {
    const session = this.sessions[n % Math.max(1, this.sessions.length)]
    if (session === undefined) return
    if (level === 'propagated') session.isRead = true
    void session.receipt.promise(level)
  }

  end(): void {
    this.inFlight.end({ sent: ENDED, neverSent: NEVER_SENT })
    this.#isEnded = true
    for (const session of this.sessions) {
      if (session.isStored) session.says.propagated ??= 'CONNECTION_LOST unknown'
      else if (session.isHeld) this.#fail(session, 'SHUTTING_DOWN not-applied')
      else this.#fail(session, `CONNECTION_LOST ${session.isSent ? 'unknown' : 'not-applied'}`)
    }
  }

  check(): void {
    if (this.#isEnded) return
    const open = [...this.#unanswered()]
    if (this.inFlight.sessions !== open.length) throw new Error(`${this.inFlight.sessions} of ${open.length} sessions`)
    const first = this.sessions.findIndex(({ isAnswered }) => !isAnswered)
    const kept = first < 0 ? 0 : this.sessions.length - first
    if (this.inFlight.bytes !== kept * 10) throw new Error(`${this.inFlight.bytes} bytes, expected ${kept * 10}`)
  }

  /** Reads all promises, whether or not they were read before. */
  async checkPromises(): Promise<void> {
    if (this.inFlight.sessions + this.inFlight.bytes + this.inFlight.live !== 0) throw new Error('something is left')
    for (const [i, { receipt, says }] of this.sessions.entries()) {
      const found = { stored: await textOf(receipt.stored), propagated: await textOf(receipt.propagated) }
      if (found.stored === says.stored && found.propagated === says.propagated) continue
      throw new Error(`session ${i} says ${JSON.stringify(found)}, expected ${JSON.stringify(says)}`)
    }
  }

  /** What the client must conclude from the answer to its claim. */
  #judge(sequence: number, lost: { from: number; to: number } | undefined): void {
    const inLog = new Set(this.#log.map((logged) => logged.sequence))
    const present = this.sessions.filter((session) => session.sequence > this.#idBase)
    const gone = present.filter(({ isStored, sequence: of }) => isStored && !inLog.has(of))
    const news = gone.filter((session) => !this.#knownLost.has(session))
    const expected =
      news.length === 0 ? undefined : { from: Math.max(sequence, this.#idBase) + 1, to: news.at(-1)?.sequence }
    if (JSON.stringify(lost) !== JSON.stringify(expected)) {
      throw new Error(`told of ${JSON.stringify(lost)}, expected ${JSON.stringify(expected)}`)
    }
    for (const session of news) this.#knownLost.add(session)
    for (const session of gone) session.says.propagated ??= 'SESSION_LOST lost'
    for (const session of [...this.#unanswered()]) {
      const { sequence: of } = session
      const fate = inLog.has(of) ? 'keep' : of < sequence || session.hasFailed ? 'drop' : 'send'
      if (fate === 'drop') {
        if (of < sequence)
          this.#answer(session, session.isHeld ? 'SHUTTING_DOWN not-applied' : 'CONNECTION_LOST not-applied')
        else session.isAnswered = true
      } else if (fate === 'send') session.isHeld = false
      const says = this.inFlight.fateOf(of)
      if (says !== fate) throw new Error(`session ${of} is to ${says}, expected ${fate}`)
    }
  }

  #missing(sequence: number): [number, number][] {
    const inLog = new Set(this.#log.map((logged) => logged.sequence))
    const ranges: [number, number][] = []
    for (const { sequence: of } of this.sessions) {
      const range = ranges.at(-1)
      if (of >= sequence || of <= this.#idBase || inLog.has(of)) continue
      if (range !== undefined && range[1] === of - 1) range[1] = of
      else ranges.push([of, of])
    }
    return ranges
  }

  #unanswered(): Session[] {
    return this.sessions.filter(({ isAnswered }) => !isAnswered)
  }

  #answer(session: Session, text: string): void {
    session.isAnswered = true
    this.#fail(session, text)
  }

  #fail(session: Session, text: string): void {
    session.says.stored ??= text
    session.says.propagated ??= text
    session.hasFailed = true
  }
}

function textOf(promise: PendingReceipt['stored']): Promise<string> {
  return promise.then(
    ({ epoch: of, term }) => `epoch ${of} of term ${term.number}`,
    ({ code, outcome }: { code: string; outcome: string }) => `${code} ${outcome}`,
  )
}
