/**
 * One producer over several connections, of which an older one is told to have ended long after (its peer was cut off): what is
 * told of that one concerns nobody else. Connections are stubs; table and frames are real.
 */
import t from 'tap'
import { ClientLinks } from '../../daemon/io/client-links.ts'
import { SessionRegistry } from '../../daemon/io/session-registry.ts'
import type { Connection, ConnectionHandler } from '../../protocol/connection.ts'
import { encodeFrame, FrameKind, headerSeed } from '../../protocol/frame.ts'
import { byteOffset, channelId, clusterId, epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import type { Board } from '../../wal/board.ts'
import type { ChannelLog } from '../../wal/channel-log.ts'
import { masterTable, type Producer } from '../../wal/producer.ts'
import { nodeWorld } from '../../world/node-world.ts'

const SEED = headerSeed(clusterId('00000000-0000-4000-8000-0000000000aa'), channelId(0))
const SECRET = Buffer.alloc(16)
const PRODUCER = 99n
const nothing = (): void => undefined

/** Ends when the test says so, and not before. */
class CutOffConnection implements Connection {
  readonly peer: string
  readonly unsentBytes = 0
  isEnding = false
  written = 0
  #handler: ConnectionHandler | undefined

  constructor(peer: string) {
    this.peer = peer
  }

  handle(handler: ConnectionHandler): void {
    this.#handler = handler
  }

  hear(bytes: Buffer): void {
    this.#handler?.data(bytes)
  }

  closed(): void {
    this.#handler?.closed(undefined)
  }

  write(): void {
    this.written += 1
  }

  end(): void {
    this.isEnding = true
  }

  readonly writeAll = nothing
  readonly pause = nothing
  readonly resume = nothing
  readonly close = nothing
  readonly destroy = nothing
}

function frame(sequence: number): Buffer {
  const stamp = { termTag: 0, position: 0, epoch: 0n, term: 0n, firstMinor: 0n }
  const header = { kind: FrameKind.ENTRIES, flags: 0, entryCount: 1, ...stamp }
  return encodeFrame({ ...header, producerId: PRODUCER, producerSequence: sequence }, Buffer.alloc(25), SEED)
}

t.test('REP-65: the end of an older connection leaves the producer of the newer one where it is', async (t) => {
  const registry = new SessionRegistry()
  registry.register({ session: 1n, version: 3, secret: SECRET, kind: 'client' })
  const producers = masterTable(1n)
  const accepted: { readonly producer: Producer; readonly sequence: number }[] = []
  const log: Partial<ChannelLog> = {
    accept: (buffer, at, _bytes, origin) => {
      const producer = origin as Producer // as links give it
      accepted.push({ producer, sequence: Number(buffer.readBigUInt64LE(at + 64)) })
    },
    awaitPropagated: nothing,
  }
  const board: Partial<Board> = { open: () => epoch(5n), shownEpoch: (low) => epoch(low) }
  const term = { number: termNumber(1n), nodeId: nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc'), tag: 7 }
  const links = new ClientLinks({
    clock: nodeWorld.clock,
    channel: 0,
    registry,
    log: log as ChannelLog, // the rest is not used
    board: board as Board, // the same
    producers,
    term,
    history: [{ term, starts: [byteOffset(0)], baseEpoch: epoch(0n), firstEpoch: epoch(1n) }],
    headerSeed: SEED,
    refusal: () => undefined,
    onAccepted: nothing,
    onError: (error) => t.fail(error.message),
    onClose: nothing,
  })
  const open = (connection: Connection, sent: number): void => {
    const claim = { producer: PRODUCER, sent, answered: 0, since: 0n, level: 'stored' } as const
    links.open(
      connection,
      { type: 'log_open', version: 3, session: 1n, secret: SECRET, channel: 0, ...claim },
      Buffer.alloc(0),
    )
  }
  const [first, second, third, fourth] = ['a', 'b', 'c', 'd'].map((peer) => new CutOffConnection(peer))
  open(first!, 0)
  open(second!, 0)
  t.ok(first!.isEnding)
  second!.closed()
  open(third!, 0)
  first!.closed()
  third!.hear(frame(1))
  open(fourth!, 1)
  t.ok(third!.isEnding, 'the newer one takes its place')
  t.same(
    accepted.map(({ sequence }) => sequence),
    [1],
    'and waits until session 1 is in the log',
  )
  t.same(fourth!.written, 0, 'no answer yet')
  const [one] = accepted
  one!.producer.stamped(1, 5)
  links.flushed()
  t.equal(fourth!.written, 1)
  t.equal(producers.state().producers.length, 1)
})
