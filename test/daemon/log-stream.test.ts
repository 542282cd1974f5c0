/**
 * A peer that is behind is fed from the files between the flushes: what writers wait for goes first, a busy channel feeds its
 * peers all the same, and whatever the order is, the bytes leave in theirs.
 */
import t from 'tap'
import { LogStream } from '../../daemon/io/log-stream.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Connection } from '../../protocol/connection.ts'
import { prepareSegment, Segments } from '../../wal/segments.ts'
import { SimDisk } from '../sim/sim-disk.ts'

const FOLDER = '/channel'
const SLICE_BYTES = 1_000
const QUEUE_BYTES = 8_000 // two of the largest flushes below
const LOG_BYTES = 64_000

/** A channel's event loop, of which a turn reads the sockets and then does what was planned before its end, in order. */
class Loop {
  /** What was done, in order. */
  done: string[] = []
  sent = Buffer.alloc(0)
  unsentBytes = 0
  isFlushPlanned = false
  readonly log = Buffer.from(Array.from({ length: LOG_BYTES }, (_, i) => (i * 7) % 251))
  readonly stream: LogStream
  durable = LOG_BYTES
  /** What each flush makes durable. */
  flushBytes = 0
  /** What the connection was given waits in it until the next turn, as in one of TLS. */
  takesLater = false
  #planned: (() => void)[] = []

