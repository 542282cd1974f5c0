/** The floor must count sessions right however the stream is cut: it answers writers by that count. */
import t from 'tap'
import { FloorSessionCounter } from '../../bench/floor-session-counter.ts'
import { FRAME_HEADER_BYTES, HeaderOffset } from '../../protocol/frame.ts'

const BODY_BYTES = [1, 149, 71, 500, 72, 3]

function frames(): Buffer {
  return Buffer.concat(
    BODY_BYTES.map((bodyBytes, index) => {
      const frame = Buffer.alloc(FRAME_HEADER_BYTES + bodyBytes, index + 1)
      frame.writeUInt32LE(bodyBytes, HeaderOffset.bodyLength)
      return frame
    }),
  )
}

/** How many frames end at or before `offset`, and where the last of them ends. */
function wholeUpTo(offset: number): { count: number; end: number } {
  let end = 0
  let count = 0
  for (const bodyBytes of BODY_BYTES) {
    const next = end + FRAME_HEADER_BYTES + bodyBytes
    if (next > offset) break
    end = next
    count++
  }
  return { count, end }
}

t.test('a stream cut once, at every byte', async (t) => {
  const stream = frames()
  for (let cut = 1; cut < stream.length; cut++) {
    const counter = new FloorSessionCounter()
    const taken: Buffer[] = []
    const first = counter.push(stream.subarray(0, cut), taken)
    const expected = wholeUpTo(cut)
    if (first !== expected.end || counter.sequence !== expected.count) t.fail(`the first part, cut at ${cut}`)
    const second = counter.push(stream.subarray(cut), taken)
    if (first + second !== stream.length || counter.sequence !== BODY_BYTES.length) t.fail(`the rest, cut at ${cut}`)
    if (!Buffer.concat(taken).equals(stream)) t.fail(`the bytes, cut at ${cut}`)
  }
  t.ok(stream.length > 1000, 'there was something to cut')
})

t.test('a stream in parts of every size', async (t) => {
  const stream = frames()
  for (let size = 1; size <= 200; size++) {
    const counter = new FloorSessionCounter()
    const taken: Buffer[] = []
    for (let at = 0; at < stream.length; at += size) {
      counter.push(stream.subarray(at, at + size), taken)
      const { count, end } = wholeUpTo(at + size)
      if (counter.sequence !== count) t.fail(`${counter.sequence} sessions up to ${at + size} in parts of ${size}`)
      if (!Buffer.concat(taken).equals(stream.subarray(0, end)))
        t.fail(`the bytes up to ${at + size}, parts of ${size}`)
    }
    if (counter.sequence !== BODY_BYTES.length) t.fail(`${counter.sequence} sessions in parts of ${size}`)
  }
  t.pass('every size was tried')
})
