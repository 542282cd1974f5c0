/**
 * What one channel's files hold, after any crash: where the log ends, its seals, and what they prove (DESIGN 4b).
 *
 * Only reads. Runs once per channel, in the job pool; its result is plain data. It begins at the recovery point, so it
 * reads the last segment or two.
 *
 * Torn tail or damage: a seal or MARK that *this node's own* mastership wrote proves that bytes below its durable
 * position had been flushed here. If the log ends below such a proof, flushed bytes are gone: LOG_DAMAGED, with file and
 * position; nothing is cut. Seals that came from another master prove what that master's disk held, not ours, so a
 * replica's end is never damage by their word.
 */
import { decodeConfig } from '../protocol/cluster-config.ts'
import { type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import { FRAME_HEADER_BYTES, FrameKind, headerSeed } from '../protocol/frame.ts'
import { type ClusterId, channelId } from '../protocol/ids.ts'
import { decodeMark, decodeSeal } from '../protocol/seal.ts'
import type { Disk } from './disk.ts'
import { findLater, type ScannedFrame, type ScanOptions, scanFrames } from './frame-scan.ts'
import { type ConfigPlace, type RecoveryPoint, readRecoveryPoint } from './recovery-point.ts'
import { channelDirectory, Segments } from './segments.ts'
import { mastershipAt, type TermHistory, wholeThrough } from './term-history.ts'
import type { FoundSeal } from './whole-epoch.ts'

/** A seal with its place. */
export interface PlacedSeal extends FoundSeal {
  /** End of the seal and of the MARKs that follow it directly. */
  readonly end: number
}

/** A CONFIG, and the epoch that it belongs to. */
export interface FoundConfig extends ConfigPlace {
  readonly epoch: bigint
}

export interface ChannelScan {
  readonly channel: number
  /** Where the scan began: 0, the oldest byte, or the recovery point. */
  readonly from: number
  /** `from`, and the MARKs that follow it directly: no cut is below. */
  readonly floor: number
  /** End of the last valid frame. */
  readonly end: number
  readonly tail: 'clean' | 'torn-tail'
  /** Ascending by epoch. */
  readonly seals: readonly PlacedSeal[]
  /** By ascending numbers; the first one may be from the recovery point. Only channel 0 has any. */
  readonly configs: readonly FoundConfig[]
  /** Last epoch sealed below `from`; from the recovery point. */
  readonly heldThrough: bigint
  /** An epoch known whole, from the recovery point. */
  readonly anchor: bigint
  /** Highest epoch in any valid frame. */
  readonly highestEpoch: bigint
  /** Highest STORED in a seal or MARK of this node's own masterships that no later one has given up: it must be whole. */
  readonly storedByOwn: bigint
  /** Bytes below were flushed here for certain; from here to `end` the page cache may lie. */
  readonly provenPosition: number
}

export interface RecoverOptions {
  readonly disk: Disk
  readonly directory: string
  readonly channel: number
  readonly clusterId: ClusterId
  /** Seals of masterships of this node prove what its disk held. */
  readonly nodeId: string
  readonly history: TermHistory
  /** Told how many bytes there are to read at most: files prepared ahead are counted, and mostly not read. */
  readonly onTotal?: (bytes: number) => void
  /** Scan everything: `verify` does. */
  readonly ignoreRecoveryPoint?: boolean
}

/** @throws LOG_DAMAGED, FRAME_VERSION_UNSUPPORTED, DISK_FAILED */
export function recoverChannel(options: RecoverOptions): ChannelScan {
  const { disk, channel, history } = options
  const directory = channelDirectory(options.directory, channel)
  const segments = new Segments({ disk, directory, segmentBytes: 0, access: 'read' })
  try {
    const point =
      options.ignoreRecoveryPoint === true ? undefined : readRecoveryPoint(disk, directory, channel, history)
    const from = point?.position ?? segments.firstPosition
    options.onTotal?.(Math.max(0, segments.capacityEnd() - from))
    const scan: ScanOptions = {
      segments,
      channel,
      headerSeed: headerSeed(options.clusterId, channelId(channel)),
      history,
      from,
    }
    const collector = new Collector(options, point, { from, proven: Math.max(from, ownStart(options)) })
    const end = scanFrames(scan, (frame) => collector.visit(frame))
    if (end.tail === 'torn-tail') findLater({ ...scan, from: end.end }, (frame) => collector.visitLater(frame))
    const reached = Math.min(end.end, segments.capacityEnd()) // files may be gone that a recovery point speaks of
    if (collector.provenPosition > reached)
      throw damaged(segments.pathAt(reached), channel, reached, collector.provenPosition)
    return {
      channel,
      from,
      floor: collector.floor,
      end: end.end,
      tail: end.tail,
      seals: collector.seals,
      configs: collector.configs,
      heldThrough: point?.epoch ?? 0n,
      anchor: point?.stored ?? 0n,
      highestEpoch: collector.highestEpoch,
      storedByOwn: collector.storedByOwn,
      provenPosition: collector.provenPosition,
    }
  } finally {
    segments.close()
  }
}

/** Where the last mastership of this node began: all below was made durable here before it was written down. */
function ownStart({ history, nodeId, channel }: RecoverOptions): number {
  return history.findLast((m) => m.term.nodeId === nodeId)?.starts[channel] ?? 0
}

class Collector {
  readonly #options: RecoverOptions
  readonly seals: PlacedSeal[] = []
  readonly configs: FoundConfig[] = []
  highestEpoch: bigint
  storedByOwn: bigint
  provenPosition: number
  floor: number
  #afterSealAt = -1

  constructor(options: RecoverOptions, point: RecoveryPoint | undefined, position: { from: number; proven: number }) {
    this.#options = options
    this.highestEpoch = point?.stored ?? 0n
    if (point?.config !== undefined) this.configs.push({ ...point.config, epoch: point.epoch })
    this.storedByOwn = 0n
    this.provenPosition = position.proven
    this.floor = position.from
  }

  visit(frame: ScannedFrame): void {
    const { header, position, end } = frame
    if (header.epoch > this.highestEpoch) this.highestEpoch = header.epoch
    const body = frame.frame.subarray(FRAME_HEADER_BYTES)
    const where: ErrorPlace = { channel: this.#options.channel, offset: position }
    if (header.kind === FrameKind.SEAL) {
      const seal = decodeSeal(body, where)
      this.seals.push({
        channel: this.#options.channel,
        epoch: header.epoch,
        term: header.term,
        prev: seal.prev,
        participants: seal.participants,
        end,
      })
      this.#prove(position, seal.durablePosition, seal.stored)
      this.#afterSealAt = end
    } else if (header.kind === FrameKind.MARK) {
      const mark = decodeMark(body, where)
      this.#prove(position, mark.durablePosition, mark.stored)
      const last = this.seals.at(-1)
      if (last === undefined && this.floor === position) this.floor = end
      if (last !== undefined && this.#afterSealAt === position) {
        this.seals[this.seals.length - 1] = { ...last, end }
        this.#afterSealAt = end
      }
    } else if (header.kind === FrameKind.CONFIG) {
      this.configs.push({ position, epoch: header.epoch, config: decodeConfig(body, where).config })
    }
  }

  /** Frames behind the end of the log count only for what they prove. */
  visitLater(frame: ScannedFrame): void {
    const { header, position } = frame
    if (header.epoch > this.highestEpoch) this.highestEpoch = header.epoch
    const body = frame.frame.subarray(FRAME_HEADER_BYTES)
    const where: ErrorPlace = { channel: this.#options.channel, offset: position }
    if (header.kind === FrameKind.SEAL) {
      const seal = decodeSeal(body, where)
      this.#prove(position, seal.durablePosition, seal.stored)
    } else if (header.kind === FrameKind.MARK) {
      const mark = decodeMark(body, where)
      this.#prove(position, mark.durablePosition, mark.stored)
    }
  }

  #prove(position: number, durablePosition: number, stored: bigint): void {
    const { history, channel, nodeId } = this.#options
    const term = mastershipAt(history, channel, position)?.term
    if (term?.nodeId !== nodeId) return
    if (durablePosition > this.provenPosition) this.provenPosition = durablePosition
    const held = wholeThrough(history, term.number, stored)
    if (held > this.storedByOwn) this.storedByOwn = held
  }
}

function damaged(file: string, channel: number, end: number, proven: number): TravertineError {
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot recover channel ${channel}: found no valid frame at position ${end}, expected durable bytes up to ${proven}`,
    {
      where: { file, channel, offset: end },
      hint: 'flushed bytes are damaged; nothing was changed. Keep the directory, and bring a replica up in its place',
    },
  )
}
