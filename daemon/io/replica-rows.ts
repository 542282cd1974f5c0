/**
 * The replicas that one channel feeds, by rows: on a master, and on a replica that feeds others. Opens and ends senders,
 * and tells whoever keeps the rows what becomes of them.
 */
import { TravertineError } from '../../protocol/errors.ts'
import type { World } from '../../protocol/world.ts'
import type { Segments } from '../../wal/segments.ts'
import { ReplicaSender } from './replica-sender.ts'

/** Where a replica is, and on what its session has agreed. */
export interface RowPeer {
  readonly host: string
  readonly port: number
  readonly peerSession: bigint
  readonly version: number
  readonly secret: Uint8Array
  readonly resume: number
}

/** Keeps what a row holds. Calls `then` when it is kept, and may call it at once. */
export interface RowKeeper {
  up(row: number, position: number, then: () => void): void
  durable(row: number, position: number, flushMicros: number): void
  down(row: number, then: () => void): void
}

export type OnRow = (type: 'rowOpen' | 'rowDown', row: number, session: bigint, error?: TravertineError) => void

export interface ReplicaRowsOptions {
  readonly world: Pick<World, 'clock' | 'network'>
  readonly channel: number
  readonly keeper: RowKeeper
  /** The channel's files, opened for reading. */
  readonly openFiles: () => Segments
  readonly durablePosition: () => number
  /** Of a master: no replica of its mastership can hold more. A feeder may have less than those it feeds. */
  readonly appendedPosition?: () => number
  /** Is a flush planned that writers wait for? `pump` is called when it is through. */
  readonly isFlushPlanned?: () => boolean
  /** Tells the control thread, once `keeper` has kept it. */
  readonly onRow: OnRow
}

interface OpenRow {
  readonly session: bigint
  readonly sender: ReplicaSender
}

export class ReplicaRows {
  readonly #options: ReplicaRowsOptions
  readonly #rows = new Map<number, OpenRow>()

  constructor(options: ReplicaRowsOptions) {
    this.#options = options
  }

  open(row: number, session: bigint, { host, port, ...peer }: RowPeer): void {
    const { channel, world, keeper, openFiles, durablePosition, isFlushPlanned, onRow } = this.#options
    let files: Segments
    try {
      this.#checkResume(peer.resume)
      files = openFiles()
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      // too many open files, say: no reason to end the node, nor to leave a connection behind. The session is tried again
      return keeper.down(row, () => onRow('rowDown', row, session, thrown))
    }
    const sender = new ReplicaSender({
      ...peer,
      clock: world.clock,
      connection: world.network.dial(host, port),
      channel,
      files,
      durablePosition,
      isFlushPlanned,
      onOpen: (position) => keeper.up(row, position, () => onRow('rowOpen', row, session)),
      onDurable: (position, flushMicros) => keeper.durable(row, position, flushMicros),
      onDown: (error) => {
        this.#rows.delete(row)
        keeper.down(row, () => onRow('rowDown', row, session, error))
      },
    })
    this.#rows.set(row, { session, sender })
  }

  /** @throws REPLICA_AHEAD: nothing would be sent until the log gets there, and then other bytes than the row counts for */
  #checkResume(resume: number): void {
    const { channel, appendedPosition = () => Number.POSITIVE_INFINITY } = this.#options
    if (resume <= appendedPosition()) return
    throw new TravertineError(
      'REPLICA_AHEAD',
      `Cannot stream channel ${channel} to a replica: found ${resume} as its end, expected at most ${appendedPosition()}`,
      { hint: 'it claims what this master has never appended: keep both logs, and make that replica anew' },
    )
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0
  }

  /** Ends a row; `rowDown` is told also if it was down already, since the control thread counts the channels. */
  close(row: number, session: bigint): void {
    const open = this.#rows.get(row)
    if (open !== undefined && open.session === session) open.sender.close()
    else this.#options.onRow('rowDown', row, session)
  }

  /** Hands bytes that are being flushed to the senders that are level. */
  offer(position: number, buffers: readonly Buffer[], bytes: number): void {
    for (const row of this.#rows.values()) row.sender.offer(position, buffers, bytes)
  }

  /** More has become durable: senders that are behind go on. */
  pump(): void {
    for (const row of this.#rows.values()) row.sender.pump()
  }

  closeAll(): void {
    for (const row of [...this.#rows.values()]) row.sender.close()
  }
}
