/** Who waits for PROPAGATED: however long a replica is away, the queue is bounded, and everybody is answered in the end. */
import t from 'tap'
import { UNPROPAGATED_RECORDS_LIMIT } from '../../protocol/limits.ts'
import { PropagationQueue } from '../../wal/propagation-queue.ts'

class Writer {
  isGone = false
  /** Layer of each sequence, from 1 on. */
  readonly layers: bigint[] = []
  answered = 0
}

interface Run {
  readonly queue: PropagationQueue<Writer>
  readonly writers: readonly Writer[]
  /** Every writer writes one session in `layer`. */
  writeAll(layer: bigint): void
  /** Answers up to `layer`; fails the test on an answer that is not true. */
  answer(layer: bigint): void
}

function start(t: { fail(message: string): unknown }, count: number): Run {
  const queue = new PropagationQueue<Writer>()
  const writers = Array.from({ length: count }, () => new Writer())
  return {
    queue,
    writers,
    writeAll: (layer) => {
      for (const origin of writers) {
        origin.layers.push(layer)
        queue.push({ layer, origin, lastSequence: origin.layers.length })
      }
    },
    answer: (layer) =>
      queue.take(layer, (record) => {
        const { origin, lastSequence } = record
        if (lastSequence <= origin.answered) t.fail('answers go forward')
        if (origin.layers[lastSequence - 1] !== record.layer || record.layer > layer) t.fail('an answer is true')
        origin.answered = lastSequence
      }),
  }
}

for (const count of [1, 3, 500, UNPROPAGATED_RECORDS_LIMIT]) {
  t.test(`${count} writers while a replica is away`, async (t) => {
    const run = start(t, count)
    const layers = BigInt(Math.ceil((12 * UNPROPAGATED_RECORDS_LIMIT) / count))
    let most = 0
    for (let layer = 1n; layer <= layers; layer++) {
      run.writeAll(layer)
      most = Math.max(most, run.queue.length)
    }
    t.ok(most <= UNPROPAGATED_RECORDS_LIMIT + 17 * count + 1, `${most} records at most`)
    run.answer(layers / 2n)
    for (const writer of run.writers) {
      if (count < 1000 && writer.answered < Number(layers) * (1 / 2 - 1 / 8))
        t.fail('late by more than an eighth of the wait')
    }
    run.answer(layers)
    t.ok(run.writers.every((writer) => writer.answered === writer.layers.length))
    t.equal(run.queue.length, 0)
  })
}

t.test('a replica that stays behind by more than the limit does not put answers off for ever', async (t) => {
  const run = start(t, 1)
  const behind = BigInt(20 * UNPROPAGATED_RECORDS_LIMIT)
  for (let layer = 1n; layer <= 4n * behind; layer++) {
    run.writeAll(layer)
    run.answer(layer - behind)
    const answered = BigInt(run.writers[0]!.answered)
    if (layer > behind && answered < layer - behind - behind / 7n) t.fail(`layer ${layer}: ${answered} are answered`)
  }
  t.ok(run.writers[0]!.answered > 0)
})

t.test('writers that have gone are forgotten', async (t) => {
  const run = start(t, 1000)
  for (let layer = 1n; layer <= 4n; layer++) run.writeAll(layer)
  for (const writer of run.writers) writer.isGone = true
  const last = new Writer()
  const before = run.queue.length
  for (let i = before; i <= UNPROPAGATED_RECORDS_LIMIT; i++) {
    last.layers.push(5n)
    run.queue.push({ layer: 5n, origin: last, lastSequence: last.layers.length })
  }
  t.ok(run.queue.length < UNPROPAGATED_RECORDS_LIMIT - before + 1)
  run.answer(5n)
  t.equal(last.answered, last.layers.length)
})