  constructor() {
    const disk = new SimDisk({ sectorBytes: 512 })
    disk.makeDirectory(FOLDER)
    prepareSegment(disk, FOLDER, { base: 0, bytes: LOG_BYTES })
    const files = new Segments({ disk, directory: FOLDER, segmentBytes: LOG_BYTES, access: 'write' })
    files.write(0, [this.log], LOG_BYTES)
    const connection: Partial<Connection> = {
      writeAll: (buffers, taken) => {
        this.done.push('slice')
        this.sent = Buffer.concat([this.sent, ...buffers])
        if (this.takesLater) this.unsentBytes += buffers.reduce((sum, { length }) => sum + length, 0)
        taken?.()
      },
    }
    Object.defineProperty(connection, 'unsentBytes', { get: () => this.unsentBytes })
    const clock: Partial<Clock> = { nextTurn: (act) => void this.#planned.push(act) }
    this.stream = new LogStream({
      clock: clock as Clock, // the rest of both is not used
      connection: connection as Connection,
      files,
      position: 0,
      sliceBytes: SLICE_BYTES,
      queueBytes: QUEUE_BYTES,
      durablePosition: () => this.durable,
      isFlushPlanned: () => this.isFlushPlanned,
      onError: (error) => {
        throw error
      },
    })
  }

  /** @param isSessionCome a session is read from a socket: a flush is planned, and its answer for the turn after it */
  turn(isSessionCome: boolean): void {
    if (isSessionCome && !this.isFlushPlanned) {
      this.isFlushPlanned = true
      this.#planned.push(() => this.#flush())
    }
    if (this.takesLater && this.unsentBytes > 0) {
      this.unsentBytes = 0
      this.stream.pump()
    }
    for (const act of this.#planned.splice(0)) act()
  }

  #flush(): void {
    this.isFlushPlanned = false
    this.durable += this.flushBytes
    this.done.push('flush')
    this.#planned.push(() => void this.done.push('answer'))
    this.stream.pump()
  }
}

t.test('nobody writes: a slice each turn', async (t) => {
  const loop = new Loop()
  loop.stream.pump()
  for (let i = 0; i < LOG_BYTES / SLICE_BYTES; i++) loop.turn(false)
  t.ok(loop.sent.equals(loop.log), 'all of it')
  loop.turn(false)
  t.equal(loop.done.length, LOG_BYTES / SLICE_BYTES, 'and nothing more')
})

t.test('a session comes now and then: its flush and its answer go before the slices of their turns', async (t) => {
  const loop = new Loop()
  loop.stream.pump()
  loop.turn(false)
  loop.turn(false)
  loop.done = []
  for (const isSessionCome of [true, false, false, false, true, false]) loop.turn(isSessionCome)
  t.same(loop.done, ['flush', 'answer', 'slice', 'slice', 'slice', 'flush', 'answer', 'slice'])
  t.ok(loop.log.subarray(0, loop.sent.length).equals(loop.sent))
})

t.test(
  'each turn brings a session: each flush lets a slice through, behind the answer of the one before',
  async (t) => {
    const loop = new Loop()
    loop.stream.pump()
    for (let i = 0; i < 10; i++) loop.turn(true)
    const one = ['answer', 'slice', 'flush']
    t.same(loop.done, ['flush', ...Array.from({ length: 9 }, () => one).flat()])
    t.ok(loop.log.subarray(0, loop.sent.length).equals(loop.sent))
  },
)

t.test('flushes are larger than a slice, turn after turn: who is behind comes nearer all the same', async (t) => {
  const loop = new Loop()
  loop.durable = 20_000
  loop.flushBytes = 3 * SLICE_BYTES
  loop.stream.pump()
  loop.turn(true)
  const lag = (): number => loop.durable - loop.sent.length
  for (let before = lag(); loop.durable < LOG_BYTES - loop.flushBytes; before = lag()) {
    loop.turn(true)
    t.ok(lag() < before, `${lag()} bytes behind`)
  }
  t.ok(loop.log.subarray(0, loop.sent.length).equals(loop.sent))
  loop.done = []
  loop.unsentBytes = SLICE_BYTES - 1
  loop.turn(false)
  loop.unsentBytes = SLICE_BYTES
  loop.turn(true)
  t.ok(loop.done.filter((what) => what === 'slice').length <= 4, 'no more than has become durable, and a slice')
})

t.test(
  'the same over a connection that takes what it was given a turn later, and no more than its queue holds',
  async (t) => {
    for (const flushSlices of [0.5, 1, 3, 4]) {
      const loop = new Loop()
      loop.takesLater = true
      loop.durable = 20_000
      loop.flushBytes = flushSlices * SLICE_BYTES
      loop.stream.pump()
      loop.turn(true)
      const begin = loop.durable - loop.sent.length
      let most = 0
      while (loop.durable < LOG_BYTES - loop.flushBytes) {
        loop.turn(true)
        most = Math.max(most, loop.unsentBytes)
      }
      const end = loop.durable - loop.sent.length
      t.ok(end < begin, `${flushSlices} slices a flush: ${begin} bytes behind, then ${end}`)
      t.ok(most < QUEUE_BYTES + SLICE_BYTES, `${most} bytes wait`)
      t.ok(loop.log.subarray(0, loop.sent.length).equals(loop.sent))
    }
    const loop = new Loop()
    loop.takesLater = true
    loop.durable = 20_000
    loop.flushBytes = 4 * QUEUE_BYTES
    loop.stream.pump()
    for (let i = 0; i < 3; i++) {
      loop.turn(true)
      t.ok(loop.unsentBytes < QUEUE_BYTES + SLICE_BYTES, `${loop.unsentBytes} bytes wait, whatever becomes durable`)
    }
  },
)

t.test(
  'a connection that is full is not read for; when it has drained, and has a flush before it, it goes on',
  async (t) => {
    const loop = new Loop()
    loop.stream.pump()
    loop.unsentBytes = SLICE_BYTES
    loop.turn(false)
    loop.turn(true)
    loop.turn(false)
    t.same(loop.done, ['slice', 'flush', 'answer'])
    loop.unsentBytes = 0
    loop.isFlushPlanned = true // planned before the sockets tell that there is room
    loop.stream.pump()
    loop.turn(false)
    t.same(loop.done, ['slice', 'flush', 'answer'], 'it waits for the flush')
    loop.isFlushPlanned = false
    loop.stream.pump()
    loop.turn(false)
    t.equal(loop.done.at(-1), 'slice')
    t.ok(loop.log.subarray(0, loop.sent.length).equals(loop.sent))
  },
)

t.test('a slice that is planned when the stream is stopped is not sent', async (t) => {
  const loop = new Loop()
  loop.stream.pump()
  loop.stream.stop()
  loop.turn(false)
  loop.turn(true)
  t.same(loop.done, ['flush'])
})

t.test('files that somebody has cut are an error, not a loop', async (t) => {
  const loop = new Loop()
  loop.durable = LOG_BYTES + 2 * SLICE_BYTES // so much is durable, the files say less
  loop.stream.pump()
  t.throws(
    () => {
      for (let i = 0; i < (2 * LOG_BYTES) / SLICE_BYTES; i++) loop.turn(true)
    },
    { code: 'LOG_DAMAGED', where: { offset: LOG_BYTES } },
  )
})
