/**
 * When a replica flushes: once per turn of the event loop, and once for several turns while they bring megabytes, so that
 * a catch-up does not pay for a flush of every piece that happens to arrive. What came last never waits for more, and
 * nothing waits for its flush in memory.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ReplicaChannel } from '../../daemon/io/replica-channel.ts'
import { StatSlots } from '../../daemon/metrics/stat-slots.ts'
import type { Connection, ConnectionHandler } from '../../protocol/connection.ts'
import { encodeMessage } from '../../protocol/control-message.ts'
import { headerSeed } from '../../protocol/frame.ts'
import { channelId } from '../../protocol/ids.ts'
import { KIB, MIB, REPLICA_FLUSH_BYTES_LIMIT } from '../../protocol/limits.ts'
import { ReplyReader } from '../../protocol/log-reply.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { plainTable } from '../../wal/producer-table.ts'
import { prepareSegment, Segments, segmentName } from '../../wal/segments.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { CLUSTER, frames, mastership, session } from '../wal/hand-made-log.ts'

const SEGMENT_BYTES = 64 * MIB
/** As Node reads from a socket. */
const CHUNK_BYTES = 64 * KIB
const SECRET = Buffer.alloc(16, 3)

/** A replica's channel whose turns and bytes are the test's, on a real disk. */
class FakeLink {
  /** Durable positions that the master was told, in order. */
  readonly told: number[] = []
  #turns: (() => void)[] = []
  #handler: ConnectionHandler | undefined
  readonly #replies = new ReplyReader()
  readonly #file: string
  #opened = false

  constructor(t: Parameters<typeof temporaryDirectory>[0]) {
    const [directory, disk] = [temporaryDirectory(t), new NodeDisk()]
    this.#file = join(directory, segmentName(0))
    prepareSegment(disk, directory, { base: 0, bytes: SEGMENT_BYTES, mayLeaveHole: () => true })
    const segments = new Segments({ disk, directory, segmentBytes: SEGMENT_BYTES, access: 'write' })
    const nothing = (): void => undefined
    const clock = { ...nodeWorld.clock, nextTurn: (act: () => void) => void this.#turns.push(act) }
    let accept: (connection: Connection) => void = nothing
    const channel = new ReplicaChannel({
      world: {
        clock,
        network: {
          dial: () => this.#connection(),
          listen: async (_, accepted) => {
            accept = accepted
            return { port: 1, close: nothing, destroyConnections: nothing }
          },
        },
      },
      channel: 0,
      headerSeed: headerSeed(CLUSTER, channelId(0)),
      stats: new StatSlots(),
      openWriter: (position, producers) =>
        new ChannelWriter({ channel: 0, segments, position, producers, onRecoveryPoint: nothing }),
      position: 0,
      producers: plainTable(),
      openFiles: () => new Segments({ disk, directory, segmentBytes: 0, access: 'read' }),
      startOf: () => 0,
      onRow: nothing,
      onReaderFailed: nothing,
      whole: () => 0n,
      onSeals: nothing,
      onConfigs: nothing,
      onPoison: (error) => {
        throw error
      },
    })
    t.teardown(() => {
      channel.stop()
      segments.close()
    })
    void channel.listen('', 0)
    channel.follow([mastership(1, [0])], 0, undefined)
    channel.registry.register({ session: 1n, version: 1, secret: SECRET, kind: 'replication' })
    accept(this.#connection())
    const open = { producer: 0n, sent: 0, answered: 0, since: 0n, level: 'stored' } as const
    this.#handler?.data(
      encodeMessage({ type: 'log_open', version: 1, session: 1n, secret: SECRET, channel: 0, ...open }),
    )
  }

  /** One turn in which `bytes` come. */
  turn(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
      this.#handler?.data(Buffer.from(bytes.subarray(at, at + CHUNK_BYTES)))
    for (const act of this.#turns.splice(0)) act()
  }

  /** What the file system has, flushed or not. */
  written(from: number, to: number): Buffer {
    return readFileSync(this.#file).subarray(from, to)
  }

  #connection(): Connection {
    const nothing = (): void => undefined
    return {
      peer: 'master:1',
      unsentBytes: 0,
      handle: (handler) => {
        this.#handler = handler
      },
      write: (bytes) => {
        if (this.#opened) this.#replies.push(Buffer.from(bytes), this.#replyHandler)
        this.#opened = true
      },
      writeAll: nothing,
      pause: nothing,
      resume: nothing,
      end: nothing,
      close: nothing,
      destroy: nothing,
    }
  }

  readonly #replyHandler = {
    durable: (_: number, position: number): void => void this.told.push(position),
    stored: unexpected,
    propagated: unexpected,
    rejected: unexpected,
    error: unexpected,
  }
}

function unexpected(): never {
  throw new Error('a replica says DURABLE only')
}

/** Sessions of one epoch that is not sealed yet, `bytes` long and a little more. */
function stream(bytes: number): Buffer {
  const draft = { ...session(1n), body: Buffer.alloc(100_000, 7) }
  return frames(Array.from({ length: Math.ceil(bytes / draft.body.length) }, () => draft)).bytes
}

t.test('turns that bring megabytes share a flush, up to its limit; what came last waits one turn', async (t) => {
  const link = new FakeLink(t)
  const log = stream(20 * MIB)
  const turnBytes = 2 * MIB
  let sent = 0
  for (let turns = 0; turns < 8; turns++) {
    link.turn(log.subarray(sent, sent + turnBytes))
    sent += turnBytes
    const told = link.told.at(-1) ?? 0
    t.ok(sent - told < REPLICA_FLUSH_BYTES_LIMIT + turnBytes, 'bounded')
    const whole = sent - 200_000 // the last frame is not all there
    t.ok(link.written(told, whole).equals(log.subarray(told, whole)), 'written, though not flushed')
  }
  const flushes = link.told.length
  t.ok(flushes >= 1 && flushes <= sent / REPLICA_FLUSH_BYTES_LIMIT, `${flushes} flushes of 8 turns`)
  t.ok(link.told.at(-1)! < sent - 4 * MIB, 'some is not flushed yet')
  link.turn(Buffer.alloc(0))
  t.ok(link.told.at(-1)! > sent - 200_000, 'a turn that brings nothing ends the wait')
  link.turn(log.subarray(sent, sent + 300_000))
  t.ok(link.told.at(-1)! > sent + 100_000, 'and so does one that brings little')
})

t.test('turns that bring less flush each', async (t) => {
  const link = new FakeLink(t)
  const log = stream(4 * MIB)
  const turnBytes = 512 * KIB
  for (let sent = 0; sent < log.length; sent += turnBytes) {
    const before = link.told.length
    link.turn(log.subarray(sent, sent + turnBytes))
    t.equal(link.told.length, before + 1)
  }
  t.equal(link.told.at(-1), log.length)
})
