/**
 * Recovery with and without recovery points is the same recovery: on random lives of a master and its replica, with
 * crashes, old copies that come back and promotions, on the simulated disk. Ends, whole epochs, cuts and producer tables
 * are compared with each other and, the tables, with a naive fold of what a naive reader finds.
 */
import t from 'tap'
import { foldProducers } from '../../wal/fold-producers.ts'
import { readManifest } from '../../wal/manifest.ts'
import { cutOf, wholeOfScans } from '../../wal/mastership.ts'
import type { ProducerLimits } from '../../wal/producer-table.ts'
import { recoverChannel } from '../../wal/recover.ts'
import { type RecoveryPoint, readRecoveryPoint } from '../../wal/recovery-point.ts'
import { channelDirectory, Segments } from '../../wal/segments.ts'
import { codeOf } from '../protocol/damage.ts'
import { readNaively } from '../sim/naive-reader.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY, initMaster, SimMaster, scanAll } from '../sim/sim-master.ts'
import { initReplica, SimReplica } from '../sim/sim-replica.ts'
import { naiveProducers } from './naive-producers.ts'

const CHANNELS = 2
const DEFAULT_LIMITS: ProducerLimits = { producers: 16_384, ranges: 32 }

/** What was seen in all lives: a test that has seen none of it shows nothing. */
const seen = {
  points: 0,
  pointsOfReplicas: 0,
  cuts: 0,
  cutsOfReplicas: 0,
  evictions: 0,
  ranges: 0,
  promotions: 0,
  refusals: 0,
}

