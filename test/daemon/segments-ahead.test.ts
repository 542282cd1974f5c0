/**
 * The writer and whoever prepares its segments: a file that can be seen is not finished before its name is durable and
 * the preparer has said so, and no segment is skipped because the one before it was still being finished.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DoorbellPreparer, doorbellMemory, ringDoorbell } from '../../daemon/threads/segment-preparer.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { channelDirectory, listSegments, type Preparer, prepareSegment, Segments } from '../../wal/segments.ts'
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
    prepareSegment(new NodeDisk(), this.#directory, base, BYTES)
  }

  wait(base: number): void {
    this.waited.push(base)
    this.isBusy = false
  }
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
  prepareSegment(disk, directory, 0, BYTES)
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

t.test('the doorbell knows one request at a time', async (t) => {
  const memory = doorbellMemory()
  const requests: number[] = []
  const preparer = new DoorbellPreparer(memory, (base) => requests.push(base))
  t.notOk(preparer.isBusy)
  preparer.ask(100)
  t.ok(preparer.isBusy)
  t.throws(() => preparer.ask(200), 'an invariant of ours')
  ringDoorbell(memory, false)
  t.notOk(preparer.isBusy)
  preparer.wait(100)
  t.notOk(preparer.takeFailure())
  preparer.ask(200)
  ringDoorbell(memory, true)
  t.throws(() => preparer.wait(200), { code: 'DISK_FULL' })
  preparer.ask(200)
  ringDoorbell(memory, true)
  t.ok(preparer.takeFailure())
  t.notOk(preparer.takeFailure(), 'told once')
  t.same(requests, [100, 200, 200])
})
