/**
 * The writer and whoever prepares its segments: a file that can be seen is not finished before its name is durable and
 * the preparer has said so, and no segment is skipped because the one before it was still being finished.
 */
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { jobsOn } from '../../daemon/threads/jobs.ts'
import { DoorbellPreparer, doorbellMemory, isHurried, ringDoorbell } from '../../daemon/threads/segment-preparer.ts'
import { HOLE_SEGMENTS, KIB, LOW_WATER_SEGMENTS, MIB } from '../../protocol/limits.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import {
  channelDirectory,
  listSegments,
  type Preparer,
  prepareSegment,
  type SegmentFilling,
  Segments,
  segmentName,
} from '../../wal/segments.ts'
import { LazyPreparer } from '../sim/lazy-preparer.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { Cluster, TEST_SEGMENT_BYTES } from './cluster.ts'
import { put, until } from './raw-client.ts'

const BYTES = 1_000

/** Makes the file at once, but finishes only when somebody waits, or when it is told to. */
class SlowPreparer implements Preparer {
  readonly asked: number[] = []
  readonly waited: number[] = []
  readonly #directory: string
  isBusy = false

  constructor(directory: string) {
    this.#directory = directory
  }

  ask(base: number): void {
    if (this.isBusy) throw new Error(`asked for ${base} while ${this.asked.at(-1)} is under way`)
    this.asked.push(base)
    this.isBusy = true
    prepareSegment(new NodeDisk(), this.#directory, { base, bytes: BYTES })
  }

  wait(base: number): void {
    this.waited.push(base)
    this.isBusy = false
  }
}

/** A writer at the end of its first segment; the next is asked for when it is needed, and then has a hole. */
function channelWithHole(t: Parameters<typeof temporaryDirectory>[0]): { segments: Segments; directory: string } {
  const bytes = 8 * MIB
  const [directory, disk] = [temporaryDirectory(t), new NodeDisk()]
  prepareSegment(disk, directory, { base: 0, bytes })
  const preparer = new LazyPreparer(disk, directory, bytes)
  const segments = new Segments({ disk, directory, segmentBytes: bytes, access: 'write', preparer, writtenEnd: bytes })
  t.teardown(() => segments.close())
  return { segments, directory }
}

const segmentAt = (index: number): number => index * BYTES

function channelOf(
  t: Parameters<typeof temporaryDirectory>[0],
  ahead = 2,
  writtenEnd = 0,
): { segments: Segments; preparer: SlowPreparer } {
  const directory = join(temporaryDirectory(t), 'channel')
  mkdirSync(directory)
  const disk = new NodeDisk()
  prepareSegment(disk, directory, { base: 0, bytes: BYTES })
  const preparer = new SlowPreparer(directory)
  const segments = new Segments({ disk, directory, segmentBytes: BYTES, access: 'write', preparer, ahead, writtenEnd })
  t.teardown(() => segments.close())
  return { segments, preparer }
}

t.test('a segment that is seen, but not finished, is waited for before a byte is written to it', async (t) => {
  const { segments, preparer } = channelOf(t)
  segments.keepAhead()
  t.same(preparer.asked, [BYTES])
  segments.write(0, [Buffer.alloc(BYTES)], BYTES)
  t.same(preparer.waited, [], 'the one before needs no waiting')
  segments.write(BYTES, [Buffer.alloc(10)], 10)
  t.same(preparer.waited, [BYTES])
})

t.test('while one is under way no other is asked for; afterwards it is, and each exactly once', async (t) => {
  const { segments, preparer } = channelOf(t)
  segments.keepAhead()
  segments.keepAhead()
  t.same(preparer.asked, [BYTES], 'it can be seen already; the next has to wait for its end')
  for (let at = 0; at < 6 * BYTES; at += 300) {
    segments.write(at, [Buffer.alloc(300)], 300)
    segments.syncData()
    segments.keepAhead()
  }
  t.same(
    preparer.asked,
    preparer.asked.map((_, i) => (i + 1) * BYTES),
    'no gap, none twice',
  )
  t.ok(preparer.asked.length >= 6)
})

t.test('two segments ahead are urgent; more are made in quiet times only, and from the start', async (t) => {
  const { segments, preparer } = channelOf(t, 5)
  const finish = (): void => {
    preparer.isBusy = false
    segments.keepAhead() // as the thread does when it hears of the end
  }
  const write = (at: number): void => {
    segments.write(at, [Buffer.alloc(500)], 500)
    segments.syncData()
    segments.keepAhead()
  }
  segments.keepAhead()
  finish()
  t.same(preparer.asked, [1, 2].map(segmentAt), 'quiet from the start: one after the other')
  write(0)
  finish()
  t.equal(preparer.asked.length, 2, 'busy: two are ahead, which is enough')
  for (let at = 500; at < 2_500; at += 500) write(at)
  t.same(preparer.asked, [1, 2, 3].map(segmentAt), 'one whole segment is ahead: the next is urgent')
  finish()
  t.same(preparer.asked, [1, 2, 3, 4].map(segmentAt))
  finish()
  t.equal(preparer.asked.length, 4, 'enough again')
  segments.becomeQuiet()
  for (let i = 0; i < 5; i++) finish()
  t.same(preparer.asked, [1, 2, 3, 4, 5, 6, 7].map(segmentAt), 'quiet: all that are wanted')
  write(2_500)
  finish()
  t.equal(preparer.asked.length, 7, 'a write ends the quiet')
})

t.test('one segment ahead, if no more is wanted', async (t) => {
  const { segments, preparer } = channelOf(t, 1)
  segments.keepAhead()
  segments.write(0, [Buffer.alloc(10)], 10)
  preparer.isBusy = false
  segments.keepAhead()
  segments.becomeQuiet()
  t.same(preparer.asked, [segmentAt(1)])
})

t.test('a writer that goes on far behind the birth of its channel counts from there', async (t) => {
  const { segments, preparer } = channelOf(t, 2, 1_000)
  segments.keepAhead()
  for (let i = 0; i < 4; i++) {
    preparer.isBusy = false
    segments.keepAhead()
  }
  t.same(preparer.asked, [1, 2, 3].map(segmentAt), 'the first is empty, and the one to be written')
})

/** Of a segment that is made while `hurried` says no, then yes. */
function usedBytes(directory: string, bytes: number, zerosBefore: number): number {
  let pieces = 0
  prepareSegment(new NodeDisk(), directory, { base: 0, bytes, mayLeaveHole: () => pieces++ >= zerosBefore })
  return statSync(join(directory, segmentName(0))).blocks * 512
}

t.test('a segment with a hole has its full size, and takes room for what is in it only', async (t) => {
  const bytes = 3 * MIB + 1_000
  const directory = temporaryDirectory(t)
  const used = (zerosBefore: number): number => {
    const answer = usedBytes(directory, bytes, zerosBefore)
    t.same(readdirSync(directory), [segmentName(0)])
    t.ok(readFileSync(join(directory, segmentName(0))).equals(Buffer.alloc(bytes)), 'it reads as zeros')
    return answer
  }
  t.ok(used(0) < MIB / 8, 'nothing but its last byte')
  t.ok(used(2) >= 2 * MIB && used(2) < 2.5 * MIB, 'hurried in the middle')
  t.ok(used(9) >= bytes, 'never hurried')
})

t.test('where room is short there are no holes: an append must find what it needs', async (t) => {
  const [bytes, channels] = [64 * KIB, 3]
  const roomBytes = (LOW_WATER_SEGMENTS + HOLE_SEGMENTS) * bytes * channels
  for (const [free, used] of [
    [roomBytes, 1],
    [roomBytes - 1, bytes],
    [bytes - 1, undefined],
  ] as const) {
    for (const filling of ['hole', 'zeros'] as const) {
      const disk = new SimDisk({ sectorBytes: 4 * KIB, capacityBytes: free })
      for (const path of ['/d', '/d/channels', channelDirectory('/d', 2)]) disk.makeDirectory(path)
      const doorbell = doorbellMemory()
      const args = { directory: '/d', channels, channel: 2, base: 0, bytes, filling, doorbell }
      const answer = jobsOn(disk)('prepareSegment', args)
      if (used === undefined) t.match(answer, { error: { code: 'DISK_FULL' } }, 'said before anything is appended')
      else t.equal(free - disk.freeBytes('/'), filling === 'hole' ? used : bytes, `${filling}: ${free} bytes are free`)
    }
  }
})

t.test('a writer of large flushes gets holes, one segment ahead; a writer that waits does, too', async (t) => {
  const bytes = 8 * MIB
  const asked: [number, SegmentFilling][] = []
  const [directory, disk] = [temporaryDirectory(t), new NodeDisk()]
  const make = (base: number): void => prepareSegment(disk, directory, { base, bytes, mayLeaveHole: () => true })
  const preparer: Preparer = {
    isBusy: false,
    ask: (base, filling) => {
      asked.push([base / bytes, filling])
      make(base)
    },
    wait: () => undefined,
  }
  make(0)
  const segments = new Segments({ disk, directory, segmentBytes: bytes, access: 'write', preparer, ahead: 5 })
  t.teardown(() => segments.close())
  let at = 0
  const flush = (size: number): void => {
    segments.write(at, [Buffer.alloc(size, 1)], size)
    segments.syncData()
    segments.keepAhead()
    segments.keepAhead() // the thread hears that the hole is there before it has flushed anything more
    at += size
  }
  for (let i = 0; i < 8; i++) flush(2 * MIB)
  t.same(
    asked,
    [
      [1, 'hole'],
      [2, 'hole'],
      [3, 'hole'],
    ],
    'one is ahead of the one that is being written, and not five',
  )
  for (let i = 0; i < 90; i++) flush(200_000)
  t.same(asked.at(-1), [6, 'zeros'], 'the flushes are small again: two are ahead')
  const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size)
  t.same(new Set(sizes), new Set([bytes]), 'no hole was filled beyond its segment')
  segments.becomeQuiet()
  flush(2 * MIB)
  t.ok(
    asked.slice(5).every(([, filling]) => filling === 'zeros'),
    'time to fill',
  )
})

