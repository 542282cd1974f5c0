/**
 * Frames come out as they were written, in the order in which they were finished, whatever happens in between: drafts
 * that grow side by side, leave the tip of the slab, are discarded; slabs that are written and used again.
 *
 * The naive second implementation is a list of arrays.
 */
import fc from 'fast-check'
import t from 'tap'
import { type Chunk, FrameBuffer, FrameDraft } from '../../client/frame-buffer.ts'
import { FRAME_HEADER_BYTES } from '../../protocol/frame.ts'
import { CLIENT_SLAB_BYTES } from '../../protocol/limits.ts'

const DRAFTS = 4
const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('add'),
      draft: fc.nat(DRAFTS - 1),
      bytes: fc.integer({ min: 1, max: 2_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('add'),
      draft: fc.nat(DRAFTS - 1),
      bytes: fc.integer({ min: 1, max: CLIENT_SLAB_BYTES * 2 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('finish'), draft: fc.nat(DRAFTS - 1), bytes: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('discard'), draft: fc.nat(DRAFTS - 1), bytes: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('take'), draft: fc.constant(0), bytes: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release'), draft: fc.constant(0), bytes: fc.constant(0) }) },
)

/** A frame buffer, and beside it what should be in it. */
class Pair {
  readonly buffer = new FrameBuffer()
  readonly drafts = Array.from({ length: DRAFTS }, () => new FrameDraft())
  readonly bodies: number[][] = Array.from({ length: DRAFTS }, () => [])
  /** Finished and not taken yet. */
  expected: number[][] = []
  /** Taken and not released yet: a socket may still read them. */
  taken: { chunks: Chunk[]; copy: Buffer }[] = []
  fill = 0

  run({ do: what, draft: i, bytes }: { do: string; draft: number; bytes: number }): void {
    const draft = this.drafts[i] as FrameDraft // i is below DRAFTS
    if (what === 'add') this.add(draft, i, bytes)
    else if (what === 'finish' && draft.entryCount > 0) {
      draft.space?.buffer.fill(0xaa, draft.start, draft.start + FRAME_HEADER_BYTES)
      this.buffer.finish(draft)
      this.expected.push(this.bodies[i]!)
      this.reset(i)
    } else if (what === 'discard') {
      this.buffer.discard(draft)
      this.reset(i)
    } else if (what === 'take') this.take()
    else if (what === 'release') {
      this.checkTaken()
      const first = this.taken.shift()
      if (first !== undefined) this.buffer.release(first.chunks)
    }
  }

  add(draft: FrameDraft, i: number, bytes: number): void {
    const space = this.buffer.reserve(draft, bytes)
    this.fill = (this.fill + 1) % 251
    space.buffer.fill(this.fill, draft.at, draft.at + bytes)
    draft.at += bytes
    draft.entryCount += 1
    this.bodies[i]?.push(this.fill, bytes)
  }

  reset(i: number): void {
    this.drafts[i] = new FrameDraft()
    this.bodies[i] = []
  }

  take(): void {
    const queued = this.buffer.queuedBytes
    const chunks = this.buffer.take()
    const copy = Buffer.concat(chunks.map(({ buffer, from, to }) => buffer.subarray(from, to)))
    const expected = Buffer.concat(
      this.expected.flatMap((runs) => [Buffer.alloc(FRAME_HEADER_BYTES, 0xaa), ...blocks(runs)]),
    )
    if (!copy.equals(expected)) throw new Error('found other frames than were finished')
    if (queued !== expected.length) throw new Error(`found ${queued} queued bytes, expected ${expected.length}`)
    this.expected = []
    this.taken.push({ chunks, copy })
  }

  /** Bytes that a socket has not written yet must not change. */
  checkTaken(): void {
    for (const { chunks, copy } of this.taken) {
      const now = Buffer.concat(chunks.map(({ buffer, from, to }) => buffer.subarray(from, to)))
      if (!now.equals(copy)) throw new Error('bytes were changed while they were being written')
    }
  }
}

function* blocks(runs: readonly number[]): Generator<Buffer> {
  for (let i = 0; i < runs.length; i += 2) yield Buffer.alloc(runs[i + 1] as number, runs[i]) // pairs of fill and bytes
}

t.test('against a list of arrays', async (t) => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120, size: 'max' }), (commands) => {
      const pair = new Pair()
      for (const one of commands) pair.run(one)
      pair.take()
      pair.checkTaken()
    }),
    { numRuns: 300 },
  )
  t.pass('300 runs')
})

t.test('frames of one turn are one chunk, and a warm slab is used again', async (t) => {
  const buffer = new FrameBuffer()
  const write = (): void => {
    const draft = new FrameDraft()
    buffer.reserve(draft, 100)
    draft.at += 100
    buffer.finish(draft)
  }
  const places = new Set<Buffer>()
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 10; i++) write()
    const chunks = buffer.take()
    t.equal(chunks.length, 1)
    t.equal(chunks[0]?.from, 0, 'from the start of the slab again')
    places.add(chunks[0]?.buffer as Buffer) // there is one
    buffer.release(chunks)
  }
  t.equal(places.size, 1)

  // ten slabs are being written while more is built, then all come back
  const taken: Chunk[][] = []
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < CLIENT_SLAB_BYTES / 172; i++) write()
    taken.push(buffer.take())
  }
  const inUse = new Set(taken.flat().map((chunk) => chunk.buffer))
  t.equal(inUse.size, 11, 'no slab twice while it is being written')
  for (const chunks of taken) buffer.release(chunks)
  for (let i = 0; i < 3 * (CLIENT_SLAB_BYTES / 172); i++) write()
  const known = new Set(taken.flat().map((chunk) => chunk.buffer))
  t.ok(
    buffer.take().every((chunk) => known.has(chunk.buffer)),
    'slabs that came back are used before new ones',
  )
})
