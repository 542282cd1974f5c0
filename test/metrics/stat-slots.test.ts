/** Slots in shared memory: each number has a place of its own, and both sides see the same. */
import t from 'tap'
import { MeasuredDisk } from '../../daemon/metrics/measured-disk.ts'
import { RoundTrips } from '../../daemon/metrics/round-trips.ts'
import { STAGE_BOUNDS_SECONDS, STAGES, StatSlots } from '../../daemon/metrics/stat-slots.ts'
import { ERROR_CODES, type ErrorCode } from '../../protocol/errors.ts'
import { REPLICA_COUNT_LIMIT } from '../../protocol/limits.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { temporaryDirectory } from '../temp-directory.ts'

t.test('no slot is another one', async (t) => {
  const writer = new StatSlots()
  const reader = new StatSlots(writer.memory)
  const codes = Object.keys(ERROR_CODES) as ErrorCode[] // its own keys
  writer.set('heartbeats', 1)
  writer.set('loopDelayMaxSeconds', 2)
  for (let row = 0; row <= REPLICA_COUNT_LIMIT; row++) writer.setRow(row, 'lagSeconds', 100 + row)
  codes.forEach((code, i) => {
    for (let n = 0; n <= i; n++) writer.countError(code)
  })
  for (const [i, stage] of STAGES.entries()) writer.observe(stage, i + 1)
  t.equal(reader.get('heartbeats'), 1)
  t.equal(reader.get('loopDelayMaxSeconds'), 2)
  t.equal(reader.get('sessions'), 0)
  for (let row = 0; row <= REPLICA_COUNT_LIMIT; row++) {
    t.equal(reader.row(row, 'lagSeconds'), 100 + row)
    t.equal(reader.row(row, 'streaming'), 0)
  }
  t.same(
    codes.map((code) => reader.errors(code)),
    codes.map((_, i) => i + 1),
  )
  for (const [i, stage] of STAGES.entries()) t.equal(reader.stage(stage).sumSeconds, (i + 1) / 1_000)
  t.throws(() => new StatSlots(new SharedArrayBuffer(8)), /same table/)
})

t.test('a duration falls into the first bucket that holds it', async (t) => {
  const stats = new StatSlots()
  t.same(STAGE_BOUNDS_SECONDS.slice(0, 3), [0.000025, 0.00005, 0.0001])
  for (const ms of [0, 0.025, 0.026, 0.05, 0.2, 60_000]) stats.observe('write', ms)
  const { counts, sumSeconds } = stats.stage('write')
  t.equal(counts.length, STAGE_BOUNDS_SECONDS.length + 1)
  t.same(counts.slice(0, 4), [2, 2, 0, 1])
  t.equal(counts.at(-1), 1)
  t.ok(Math.abs(sumSeconds - 60.000301) < 1e-9)
  t.equal(stats.stage('fdatasync').sumSeconds, 0)
})

t.test(
  'round trips: the newest flush of an answer is timed, less what the disk there took; the oldest is the lag',
  async (t) => {
    const stats = new StatSlots()
    let now = 1_000
    const trips = new RoundTrips(stats, 3, () => now)
    trips.up(500)
    t.equal(stats.row(3, 'streaming'), 1)
    t.equal(stats.row(3, 'durablePosition'), 500)
    trips.sent(600)
    now += 10
    trips.sent(700)
    trips.sent(800)
    now += 4
    trips.publishLag()
    t.equal(stats.row(3, 'lagSeconds'), 0.014)
    trips.durable(700, 1_500)
    t.equal(stats.row(3, 'durablePosition'), 700)
    t.equal(stats.stage('network').sumSeconds, 0.0025)
    t.equal(stats.stage('replica_fdatasync').sumSeconds, 0.0015)
    trips.durable(750, 1_500) // caught up from the files: nothing that was timed
    t.equal(
      stats.stage('network').counts.reduce((a, b) => a + b),
      1,
    )
    trips.publishLag()
    t.equal(stats.row(3, 'lagSeconds'), 0.004)
    trips.durable(800, 4_000_000)
    t.equal(stats.stage('network').sumSeconds, 0.0025, 'never below zero')
    for (let i = 0; i < 5_000; i++) trips.sent(1_000 + i)
    now += 1_000
    trips.publishLag()
    t.equal(stats.row(3, 'lagSeconds'), 1, 'what is forgotten is the newest')
    trips.down()
    t.equal(stats.row(3, 'streaming'), 0)
    t.equal(stats.row(3, 'lagSeconds'), 0)
  },
)

t.test('the measured disk does what the disk does, and tells each call', async (t) => {
  const directory = temporaryDirectory(t)
  const heard = { read: 0, wrote: 0, flushed: 0 }
  const disk = new MeasuredDisk(new NodeDisk(), {
    read: (bytes) => {
      heard.read += bytes
    },
    wrote: (ms) => {
      heard.wrote += ms >= 0 ? 1 : 0
    },
    flushed: (ms) => {
      heard.flushed += ms >= 0 ? 1 : 0
    },
  })
  const path = `${directory}/a`
  disk.create(path).close()
  const file = disk.open(path, 'write')
  file.write([Buffer.from('abc'), Buffer.from('de')], 0)
  file.syncData()
  t.equal(file.bytes(), 5)
  file.close()
  disk.rename(path, `${path}b`)
  disk.makeDirectory(`${directory}/c`)
  disk.syncDirectory(directory)
  t.same(disk.list(directory), ['ab', 'c'])
  t.ok(disk.exists(`${path}b`) && !disk.exists(path) && disk.freeBytes(directory) > 0)
  const again = disk.open(`${path}b`, 'read')
  const bytes = Buffer.alloc(10)
  t.equal(again.read(bytes, 1), 4)
  t.equal(bytes.toString('utf8', 0, 4), 'bcde')
  again.close()
  disk.unlink(`${path}b`)
  t.same(heard, { read: 4, wrote: 1, flushed: 1 })
})
