/**
 * The writer and whoever prepares its segments: a file that can be seen is not finished before its name is durable and
 * the preparer has said so, and no segment is skipped because the one before it was still being finished.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DoorbellPreparer, doorbellMemory, ringDoorbell } from '../../daemon/threads/segment-preparer.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { type Preparer, prepareSegment, Segments } from '../../wal/segments.ts'
import { temporaryDirectory } from '../temp-directory.ts'

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

function channelOf(t: Parameters<typeof temporaryDirectory>[0]): { segments: Segments; preparer: SlowPreparer } {
  const directory = join(temporaryDirectory(t), 'channel')
  mkdirSync(directory)
  const disk = new NodeDisk()
  prepareSegment(disk, directory, 0, BYTES)
  const preparer = new SlowPreparer(directory)
  const segments = new Segments({ disk, directory, segmentBytes: BYTES, access: 'write', preparer, ahead: 2 })
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
