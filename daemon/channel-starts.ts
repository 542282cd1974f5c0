/** What the channels of a node begin with: the board they share, and per channel where and how it goes on. */
import { Board, boardShape, createBoard } from '../wal/board.ts'
import { encodePolicy, policyOf } from '../wal/durability.ts'
import type { StatSlots } from './metrics/stat-slots.ts'
import type { FullConfig } from './node-config.ts'
import type { OpenLog } from './open-log.ts'
import type { ChannelStart } from './threads/thread-messages.ts'

/** Only a master has one. */
export function boardOf({ mastership, manifest, epochSlots }: OpenLog): Board | undefined {
  if (mastership === undefined) return undefined
  const policy = encodePolicy(policyOf(manifest.config))
  const { firstEpoch, baseEpoch } = mastership
  return new Board(createBoard(boardShape(manifest.channels, epochSlots), { firstEpoch, baseEpoch, policy }))
}

export interface SharedMemory {
  readonly board: Board | undefined
  readonly doorbells: readonly SharedArrayBuffer[]
  readonly whole: SharedArrayBuffer
  /** One per channel: what it tells of itself. */
  readonly stats: readonly StatSlots[]
}

export function channelStarts(config: FullConfig, log: OpenLog, shared: SharedMemory): ChannelStart[] {
  const { directory, host, port, segmentsAhead } = config
  const { manifest, ends, producers, mastership } = log
  const { clusterId, nodeId, channels, segmentBytes } = manifest
  const master =
    mastership === undefined || shared.board === undefined
      ? undefined
      : { board: shared.board.handle, term: mastership.term, history: manifest.history }
  return ends.map((position, channel) => ({
    channel,
    channels,
    directory,
    clusterId,
    nodeId,
    segmentBytes,
    segmentsAhead,
    host,
    port: port === 0 ? 0 : port + 1 + channel,
    position,
    configs: channel === 0 ? log.configs : [],
    producers: producers[channel]!, // one per end
    doorbell: shared.doorbells[channel]!, // one per end
    whole: shared.whole,
    stats: shared.stats[channel]!.memory, // one per end
    master,
  }))
}
