/** The producer table against a naive fold of the whole log, and what it says of sessions against the log itself. */
import t from 'tap'
import { encodeFrame, FrameKind } from '../../protocol/frame.ts'
import { PRODUCER_COUNT_LIMIT, PRODUCER_RANGE_COUNT_LIMIT } from '../../protocol/limits.ts'
import { ProducerEntry, ProducerTable, type ProducerTableState } from '../../wal/producer-table.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { naiveProducers, type WrittenSession } from './naive-producers.ts'

const make = (id: bigint): ProducerEntry => new ProducerEntry(id)

function frameOf({ producer, sequence, epoch, term }: WrittenSession): Buffer {
  const header = {
    kind: FrameKind.ENTRIES,
    flags: 0,
    entryCount: 1,
    termTag: 1,
    position: 0,
    epoch: BigInt(epoch),
    term: BigInt(term),
    firstMinor: 0n,
    producerId: producer,
    producerSequence: sequence,
  }
  return encodeFrame(header, Buffer.alloc(25), 0)
}

/** Ids that share a half with each other, and the largest. */
const IDS = [1n, 1n << 32n, (1n << 32n) + 1n, (1n << 64n) - 1n, 2n, 3n, 0xffff_ffffn, 7n << 40n]

function randomLog(random: SeededRandom, length: number): WrittenSession[] {
  const next = new Map<bigint, number>()
  let epoch = 1
  let term = 1
  return Array.from({ length }, () => {
    if (random.chance(1, 3)) epoch += 1 + random.below(3)
    if (random.chance(1, 20)) term++
    const producer = IDS[random.below(2 + random.below(IDS.length - 1))]! // the first ones more often
    const step = random.chance(1, 4) ? 1 + random.below(4) : 1
    const sequence = (next.get(producer) ?? 0) + (random.chance(1, 30) ? 0 : step) // now and then what never happens
    next.set(producer, Math.max(sequence, next.get(producer) ?? 0))
    return { producer, sequence: Math.max(sequence, 1), epoch, term }
  })
}

t.test('WAL-67 WAL-68: on random logs the table is that of a naive fold, from wherever one begins', (t) => {
  const seen = { evictions: 0, forgottenRanges: 0, ranges: 0 }
  for (let seed = 0; seed < 400; seed++) {
    const random = new SeededRandom(seed)
    const limits = { producers: 1 + random.below(8), ranges: 1 + random.below(4) }
    const log = randomLog(random, 1 + random.below(80))
    const middle = random.below(log.length)
    const table = new ProducerTable(make, undefined, limits)
    let half: ProducerTableState | undefined
    for (const [i, session] of log.entries()) {
      if (i === middle) half = JSON.parse(JSON.stringify(table.state())) as ProducerTableState // what state() gave
      table.fold(frameOf(session), 0)
    }
    const expected = naiveProducers(log, limits)
    t.strictSame(table.state(), expected, `seed ${seed}`)
    const resumed = new ProducerTable(make, half, limits)
    for (const session of log.slice(middle)) resumed.fold(frameOf(session), 0)
    t.strictSame(resumed.state(), expected, `seed ${seed}, from ${middle} on`)
    t.equal(resumed.size, expected.producers.length)
    seen.evictions += table.evictedEpoch > 0 ? 1 : 0
    seen.ranges += expected.producers.filter((row) => row[5].length > 0).length
    seen.forgottenRanges += expected.producers.filter((row) => row[5].length > 0 && row[4] > 1).length
  }
  for (const [what, count] of Object.entries(seen)) t.ok(count > 50, `${what} happened ${count} times`)
  t.end()
})

t.test('sessions of an entry at hand give the same table as frames', (t) => {
  for (let seed = 0; seed < 100; seed++) {
    const limits = { producers: 4, ranges: 2 }
    const log = randomLog(new SeededRandom(seed), 60)
    const folded = new ProducerTable(make, undefined, limits)
    const noted = new ProducerTable(make, undefined, limits)
    const atHand = new Map<bigint, ProducerEntry>()
    for (const session of log) {
      folded.fold(frameOf(session), 0)
      const entry = atHand.get(session.producer) ?? make(session.producer)
      atHand.set(session.producer, entry) // kept when it is forgotten by the table, as a connection keeps it
      noted.note(entry, session.sequence, session.epoch, session.term)
    }
    t.strictSame(noted.state(), folded.state(), `seed ${seed}`)
  }
  t.end()
})

t.test('a frame of no producer leaves no trace', (t) => {
  const table = new ProducerTable(make)
  table.fold(frameOf({ producer: 0n, sequence: 5, epoch: 1, term: 1 }), 0)
  t.strictSame(table.state(), { evictedEpoch: '0', producers: [] })
  t.end()
})

t.test('WAL-68: the limits are those of the specification', (t) => {
  const table = new ProducerTable(make)
  for (let i = 1; i <= PRODUCER_COUNT_LIMIT + 1; i++) table.note(make(BigInt(i)), 1, i, 1)
  t.equal(table.size, PRODUCER_COUNT_LIMIT)
  t.equal(table.evictedEpoch, 1)
  t.equal(table.get(1n), undefined)
  const holey = make(2n ** 63n)
  for (let i = 1; i <= PRODUCER_RANGE_COUNT_LIMIT + 1; i++) table.note(holey, 2 * i, 1, 1)
  t.same([holey.missing.length / 2, holey.judgedFrom], [PRODUCER_RANGE_COUNT_LIMIT, 2]) // nothing below its first one
  table.note(holey, 1000, 1, 1)
  t.same([holey.missing.length / 2, holey.judgedFrom], [PRODUCER_RANGE_COUNT_LIMIT, 4])
  t.end()
})