class World {
  readonly #random: SeededRandom
  readonly #limits: ProducerLimits | undefined
  #master: SimMaster
  #replica: SimReplica
  #masterDisk = new SimDisk({ sectorBytes: 512 })
  #replicaDisk = new SimDisk({ sectorBytes: 512 })
  #oldMasterDisk: SimDisk
  readonly #sequences = new Map<string, number>()
  /** What was wrong. */
  readonly faults: string[] = []

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#limits =
      seed % 2 === 0 ? undefined : { producers: 1 + this.#random.below(3), ranges: 1 + this.#random.below(3) }
    initMaster(this.#masterDisk, CHANNELS)
    initReplica(this.#replicaDisk, CHANNELS)
    this.#oldMasterDisk = this.#masterDisk.fork()
    this.#master = new SimMaster(this.#masterDisk, undefined, this.#limits)
    this.#replica = new SimReplica(this.#replicaDisk, this.#limits)
    this.#follow()
  }

  live(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const channel = this.#random.below(CHANNELS)
      const act = this.#random.below(40)
      if (act < 12) this.#write(channel)
      else if (act < 24) this.#master.flush(channel)
      else if (act < 34) this.#replicate(channel)
      else if (act < 35) this.#master.mark(channel)
      else if (act < 36) this.#oldMasterDisk = this.#masterDisk.fork()
      else if (act < 37) this.#dieInFlush(channel)
      else if (act < 38) this.#restartReplica(this.#crashed(this.#replicaDisk))
      else if (act < 39 && this.#random.chance(1, 4)) this.#restartMaster(this.#oldMasterDisk.fork().crash('all'))
      else if (act < 40 && this.#random.chance(1, 4)) this.#promote()
    }
    for (const channel of [0, 1]) {
      this.#master.flush(channel)
      this.#replicate(channel)
    }
    this.#compareRunning(
      'master',
      this.#masterDisk,
      this.#master.writers.map((w) => w.producers.state()),
    )
    this.#compareRunning(
      'replica',
      this.#replicaDisk,
      this.#replica.producers.map((p) => p.state()),
    )
  }

  #write(channel: number): void {
    const producer = BigInt(1 + this.#random.below(1 + this.#random.below(6)))
    const key = `${producer} ${channel}`
    const sequence = (this.#sequences.get(key) ?? 0) + 1 + (this.#random.chance(1, 4) ? this.#random.below(3) : 0)
    this.#sequences.set(key, sequence)
    this.#master.write(channel, sequence, this.#random.chance(1, 3) ? 25_000 : 40, producer)
  }

  #replicate(channel: number): void {
    const from = this.#replica.received(channel)
    const to = this.#master.writers[channel]!.durablePosition
    if (to <= from) return
    const files = new Segments({
      disk: this.#masterDisk,
      directory: channelDirectory(DIRECTORY, channel),
      segmentBytes: 0,
      access: 'read',
    })
    const bytes = Buffer.alloc(to - from)
    files.read(from, bytes)
    files.close()
    this.#replica.receive(channel, bytes)
    this.#replica.flush(channel)
  }

  /** What was on its way to the disk may be there afterwards, or in part, or not at all. */
  #dieInFlush(channel: number): void {
    for (let i = this.#random.below(4); i > 0; i--) this.#write(channel)
    if (this.#random.chance(3, 4)) this.#masterDisk.fail({ kind: 'syncData', path: '.wal' })
    const outcome = codeOf(() => this.#master.flush(channel))
    if (outcome !== 'none' && outcome !== 'CHANNEL_POISONED') this.faults.push(outcome)
    this.#restartMaster(this.#crashed(this.#masterDisk))
  }

  #crashed(disk: SimDisk): SimDisk {
    if (this.#random.chance(1, 3)) return disk.killProcess()
    return disk.crash(disk.units().map((unit) => this.#random.below(unit.options)))
  }

  #restartMaster(disk: SimDisk): void {
    this.#masterDisk = disk
    this.#compare('master before its start', disk)
    const promised = this.#replica.manifest.fence?.number ?? 0n
    do {
      // an old copy needs a few starts until its term is above all that the other has seen
      this.#master = new SimMaster(disk, undefined, this.#limits)
      this.#compare('master', disk, this.#master.start.mastership.starts)
      seen.cuts += this.#master.start.divergentBytes.filter((bytes) => bytes > 0).length
    } while (this.#master.start.mastership.term.number <= promised)
    this.#follow()
  }

  #restartReplica(disk: SimDisk): void {
    this.#replicaDisk = disk
    this.#replica = new SimReplica(disk, this.#limits)
    this.#compare('replica', disk)
    this.#follow()
  }

  /** The two change places: the replica becomes master with what it holds, the master follows it. */
  #promote(): void {
    const [disk, old] = [this.#crashed(this.#replicaDisk), this.#crashed(this.#masterDisk)]
    const manifest = readManifest(disk, DIRECTORY)
    const last = manifest.history.at(-1)
    if (last === undefined) return
    // WAL-79: one that has not come as far as its master's start would make a history whose starts descend
    if (scanAll(disk, manifest).some((scan, c) => scan.end < last.starts[c]!)) {
      seen.refusals++
      this.#expect(
        'replica made master',
        'refusal',
        codeOf(() => new SimMaster(disk)),
        'LOG_INCOMPLETE',
      )
      return
    }
    seen.promotions++
    this.#replicaDisk = old
    this.#replica = new SimReplica(old, this.#limits)
    this.#restartMaster(disk)
    this.#oldMasterDisk = disk.fork()
  }

  #follow(): void {
    const before = this.#replica.resume
    this.#replica.adopt(this.#master.start.manifest.history)
    seen.cutsOfReplicas += this.#replica.resume.filter((end, channel) => end < before[channel]!).length
    this.#compare('replica that has adopted a history', this.#replicaDisk, this.#replica.resume)
  }

  /** @param ends where a table is wanted; the ends of the log if not said */
  #compare(who: string, disk: SimDisk, ends?: readonly number[]): void {
    const manifest = readManifest(disk, DIRECTORY)
    const { clusterId, nodeId, history } = manifest
    const scans = scanAll(disk, manifest)
    const place = { disk, directory: DIRECTORY, clusterId, nodeId, history }
    const longScans = scans.map(({ channel }) => recoverChannel({ ...place, channel, ignoreRecoveryPoint: true }))
    const whole = wholeOfScans(manifest, scans).lastWhole
    this.#expect(who, 'whole', whole, wholeOfScans(manifest, longScans).lastWhole)
    this.#expect(who, 'highest epoch', highestOf(scans), highestOf(longScans))
    for (const [channel, scan] of scans.entries()) {
      const long = longScans[channel]!
      for (const field of ['end', 'tail'] as const) this.#expect(who, field, scan[field], long[field])
      this.#expect(who, 'cut', cutOf(scan, whole), cutOf(long, whole))
      const to = ends?.[channel] ?? scan.end
      const options = { ...place, channel, to, ...(this.#limits === undefined ? {} : { limits: this.#limits }) }
      const expected = JSON.stringify(this.#naive(disk, channel, to))
      this.#expect(who, 'table', JSON.stringify(foldProducers(options)), expected)
      this.#expect(who, 'table', JSON.stringify(foldProducers({ ...options, ignoreRecoveryPoint: true })), expected)
      if (readRecoveryPoint(disk, channelDirectory(DIRECTORY, channel), channel, history) === undefined) continue
      seen.points++
      if (who.startsWith('replica')) seen.pointsOfReplicas++
    }
  }

  #compareRunning(who: string, disk: SimDisk, tables: readonly object[]): void {
    for (const [channel, table] of tables.entries()) {
      const naive = this.#naive(disk, channel, Number.MAX_SAFE_INTEGER)
      this.#expect(`running ${who}`, 'table', JSON.stringify(table), JSON.stringify(naive))
      if (naive.evictedEpoch !== '0') seen.evictions++
      seen.ranges += naive.producers.filter((row) => row[5].length > 0).length
    }
  }

  #naive(disk: SimDisk, channel: number, to: number) {
    const frames = readNaively(disk, DIRECTORY).frames[channel]!.filter((f) => f.kind === 1 && f.position < to)
    return naiveProducers(
      frames.map((f) => ({ ...f, epoch: Number(f.epoch), term: Number(f.term) })),
      this.#limits ?? DEFAULT_LIMITS,
    )
  }

  #expect(who: string, what: string, found: unknown, expected: unknown): void {
    if (found !== expected) this.faults.push(`${who}, ${what}: found ${found}, expected ${expected}`)
  }
}

const highestOf = (scans: readonly { highestEpoch: bigint }[]): bigint =>
  scans.reduce((max, { highestEpoch }) => (highestEpoch > max ? highestEpoch : max), 0n)

t.test('WAL-65 WAL-69: with recovery points or without, recovery finds the same', (t) => {
  for (let seed = 0; seed < 60; seed++) {
    const world = new World(seed)
    world.live(120)
    t.strictSame(world.faults.slice(0, 3), [], `seed ${seed}`)
  }
  t.comment(JSON.stringify(seen))
  for (const [what, count] of Object.entries(seen)) t.ok(count > 10, `${what}: ${count}`)
  t.end()
})

t.test('WAL-45 WAL-66: a point may say more of other channels than a later history has left of them', (t) => {
  const [disk, replicaDisk] = [new SimDisk({ sectorBytes: 512 }), new SimDisk({ sectorBytes: 512 })]
  initMaster(disk, CHANNELS)
  initReplica(replicaDisk, CHANNELS)
  const replica = new SimReplica(replicaDisk)
  let id = 0
  const commit = (of: SimMaster, from: SimDisk, channel: number, bytes = 40): void => {
    of.write(channel, ++id, bytes)
    of.flush(channel)
    const at = replica.received(channel)
    const buffer = Buffer.alloc(of.writers[channel]!.durablePosition - at)
    const directory = channelDirectory(DIRECTORY, channel)
    const files = new Segments({ disk: from, directory, segmentBytes: 0, access: 'read' })
    files.read(at, buffer)
    files.close()
    replica.receive(channel, buffer)
    replica.flush(channel)
  }
  const master = new SimMaster(disk)
  replica.adopt(master.start.manifest.history)
  for (let i = 0; i < 4; i++) commit(master, disk, 0, 25_000) // into the second segment: the last seal is to be the point
  const other = disk.fork() // a node that has come so far, and is the next master
  for (let i = 0; i < 3; i++) commit(master, disk, 1)
  commit(master, disk, 0) // now the point is told, with what is whole by now
  const point = (): RecoveryPoint | undefined =>
    readRecoveryPoint(replicaDisk, channelDirectory(DIRECTORY, 0), 0, replica.manifest.history)
  const told = point()
  t.equal(told?.stored, (told?.epoch ?? 0n) + 3n, 'the point speaks of later epochs than its own')

  const next = new SimMaster(other.crash('all'))
  replica.adopt(next.start.manifest.history)
  t.equal(next.start.mastership.baseEpoch, told?.epoch, 'which the next mastership does not have')
  const scans = (): ReturnType<typeof scanAll> => scanAll(replicaDisk, replica.manifest)
  t.ok(point() !== undefined && scans()[0]!.from > 0, 'the point is used all the same')
  t.equal(
    wholeOfScans(replica.manifest, scans()).lastWhole,
    next.start.mastership.baseEpoch,
    'nothing is whole that is gone',
  )
  t.end()
})
