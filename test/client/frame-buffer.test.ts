/**
 * Frames come out as they were written, in the order in which they were finished, whatever happens in between: drafts
 * that grow side by side, leave the tip of the slab, are discarded; frames that are sent, sent again on another
 * connection, answered one by one; slabs that are used again when all their frames are answered, and not before.
 *
 * The naive second implementation is a list of arrays.
 */
import fc from 'fast-check'
import t from 'tap'
import { FrameBuffer, FrameDraft } from '../../client/frame-buffer.ts'
import type { FrameFate } from '../../client/kept-frames.ts'
import { FRAME_HEADER_BYTES, HeaderOffset, writeU64Number } from '../../protocol/frame.ts'
import { CLIENT_SLAB_BYTES, CLIENT_SLAB_POOL_COUNT } from '../../protocol/limits.ts'

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
  { weight: 2, arbitrary: fc.record({ do: fc.constant('answer'), draft: fc.constant(0), bytes: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rewind'), draft: fc.constant(0), bytes: fc.nat() }) },
)

/** A frame as the naive implementation keeps it. */
interface Naive {
  readonly sequence: number
  readonly bytes: Buffer
  isSent: boolean
}

/** A frame buffer, and beside it what should be in it. */
class Pair {
  readonly buffer = new FrameBuffer()
  readonly drafts = Array.from({ length: DRAFTS }, () => new FrameDraft())
  readonly bodies: Buffer[][] = Array.from({ length: DRAFTS }, () => [])
  /** Finished and not answered. */
  kept: Naive[] = []
  /** Sent and not answered: a socket may still read them, and they may have to be sent again. */
  taken: { buffers: Buffer[]; copy: Buffer; first: number }[] = []
  last = 0
  fill = 0

  run({ do: what, draft: i, bytes }: { do: string; draft: number; bytes: number }): void {
    const draft = this.drafts[i] as FrameDraft // i is below DRAFTS
    if (what === 'add') this.add(draft, i, bytes)
    else if (what === 'finish' && draft.entryCount > 0) {
      this.finish(draft, this.bodies[i]!)
      this.reset(i)
    } else if (what === 'discard') {
      this.buffer.discard(draft)
      this.reset(i)
    } else if (what === 'take') this.take()
    else if (what === 'answer') this.answer(bytes)
    else if (what === 'rewind') this.rewind(bytes)
  }

  add(draft: FrameDraft, i: number, bytes: number): void {
    const space = this.buffer.reserve(draft, bytes)
    this.fill = (this.fill + 1) % 251
    space.buffer.fill(this.fill, draft.at, draft.at + bytes)
    draft.at += bytes
    draft.entryCount += 1
    this.bodies[i]?.push(Buffer.alloc(bytes, this.fill))
  }

  finish(draft: FrameDraft, body: readonly Buffer[]): void {
    this.last += 1 + (this.last % 3) // numbers may be left out
    const header = Buffer.alloc(FRAME_HEADER_BYTES, 0xaa)
    header.writeUInt32LE(draft.bodyBytes, HeaderOffset.bodyLength)
    writeU64Number(header, HeaderOffset.producerSequence, this.last)
    header.copy(draft.space!.buffer, draft.start) // a draft with entries has its space
    this.buffer.finish(draft, this.last)
    this.kept.push({ sequence: this.last, bytes: Buffer.concat([header, ...body]), isSent: false })
  }

  reset(i: number): void {
    this.drafts[i] = new FrameDraft()
    this.bodies[i] = []
  }

  take(): void {
    const unsent = this.buffer.kept.unsentBytes
    const buffers = this.buffer.kept.take()
    const copy = Buffer.concat(buffers)
    const expected = Buffer.concat(this.kept.filter(({ isSent }) => !isSent).map(({ bytes }) => bytes))
    if (!copy.equals(expected)) throw new Error('found other frames than are to be sent')
    if (unsent !== expected.length) throw new Error(`found ${unsent} unsent bytes, expected ${expected.length}`)
    const first = this.kept.find(({ isSent }) => !isSent)?.sequence ?? Number.POSITIVE_INFINITY
    for (const frame of this.kept) frame.isSent = true
    this.taken.push({ buffers, copy, first })
  }

  /** @param share how many of those that were sent, in eighths, from the oldest on */
  answer(share: number): void {
    this.checkTaken()
    const firstUnsent = this.kept.findIndex(({ isSent }) => !isSent)
    const count = Math.floor(((firstUnsent < 0 ? this.kept.length : firstUnsent) * share) / 8)
    const through = this.kept[count - 1]?.sequence ?? 0
    this.kept = this.kept.slice(count)
    // what was taken together is looked at until the first of its frames is answered
    this.taken = this.taken.filter(({ first }) => first > through)
    this.buffer.kept.release(through)
  }

  /** @param seed decides for each frame */
  rewind(seed: number): void {
    const kept = new Set(this.kept.map(({ sequence }) => sequence))
    const fates = ['send', 'keep', 'drop', 'send'] as const
    const fateOf = (sequence: number): FrameFate =>
      kept.has(sequence) ? fates[(seed >> (sequence % 16)) & 3]! : 'drop'
    const asked: number[] = []
    this.buffer.kept.rewind((sequence) => {
      asked.push(sequence)
      return fateOf(sequence)
    })
    if (this.kept.some(({ sequence }) => !asked.includes(sequence))) throw new Error('a frame was forgotten')
    if (asked.some((sequence, i) => sequence <= (asked[i - 1] ?? 0))) throw new Error('frames out of order')
    this.kept = this.kept.filter(({ sequence }) => fateOf(sequence) !== 'drop')
    for (const frame of this.kept) frame.isSent = fateOf(frame.sequence) === 'keep'
    this.taken = []
  }

  /** Bytes that have no answer must not change. */
  checkTaken(): void {
    for (const { buffers, copy } of this.taken) {
      if (!Buffer.concat(buffers).equals(copy)) throw new Error('bytes were changed before they were answered')
    }
  }
}

t.test('against a list of arrays', async (t) => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120, size: 'max' }), (commands) => {
      const pair = new Pair()
      for (const one of commands) pair.run(one)
      pair.take()
      pair.checkTaken()
      // all that is kept can be sent again, as it was
      pair.buffer.kept.rewind((sequence) => (pair.kept.some((frame) => frame.sequence === sequence) ? 'send' : 'drop'))
      for (const frame of pair.kept) frame.isSent = false
      pair.take()
    }),
    { numRuns: 300 },
  )
  t.pass('300 runs')
})

