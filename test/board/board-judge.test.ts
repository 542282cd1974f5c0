/**
 * The judges of the interleaving test are given states that are wrong, one for each property, and must say so; and right
 * ones that differ from them by as little as possible.
 */
import t from 'tap'
import * as shipped from '../../wal/board-machine.ts'
import { type Configuration, configuration } from './configuration.ts'
import { Judge } from './judge.ts'
import { ModelLog } from './model-log.ts'
import { Channel, Layout, Log, SEAL_BIT } from './state-vector.ts'
import { World } from './world.ts'

const MASTER = configuration({ sessions: [2, 2], ring: 4, bound: 4 })
const REPLICA = configuration({ sessions: [2, 2], ring: 4, bound: 4, replica: true, breaks: 1, lives: 2 })

/** Records of one channel: a layer is a batch, `[layer, participants]` a seal. */
type Records = readonly (number | readonly [number, number])[]

class Case {
  readonly layout: Layout
  readonly vector: Uint8Array
  readonly judge: Judge

  constructor(config: Configuration, watermarks: { open: number; stored: number; propagated?: number }) {
    this.layout = new Layout(config)
    this.vector = new World(config, shipped).initial()
    this.judge = new Judge(this.layout)
    this.vector[this.layout.open] = watermarks.open
    this.vector[this.layout.stored] = watermarks.stored
    this.vector[this.layout.propagated] = watermarks.propagated ?? 0
  }

  log(
    channel: number,
    records: Records,
    lengths: { durable: number; sent?: number; stored?: number; propagated?: number },
  ): this {
    const log = this.layout.log(channel)
    for (const [i, record] of records.entries()) {
      this.vector[log + Log.records + 2 * i] = typeof record === 'number' ? record : record[0] | SEAL_BIT
      this.vector[log + Log.records + 2 * i + 1] = typeof record === 'number' ? 0 : record[1]
    }
    this.vector[log + Log.length] = records.length
    this.vector[log + Log.durable] = lengths.durable
    this.vector[log + Log.sent] = lengths.sent ?? 0
    this.vector[log + Log.answeredStored] = lengths.stored ?? 0
    this.vector[log + Log.answeredPropagated] = lengths.propagated ?? 0
    return this
  }

  replica(life: number, durable: readonly number[]): this {
    this.vector[this.layout.life] = life
    for (const [channel, records] of durable.entries()) this.vector[this.layout.durableInLife(life, channel)] = records
    return this
  }

  get fault(): string | undefined {
    return this.judge.crash(this.vector)
  }
}

t.test('(a) what is STORED survives every crash', async (t) => {
  const alone: Records = [3, [3, 0b01]]
  t.equal(new Case(MASTER, { open: 4, stored: 3 }).log(0, alone, { durable: 2 }).fault, undefined)
  t.match(
    new Case(MASTER, { open: 4, stored: 3 }).log(0, alone, { durable: 1 }).fault,
    /^\(a\) STORED 3: the last whole epoch is 1/,
  )
  t.equal(new Case(MASTER, { open: 4, stored: 2 }).log(0, alone, { durable: 1 }).fault, undefined)
  t.match(
    new Case(MASTER, { open: 4, stored: 2 }).log(0, alone, { durable: 1, stored: 1 }).fault,
    /^\(a\).* answered session of epoch 3/,
  )
  const both = (durable: number): Case =>
    new Case(MASTER, { open: 4, stored: 3 }).log(0, [3, [3, 0b11]], { durable: 2 }).log(1, [3, [3, 0b11]], { durable })
  t.equal(both(2).fault, undefined)
  t.match(both(1).fault, /^\(a\).*per channel: 2, 1/, 'a participant whose seal may be lost')
})

t.test('(b) what is PROPAGATED survives on one disk of the replica', async (t) => {
  const sealed = (): Case =>
    new Case(REPLICA, { open: 4, stored: 3, propagated: 3 })
      .log(0, [3, [3, 0b11]], { durable: 2, sent: 2, stored: 1, propagated: 1 })
      .log(1, [3, [3, 0b11]], { durable: 2, sent: 2, stored: 1, propagated: 1 })
  t.equal(sealed().replica(0, [2, 2]).fault, undefined)
  t.match(sealed().replica(0, [2, 1]).fault, /^\(b\) PROPAGATED 3, replica alone/)
  t.equal(sealed().replica(0, [2, 2]).replica(1, [0, 0]).fault, undefined, 'the former life holds it')
  t.match(sealed().replica(0, [2, 0]).replica(1, [0, 2]).fault, /^\(b\)/, 'each life holds a half')
})

