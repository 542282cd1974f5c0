/**
 * The producer table of a channel as of one position, from its files: where a node goes on writing, that is the cut or
 * the end of what it holds (WAL-69).
 *
 * Only reads. Runs in the job pool, after recovery has found that position: what lies beyond it is in no history any
 * more, and must not be in the table. It begins at the recovery point, which holds the table as of its own position.
 */
import { FrameKind, headerSeed } from '../protocol/frame.ts'
import { type ClusterId, channelId } from '../protocol/ids.ts'
import type { Disk } from './disk.ts'
import { scanFrames } from './frame-scan.ts'
import {
  NO_PRODUCERS,
  type ProducerLimits,
  type ProducerTable,
  type ProducerTableState,
  plainTable,
} from './producer-table.ts'
import { readRecoveryPoint } from './recovery-point.ts'
import { channelDirectory, Segments } from './segments.ts'
import type { TermHistory } from './term-history.ts'

export interface FoldOptions {
  readonly disk: Disk
  readonly directory: string
  readonly channel: number
  readonly clusterId: ClusterId
  readonly history: TermHistory
  /** End of a valid frame. */
  readonly to: number
  /** Read everything: a checker does. */
  readonly ignoreRecoveryPoint?: boolean
  /** Smaller ones for tests. */
  readonly limits?: ProducerLimits
}

/** @throws FRAME_VERSION_UNSUPPORTED, DISK_FAILED */
export function foldProducers(options: FoldOptions): ProducerTableState {
  const { disk, channel, clusterId, history, to, limits } = options
  const directory = channelDirectory(options.directory, channel)
  const point = options.ignoreRecoveryPoint === true ? undefined : readRecoveryPoint(disk, directory, channel, history)
  const segments = new Segments({ disk, directory, segmentBytes: 0, access: 'read' })
  try {
    const from = point?.position ?? segments.firstPosition
    const seed = headerSeed(clusterId, channelId(channel))
    let table: ProducerTable | undefined =
      point === undefined && from > 0 ? undefined : plainTable(point?.producers, limits)
    scanFrames({ segments, channel, headerSeed: seed, history, from, to }, ({ header, frame }) => {
      if (header.epoch === 0n) return
      // Whatever was dropped below may have held anybody. Epochs ascend: all of it is in this one or an earlier one.
      table ??= plainTable({ ...NO_PRODUCERS, evictedEpoch: `${header.epoch}` }, limits)
      if (header.kind === FrameKind.ENTRIES) table.fold(frame, 0)
    })
    return table?.state() ?? NO_PRODUCERS
  } finally {
    segments.close()
  }
}
