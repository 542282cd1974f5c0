/**
 * What a replica holds whole, when a new history cuts its log: what was cut counts no more, what was not goes on counting,
 * also where a channel has not got there yet, and where the histories have parted more than one mastership ago.
 */
import t from 'tap'
import { HeldEpochs } from '../../daemon/held-epochs.ts'
import { EMPTY_CONFIG } from '../../protocol/cluster-config.ts'
import { commonEpoch } from '../../wal/term-history.ts'
import type { FoundSeal } from '../../wal/whole-epoch.ts'
import { mastership, OWN } from '../wal/hand-made-log.ts'

const BOTH = 0b11n

/** Epochs `from` to `to` on one channel, in which both channels take part; `prev` of the first is `base`. */
const seals = (channel: number, term: bigint, from: number, to: number, base = from - 1): FoundSeal[] =>
  Array.from({ length: to - from + 1 }, (_, i) => {
    const prev = BigInt(i === 0 ? base : from + i - 1)
    return { channel, term, epoch: BigInt(from + i), prev, participants: BOTH }
  })

const held = (): HeldEpochs => new HeldEpochs({ whole: 0n, heldThrough: [0n, 0n], seals: [] })

t.test('a channel that lags at the cut catches up, and the epochs become whole', (t) => {
  const epochs = held()
  epochs.addSeals([...seals(0, 1n, 1, 10), ...seals(1, 1n, 1, 4)])
  const record = { config: { ...EMPTY_CONFIG, number: 7 }, masterId: OWN, masterAddress: 'a:1' }
  epochs.addConfigs([6n, 9n].map((at) => ({ epoch: at, record })))
  t.equal(epochs.whole, 4n)
  epochs.cutBehind(8n)
  t.equal(epochs.whole, 4n, 'nothing becomes whole by a cut')
  epochs.addSeals(seals(1, 1n, 5, 8))
  t.equal(epochs.whole, 8n, 'seals of the other channel that were not cut still count')
  t.equal(epochs.takeConfig()?.config.number, 7, 'and so does a config')
  epochs.addSeals([...seals(0, 2n, 9, 9), ...seals(1, 2n, 9, 9)])
  t.equal(epochs.whole, 9n, 'the new history goes on')
  t.equal(epochs.takeConfig(), undefined, 'without what was cut')
  t.end()
})

t.test('what was whole and is cut is whole no more: the chain goes on where the histories part', (t) => {
  const epochs = held()
  epochs.addSeals([...seals(0, 1n, 1, 100), ...seals(1, 1n, 1, 100)])
  const own = [mastership(1, [0, 0])]
  const cut = commonEpoch(own, [...own, mastership(2, [500, 500], 95n), mastership(3, [900, 900], 200n)])
  t.equal(cut, 95n, 'where the first of the unknown masterships began, not the last')
  t.equal(commonEpoch([...own, mastership(2, [400, 400], 80n)], [...own, mastership(3, [500, 500], 95n)]), 80n)
  t.equal(commonEpoch(own, [mastership(2, [0, 0])]), 0n, 'nothing is shared')
  epochs.cutBehind(cut)
  t.equal(epochs.whole, 95n)
  epochs.addSeals([...seals(0, 2n, 96, 200), ...seals(1, 2n, 96, 200)])
  t.equal(epochs.whole, 200n)
  t.end()
})

t.test(
  'a start that began at recovery points behind the cut: seals of the new history are missed as all others',
  (t) => {
    const epochs = new HeldEpochs({ whole: 100n, heldThrough: [100n, 100n], seals: [] })
    epochs.cutBehind(90n)
    epochs.addSeals(seals(0, 2n, 91, 93))
    t.equal(epochs.whole, 90n, 'the other channel holds none of them yet')
    epochs.addSeals(seals(1, 2n, 91, 92))
    t.equal(epochs.whole, 92n)
    t.end()
  },
)