t.test('small flushes that get to a hole fill it before them', async (t) => {
  const { segments, directory } = channelWithHole(t)
  const used = (): number => statSync(join(directory, segmentName(8 * MIB))).blocks * 512
  let at = 8 * MIB
  const flush = (size: number): void => {
    segments.write(at, [Buffer.alloc(size, 1)], size)
    segments.syncData()
    at += size
  }
  flush(MIB)
  t.ok(used() < 1.5 * MIB, 'a large one takes what it needs')
  flush(1_000)
  const filled = used()
  t.ok(filled >= 2 * MIB && filled < 2.5 * MIB, 'a piece is filled')
  for (let i = 0; i < 100; i++) flush(1_000)
  t.equal(used(), filled, 'enough for many')
  for (let i = 0; i < 50; i++) flush(300_000)
  t.ok(used() >= 8 * MIB)
  const file = readFileSync(join(directory, segmentName(8 * MIB)))
  t.equal(file.length, 8 * MIB, 'never beyond the end')
  t.equal(file.indexOf(0), -1, 'no byte of the log was overwritten')
})

t.test('nodes that have become quiet again prepare all that is wanted, a replica too', async (t) => {
  const segmentsAhead = 5
  const cluster = await Cluster.start(t, { replicas: 1, segmentsAhead })
  await cluster.untilStreaming()
  const value = Buffer.alloc(10_000)
  const link = await (await cluster.client()).open(0)
  for (let i = 0; i < 100; i++) link.write(put(`k${i}`, value))
  await link.untilPropagated(100)
  const written = 100 * value.length
  t.ok(written > 3 * TEST_SEGMENT_BYTES, 'some that were prepared are used up')
  for (const name of ['m', 'r1']) {
    const files = channelDirectory(cluster.directory(name), 0)
    const end = (): number => (listSegments(new NodeDisk(), files).at(-1) ?? 0) + TEST_SEGMENT_BYTES
    await until(`${name} has prepared its segments`, () => end() >= written + segmentsAhead * TEST_SEGMENT_BYTES)
  }
})

