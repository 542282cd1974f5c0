/**
 * REP-61 to REP-64: what a node answers to a producer that comes back. Judged by the logs themselves, on random lives of
 * clients and of masters that take over from each other with shorter logs, from old copies, and use epochs again.
 */
import t from 'tap'
import { type ClaimAnswer, judgeClaim } from '../../wal/producer-claim.ts'
import { ProducerEntry, ProducerTable } from '../../wal/producer-table.ts'
import { codeOf, valueOrCode } from '../protocol/damage.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import type { WrittenSession } from './naive-producers.ts'

const make = (id: bigint): ProducerEntry => new ProducerEntry(id)

interface Client {
  readonly id: bigint
  sent: number
  answered: number
  since: bigint
}

/** A master, by the log that it began with. Its epochs go on above those of that log. */
class Master {
  readonly log: WrittenSession[]
  readonly table: ProducerTable
  open: number

  constructor(log: readonly WrittenSession[], limits: { producers: number; ranges: number }, random: SeededRandom) {
    this.log = [...log]
    this.table = new ProducerTable(make, undefined, limits)
    for (const s of log) this.table.note(this.table.get(s.producer) ?? make(s.producer), s.sequence, s.epoch, s.term)
    this.open = (log.at(-1)?.epoch ?? 0) + 1 + random.below(3)
  }

  write(producer: bigint, sequence: number): void {
    this.log.push({ producer, sequence, epoch: this.open, term: 1 })
    this.table.note(this.table.get(producer) ?? make(producer), sequence, this.open, 1)
  }

  holds(producer: bigint, sequence: number): boolean {
    return this.log.some((s) => s.producer === producer && s.sequence === sequence)
  }
}

type Judge = (client: Client, master: Master) => ClaimAnswer

const judge: Judge = (client, master) =>
  judgeClaim(client, {
    entry: master.table.get(client.id),
    evictedEpoch: master.table.evictedEpoch,
    closedEpoch: BigInt(master.open - 1),
    where: {},
  })

/** Lives of five clients on masters that remember two producers. Returns the number of answers, or what was wrong. */
function live(seed: number, ask: Judge): { answers: number; expired: number; wrong: string | undefined } {
  const random = new SeededRandom(seed)
  const limits = { producers: 1 + random.below(3), ranges: 1 + random.below(2) }
  const clients = Array.from({ length: 5 }, (_, i): Client => ({ id: BigInt(i + 1), sent: 0, answered: 0, since: 0n }))
  let master = new Master([], limits, random)
  const copies: WrittenSession[][] = [[]]
  // set below
  const result = { answers: 0, expired: 0, wrong: undefined as string | undefined }
  for (let step = 0; step < 60; step++) {
    if (random.chance(1, 8)) copies.push(master.log.slice(0, random.below(master.log.length + 1)))
    if (random.chance(1, 8)) master = new Master(copies[random.below(copies.length)]!, limits, random)
    if (random.chance(1, 3)) master.open++
    const client = clients[random.below(clients.length)]!
    const asked = valueOrCode(() => ask(client, master))
    if ('code' in asked) {
      if (asked.code !== 'PRODUCER_EXPIRED') return { ...result, wrong: asked.code }
      result.expired++
      clients[clients.indexOf(client)] = { id: client.id + 100n, sent: 0, answered: 0, since: 0n }
      continue
    }
    const answer = asked.value
    result.answers++
    for (let s = client.answered + 1; s <= client.sent; s++) {
      const said = s <= answer.sequence && !answer.missing.some(([from, to]) => s >= from && s <= to)
      if (said !== master.holds(client.id, s)) return { ...result, wrong: `session ${s} of ${client.id}: said ${said}` }
    }
    if (random.chance(1, 8)) continue // the answer is lost, and nothing is sent
    client.since = answer.since
    const first = Math.max(answer.sequence, random.chance(1, 2) ? client.answered : client.sent) + 1
    const count = random.below(4)
    for (let s = first; s < first + count; s++) if (!random.chance(1, 5)) master.write(client.id, s)
    client.sent = Math.max(client.sent, first + count - 1)
    client.answered = Math.max(client.answered, random.below(client.sent + 1))
  }
  return result
}

t.test('REP-62 REP-63 REP-64: an answer is never wrong, whoever is master and whatever was forgotten', (t) => {
  let answers = 0
  let expired = 0
  for (let seed = 0; seed < 2000; seed++) {
    const result = live(seed, judge)
    if (result.wrong !== undefined) t.fail(`seed ${seed}: ${result.wrong}`)
    answers += result.answers
    expired += result.expired
  }
  t.ok(answers > 20_000, `${answers} answers`)
  t.ok(expired > 2000, `${expired} times the memory did not reach back`)
  t.end()
})

t.test('the judge of answers sees rules that are not enough', (t) => {
  const mutants: Record<string, Judge> = {
    'since as the last epoch of the producer': (client, master) => {
      const last = master.table.get(client.id)?.lastEpoch
      return { ...judge(client, master), since: last === undefined ? BigInt(master.open - 1) : BigInt(last - 1) }
    },
    'since as the last closed epoch, always': (client, master) => ({
      ...judge(client, master),
      since: BigInt(master.open - 1),
    }),
    'nobody is forgotten': (client, master) =>
      judgeClaim(client, { entry: master.table.get(client.id), evictedEpoch: 0, closedEpoch: 0n, where: {} }),
    'ranges are not forgotten': (client, master) => {
      const entry = master.table.get(client.id)
      if (entry !== undefined) entry.judgedFrom = 1
      return judge(client, master)
    },
  }
  for (const [name, ask] of Object.entries(mutants)) {
    let wrong: string | undefined
    for (let seed = 0; wrong === undefined && seed < 20_000; seed++) wrong = live(seed, ask).wrong
    t.type(wrong, 'string', name)
  }
  t.end()
})

t.test('REP-61: numbers that cannot be true', (t) => {
  const entry = make(1n)
  new ProducerTable(make).note(entry, 5, 3, 1)
  const ground = { entry, evictedEpoch: 0, closedEpoch: 9n, where: {} }
  const claim = { sent: 5, answered: 0, since: 2n }
  t.strictSame(judgeClaim(claim, ground), { sequence: 5, missing: [[1, 4]], since: 2n })
  t.strictSame(judgeClaim({ ...claim, answered: 2 }, ground).missing, [[3, 4]])
  t.strictSame(judgeClaim({ ...claim, answered: 4 }, ground).missing, [])
  t.strictSame(judgeClaim({ ...claim, since: 99n }, ground).since, 9n)
  t.equal(
    codeOf(() => judgeClaim({ ...claim, sent: 4 }, ground)),
    'PRODUCER_SEQUENCE',
  )
  t.equal(
    codeOf(() => judgeClaim({ ...claim, answered: 6 }, ground)),
    'PRODUCER_SEQUENCE',
  )
  const unknown = { ...ground, entry: undefined }
  t.strictSame(judgeClaim({ sent: 0, answered: 0, since: 7n }, unknown), { sequence: 0, missing: [], since: 9n })
  t.equal(
    codeOf(() => judgeClaim({ ...claim, sent: 0 }, { ...unknown, evictedEpoch: 3 })),
    'none',
  )
  t.equal(
    codeOf(() => judgeClaim(claim, { ...unknown, evictedEpoch: 2 })),
    'none',
  )
  t.equal(
    codeOf(() => judgeClaim(claim, { ...unknown, evictedEpoch: 3 })),
    'PRODUCER_EXPIRED',
  )
  t.end()
})