t.test('frames of one turn are one write, and a warm slab is used again', async (t) => {
  const buffer = new FrameBuffer()
  let last = 0
  const write = (): void => {
    const draft = new FrameDraft()
    buffer.reserve(draft, 100)
    draft.at += 100
    buffer.finish(draft, ++last)
  }
  const places = new Set<ArrayBufferLike>()
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 10; i++) write()
    const buffers = buffer.kept.take()
    t.equal(buffers.length, 1)
    t.equal(buffers[0]?.byteOffset, 0, 'from the start of the slab again')
    places.add(buffers[0]!.buffer)
    buffer.kept.release(last)
  }
  t.equal(places.size, 1)

  // more slabs have no answer than are kept for reuse, then all come back
  const count = 2 * CLIENT_SLAB_POOL_COUNT
  const inUse = new Set<ArrayBufferLike>()
  for (let round = 0; round < count; round++) {
    for (let i = 0; i < CLIENT_SLAB_BYTES / 172; i++) write()
    for (const { buffer: memory } of buffer.kept.take()) inUse.add(memory)
  }
  t.equal(inUse.size, count + 1, 'no slab twice while it has no answer')
  buffer.kept.release(last)
  let known = 0
  for (let round = 0; round < CLIENT_SLAB_POOL_COUNT; round++) {
    for (let i = 0; i < CLIENT_SLAB_BYTES / 172; i++) write()
    for (const { buffer: memory } of buffer.kept.take()) known += inUse.has(memory) ? 1 : 0
  }
  t.ok(known >= CLIENT_SLAB_POOL_COUNT, 'slabs that came back are used before new ones')
})