t.test('who waits hurries the pool', async (t) => {
  const memory = doorbellMemory()
  const preparer = new DoorbellPreparer(memory, () => undefined)
  preparer.ask(100, 'zeros')
  t.notOk(isHurried(memory), 'nobody waits yet')
  const pool = `
    import { workerData } from 'node:worker_threads'
    import { isHurried, ringDoorbell } from '${new URL('../../daemon/threads/segment-preparer.js', import.meta.url)}'
    while (!isHurried(workerData)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    ringDoorbell(workerData, false)
  `
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(pool)}`), { workerData: memory })
  preparer.wait(100) // returns when it was rung
  t.notOk(preparer.isBusy)
  await once(worker, 'exit')
})

t.test('the doorbell knows one request at a time', async (t) => {
  const memory = doorbellMemory()
  const requests: [number, SegmentFilling][] = []
  const preparer = new DoorbellPreparer(memory, (base, filling) => requests.push([base, filling]))
  t.notOk(preparer.isBusy)
  preparer.ask(100, 'zeros')
  t.ok(preparer.isBusy)
  t.throws(() => preparer.ask(200, 'hole'), 'an invariant of ours')
  ringDoorbell(memory, false)
  t.notOk(preparer.isBusy)
  preparer.wait(100)
  t.notOk(preparer.takeFailure())
  t.notOk(isHurried(memory))
  preparer.ask(200, 'hole')
  ringDoorbell(memory, true)
  t.throws(() => preparer.wait(200), { code: 'DISK_FULL' })
  preparer.ask(200, 'hole')
  ringDoorbell(memory, true)
  t.ok(preparer.isBusy, 'until somebody has heard of it')
  t.ok(preparer.takeFailure())
  t.notOk(preparer.isBusy)
  t.notOk(preparer.takeFailure(), 'told once')
  t.same(requests, [
    [100, 'zeros'],
    [200, 'hole'],
    [200, 'hole'],
  ])
})
