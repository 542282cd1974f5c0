/**
 * A row whose files cannot be opened is down, with the reason, and nobody was dialled; the next try is a row like any other.
 * What a replica says behind what has ended its row counts for nothing.
 */
import t from 'tap'
import { ReplicaRows, type ReplicaRowsOptions } from '../../daemon/io/replica-rows.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Connection, ConnectionHandler } from '../../protocol/connection.ts'
import { encodeMessage } from '../../protocol/control-message.ts'
import { ACK_SILENCE_MS_MAX } from '../../protocol/limits.ts'
import { encodeDurableReply, encodeErrorReply, ReplyType } from '../../protocol/log-reply.ts'
import { Segments } from '../../wal/segments.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { SimDisk } from '../sim/sim-disk.ts'

const PEER = { host: 'replica', port: 7501, peerSession: 5n, version: 1, secret: Buffer.alloc(16), resume: 0 }

const nothing = (): void => undefined

/** Nobody answers on it. */
function silentConnection(onDestroyed: () => void): Connection {
  let handler: ConnectionHandler | undefined
  return {
    peer: 'replica:7501',
    unsentBytes: 0,
    handle: (given) => {
      handler = given
    },
    write: nothing,
    writeAll: nothing,
    pause: nothing,
    resume: nothing,
    end: nothing,
    close: nothing,
    destroy: () => {
      onDestroyed()
      queueMicrotask(() => handler?.closed(undefined))
    },
  }
}

t.test('files that cannot be opened', async (t) => {
  const disk = new SimDisk()
  disk.makeDirectory('/c')
  const told: string[] = []
  let [dialled, destroyed] = [0, 0]
  const options: ReplicaRowsOptions = {
    world: {
      clock: nodeWorld.clock,
      network: {
        dial: () => {
          dialled += 1
          return silentConnection(() => {
            destroyed += 1
          })
        },
        listen: () => Promise.reject(new Error('nobody listens')),
      },
    },
    channel: 0,
    keeper: {
      up: () => t.fail('no answer has come'),
      durable: () => t.fail('no answer has come'),
      down: (row, then) => {
        told.push(`kept ${row}`)
        then()
      },
    },
    openFiles: () => new Segments({ disk, directory: '/c', segmentBytes: 0, access: 'read' }),
    durablePosition: () => 0,
    onRow: (type, row, session, error) => told.push(`${type} ${row} of ${session} ${error?.code ?? ''}`.trim()),
  }
  const rows = new ReplicaRows(options)
  disk.fail({ kind: 'list', errno: 'EMFILE' })
  rows.open(1, 9n, PEER)
  t.same(told.splice(0), ['kept 1', 'rowDown 1 of 9 DISK_FAILED'])
  t.equal(dialled, 0)
  t.ok(rows.isEmpty)

  rows.open(1, 10n, PEER)
  t.equal(dialled, 1)
  rows.close(1, 9n)
  t.same(told.splice(0), ['rowDown 1 of 9'], 'the session before is down, the new one is not')
  t.notOk(rows.isEmpty)
  rows.close(1, 10n)
  t.same(told.splice(0), ['kept 1', 'rowDown 1 of 10'])
  t.equal(destroyed, 1)

  const broken = new TypeError('a mistake of ours')
  const openFiles = (): never => {
    throw broken
  }
  t.throws(() => new ReplicaRows({ ...options, openFiles }).open(1, 11n, PEER), broken, 'no condition of the world')
  t.same(told, [])
})

t.test(
  'REP-17: a replica that claims more than its master has appended is not fed, and counts for nothing',
  async (t) => {
    const disk = new SimDisk()
    disk.makeDirectory('/c')
    const told: string[] = []
    const dial = (): Connection => {
      told.push('dialled')
      return silentConnection(nothing)
    }
    let appended = 99
    const options: ReplicaRowsOptions = {
      world: { clock: nodeWorld.clock, network: { dial, listen: () => Promise.reject(new Error('nobody listens')) } },
      channel: 3,
      keeper: {
        up: () => told.push('up'),
        durable: () => told.push('durable'),
        down: (_, then) => {
          told.push('kept')
          then()
        },
      },
      openFiles: () => new Segments({ disk, directory: '/c', segmentBytes: 0, access: 'read' }),
      durablePosition: () => 0,
      onRow: (type, row, session, error) => told.push(`${type} ${row} of ${session}: ${error?.code} ${error?.message}`),
    }
    const rows = new ReplicaRows({ ...options, appendedPosition: () => appended })
    const ahead = { ...PEER, resume: 100 }
    rows.open(1, 9n, ahead)
    t.same(told.splice(0), [
      'kept',
      'rowDown 1 of 9: REPLICA_AHEAD Cannot stream channel 3 to a replica: found 100 as its end, expected at most 99',
    ])
    t.ok(rows.isEmpty)
    appended = 100
    rows.open(1, 10n, ahead)
    new ReplicaRows(options).open(1, 11n, ahead)
    t.same(told, ['dialled', 'dialled'], 'all that was appended; and a feeder may have less than whom it feeds')
    rows.closeAll()
  },
)

