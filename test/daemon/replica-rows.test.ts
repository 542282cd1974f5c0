/** A row whose files cannot be opened is down, with the reason, and nobody was dialled; the next try is a row like any other. */
import t from 'tap'
import { ReplicaRows, type ReplicaRowsOptions } from '../../daemon/io/replica-rows.ts'
import type { Connection, ConnectionHandler } from '../../protocol/connection.ts'
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
