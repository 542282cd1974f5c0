/**
 * What a channel tells its writers while other channels move the watermarks: for one session STORED comes before PROPAGATED
 * (REP-31), whenever the others publish, and what was held back for that is told by the wake that follows.
 */
import t from 'tap'
import { headerSeed } from '../../protocol/frame.ts'
import { channelId, nodeId, termNumber } from '../../protocol/ids.ts'
import { Board, boardShape, createBoard, NONE } from '../../wal/board.ts'
import { runToEnd } from '../../wal/board-machine.ts'
import { ChannelLog } from '../../wal/channel-log.ts'
import { ChannelWriter } from '../../wal/channel-writer.ts'
import { encodePolicy } from '../../wal/durability.ts'
import { plainTable } from '../../wal/producer-table.ts'
import { channelDirectory } from '../../wal/segments.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { CLUSTER, DIRECTORY, initMaster, sessionFrame, writableSegments } from '../sim/sim-master.ts'

const FIRST = 5n

/** Channel 0 holds a session of an epoch that channel 1 takes part in and has not made durable. The replica has all of channel 0. */
function waitingChannel(told: string[]): { board: Board; log: ChannelLog } {
  const disk = new SimDisk()
  initMaster(disk, 2)
  const policy = encodePolicy({ inSync: [1], quorum: 1 })
  const board = new Board(createBoard(boardShape(2), { firstEpoch: FIRST, baseEpoch: FIRST - 1n, policy }))
  const writer = new ChannelWriter({
    channel: 0,
    segments: writableSegments(disk, channelDirectory(DIRECTORY, 0), 0),
    position: 0,
    producers: plainTable(),
    onRecoveryPoint: () => undefined,
  })
  const log = new ChannelLog({
    channel: 0,
    board,
    writer,
    term: { number: termNumber(1n), nodeId: nodeId('0bbbbbbb-0000-4000-8000-000000000001'), tag: 1 },
    headerSeed: headerSeed(CLUSTER, channelId(0)),
    downstream: { offer: () => undefined },
    wake: () => undefined,
    wallClockMs: () => 0,
  })
  board.setCell(0, 1, FIRST)
  board.setPart(FIRST, 1)
  board.setCell(1, 1, NONE)
  runToEnd(log.beginAcknowledge(1, 0))
  const frame = sessionFrame(0, 1, 10)
  const origin = {
    isGone: false,
    stamped: () => undefined,
    stored: (epoch: bigint) => void told.push(`stored ${epoch}`),
    propagated: (epoch: bigint) => void told.push(`propagated ${epoch}`),
    rejected: () => undefined,
  }
  log.accept(frame, 0, frame.length, origin, {})
  runToEnd(log.beginFlush())
  runToEnd(log.beginAcknowledge(1, writer.durablePosition))
  return { board, log }
}

t.test('between any two steps of a look at the board another channel may publish both watermarks', (t) => {
  for (let before = 0, isLast = false; !isLast; before++) {
    const told: string[] = []
    const { board, log } = waitingChannel(told)
    t.same(told, [], 'the other channel is waited for')
    const look = log.beginRecompute()
    for (let step = 0; step < before && !isLast; step++) isLast = look.step()
    board.setCell(0, 1, NONE)
    t.ok(board.tryRaiseStored(FIRST - 1n, FIRST) && board.tryRaisePropagated(FIRST - 1n, FIRST))
    const isWoken = board.takeWaiting(0)
    if (!isLast) runToEnd(look)
    if (isWoken) runToEnd(log.beginRecompute())
    t.same(told, [`stored ${FIRST}`, `propagated ${FIRST}`], `after ${before} steps`)
  }
  t.end()
})