/** A master's rows, of which one is dialled; `told` has what became of it. */
function openRow(told: string[], clock: Clock = nodeWorld.clock): { rows: ReplicaRows; hear: (bytes: Buffer) => void } {
  const disk = new SimDisk()
  disk.makeDirectory('/c')
  let handler: ConnectionHandler | undefined
  const handle = (given: ConnectionHandler): void => {
    handler = given
  }
  const connection = { ...silentConnection(nothing), handle }
  const rows = new ReplicaRows({
    world: { clock, network: { dial: () => connection, listen: () => Promise.reject(new Error('nobody listens')) } },
    channel: 0,
    keeper: {
      up: (_, position, then) => {
        told.push(`up ${position}`)
        then()
      },
      durable: (_, position) => told.push(`durable ${position}`),
      down: (_, then) => then(),
    },
    openFiles: () => new Segments({ disk, directory: '/c', segmentBytes: 0, access: 'read' }),
    durablePosition: () => 0,
    onRow: (type, _row, _session, error) => {
      if (type === 'rowDown') told.push(`down ${error?.code}`)
    },
  })
  rows.open(1, 9n, PEER)
  return { rows, hear: (bytes) => handler?.data(bytes) }
}

function opened(position: number): Buffer {
  const term = { number: 1n, nodeId: '0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc', tag: 1 }
  const noProducer = { sequence: 0, missing: [], lastEpoch: 0n, lastTerm: term, since: 0n }
  return encodeMessage({ type: 'log_open_ok', position, term, ...noProducer })
}

t.test('REP-34 REP-36: a row that is down stays down, whatever the same packet says behind that', async (t) => {
  const error = { code: 'DISK_LOW', message: 'Cannot take more', hint: '', where: {} } as const
  for (const [end, code] of [
    [encodeErrorReply(ReplyType.ERROR, 0, error), 'DISK_LOW'],
    [encodeDurableReply(9, 9, 1), 'REPLICA_AHEAD'], // nothing was sent yet
  ] as const) {
    const told: string[] = []
    const replies = [encodeDurableReply(0, 0, 1), end, encodeDurableReply(0, 0, 1)]
    openRow(told).hear(Buffer.concat([opened(0), ...replies]))
    t.same(told, ['up 0', 'durable 0', `down ${code}`])
  }
})

t.test('REP-17: a replica that opens a channel beyond what its session has said', async (t) => {
  const told: string[] = []
  openRow(told).hear(opened(1))
  t.same(told, ['down REPLICA_AHEAD'])
})

t.test(
  'a replica that says nothing of what it was sent is away; one that says something is not, nor one that has all',
  async (t) => {
    const told: string[] = []
    const timers: { readonly ms: number; readonly act: () => void }[] = []
    const clock: Clock = {
      ...nodeWorld.clock,
      after: (ms, act) => {
        const timer = { ms, act }
        timers.push(timer)
        return { cancel: () => void timers.splice(timers.indexOf(timer), 1) }
      },
    }
    const wait = (): void => timers.shift()!.act()
    const { rows, hear } = openRow(told, clock)
    hear(opened(0))
    t.same(timers, [], 'nothing is on its way')
    rows.offer(0, [Buffer.alloc(10)], 10)
    rows.offer(10, [Buffer.alloc(10)], 10)
    t.same(
      timers.map(({ ms }) => ms),
      [ACK_SILENCE_MS_MAX],
    )
    hear(encodeDurableReply(10, 10, 1))
    wait()
    t.equal(timers.length, 1, 'it goes on to be watched')
    hear(encodeDurableReply(20, 20, 1))
    wait()
    t.same(timers, [], 'it has all')
    rows.offer(20, [Buffer.alloc(10)], 10)
    t.same(told.splice(0), ['up 0', 'durable 10', 'durable 20'])
    wait()
    t.same(told, ['down CONNECTION_LOST'])
    t.same(timers, [])
  },
)