t.test('(c) a session accepted after an answer is not in an earlier epoch', async (t) => {
  const append = (floor: number): string | undefined => {
    const { layout, vector } = new Case(MASTER, { open: 5, stored: 4 })
    const scratch = { vector, fault: undefined }
    vector[layout.channel(0) + Channel.floor] = floor
    new ModelLog(scratch, layout, 0).appendQueue(5n)
    return scratch.fault
  }
  t.equal(append(5), undefined)
  t.match(append(6), /^\(c\)/)
})

t.test('(d) watermarks keep their order and never go back', async (t) => {
  const judge = new Judge(new Layout(REPLICA))
  const at = (open: number, stored: number, propagated: number): Uint8Array =>
    new Case(REPLICA, { open, stored, propagated }).vector
  t.equal(judge.fault(at(4, 2, 2), at(4, 2, 2), 0), undefined)
  t.match(judge.fault(at(4, 2, 2), at(3, 2, 2), 0), /^\(d\) the open layer goes back from 4 to 3/)
  t.match(judge.fault(at(4, 3, 2), at(4, 2, 2), 0), /^\(d\) STORED goes back/)
  t.match(judge.fault(at(4, 3, 3), at(4, 3, 2), 0), /^\(d\) PROPAGATED goes back/)
  t.match(judge.fault(at(4, 2, 2), at(4, 2, 3), 0), /^\(d\) propagated <= stored < open/)
  t.match(judge.fault(at(4, 2, 2), at(4, 4, 2), 0), /^\(d\) propagated <= stored < open/)
  t.match(judge.fault(at(6, 2, 2), at(4, 2, 2), 1), /^\(d\) the open layer goes back from 6 to 5/, 'all lowered by one')
})

t.test('(e) the chain has no hole', async (t) => {
  const unnamed = new Case(MASTER, { open: 4, stored: 2 })
    .log(0, [3, [3, 0b01]], { durable: 0 })
    .log(1, [3], { durable: 0 })
  t.match(unnamed.fault, /^\(e\) epoch 3 is whole, but a session of epoch 3 on channel 1 is missing/)
  const named = new Case(MASTER, { open: 4, stored: 2 })
    .log(0, [3, [3, 0b11]], { durable: 0 })
    .log(1, [3], { durable: 0 })
  t.equal(named.fault, undefined)
  const whole = new Case(MASTER, { open: 4, stored: 3 }).log(0, [3, [3, 0b01]], { durable: 2 })
  t.equal(whole.judge.completion(whole.vector), undefined)
  const unsealed = new Case(MASTER, { open: 5, stored: 3 }).log(0, [3, [3, 0b01]], { durable: 2 })
  t.match(unsealed.judge.completion(unsealed.vector), /^\(e\) all is answered, but the last whole epoch is 3, not 4/)
})

t.test('(e) records of a channel are in the order of their layers', async (t) => {
  const behind = (records: Records, append: (log: ModelLog) => void): string | undefined => {
    const { layout, vector } = new Case(MASTER, { open: 5, stored: 2 }).log(0, records, { durable: 0 })
    const scratch = { vector, fault: undefined }
    append(new ModelLog(scratch, layout, 0))
    return scratch.fault
  }
  t.match(
    behind([3, [3, 1]], (log) => log.appendQueue(3n)),
    /^\(e\) a session of layer 3 comes behind the seal of layer 3/,
  )
  t.match(
    behind([3, [3, 1]], (log) => log.appendSeal(3n, 1n, 2n)),
    /^\(e\) the seal of layer 3 comes behind the seal/,
  )
  t.match(
    behind([3], (log) => log.appendSeal(4n, 1n, 2n)),
    /^\(e\) the seal of layer 4 comes behind sessions of layer 3/,
  )
  t.match(
    behind([3], (log) => log.appendSeal(3n, 1n, 3n)),
    /^\(d\) a seal knows a STORED that is not published/,
  )
  t.equal(
    behind([3], (log) => log.appendSeal(3n, 1n, 2n)),
    undefined,
  )
})
