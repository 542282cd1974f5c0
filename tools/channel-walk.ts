/**
 * A walk over one channel's valid frames, for tools that look at a log which somebody else may be writing.
 *
 * `next` gives frame after frame, then `undefined` at the end of the channel. Asked again it looks again, from where it
 * stands: a running node may have written more. Where bytes are not valid and valid frames stand behind them it gives a
 * `Gap`, and goes on behind it. A gap is believed only at a second look: a writer puts bytes down in the order of
 * positions, so whoever has seen a later frame sees, from then on, what stands before it.
 *
 * Only reads. Judges neither epochs nor proofs: verify-channel.ts does.
 */
import { TravertineError } from '../protocol/errors.ts'
import { headerSeed } from '../protocol/frame.ts'
import { channelId } from '../protocol/ids.ts'
import type { Disk } from '../wal/disk.ts'
import { eachFrame, eachLater, type ScanEnd, type ScannedFrame, type ScanOptions } from '../wal/frame-scan.ts'
import type { Manifest } from '../wal/manifest.ts'
import { channelDirectory, Segments } from '../wal/segments.ts'

/** Bytes that are no valid frames, with valid ones behind them. */
export interface Gap {
  readonly channel: number
  readonly from: number
  readonly to: number
  /** File that holds `from`, and the offset of `from` in it. */
  readonly file: string
  readonly fileOffset: number
}

export type WalkStep =
  | { readonly frame: ScannedFrame; readonly gap?: never }
  | { readonly gap: Gap; readonly frame?: never }

export interface WalkOptions {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
  readonly channel: number
  /** Begin of a frame; without it the oldest byte. */
  readonly from?: number
}

export class ChannelWalk {
  readonly channel: number
  readonly firstPosition: number
  readonly #segments: Segments
  readonly #scan: Omit<ScanOptions, 'from'>
  #position: number
  #frames: Generator<ScannedFrame, ScanEnd, undefined> | undefined
  #tail: ScanEnd['tail'] = 'clean'

  /** @throws DIRECTORY_MISSING, DISK_FAILED */
  constructor({ disk, directory, manifest, channel, from }: WalkOptions) {
    const { clusterId, history } = manifest
    const channelPath = channelDirectory(directory, channel)
    this.channel = channel
    this.#segments = new Segments({ disk, directory: channelPath, segmentBytes: 0, access: 'read' })
    this.#scan = { segments: this.#segments, channel, headerSeed: headerSeed(clusterId, channelId(channel)), history }
    this.firstPosition = this.#segments.firstPosition
    this.#position = from ?? this.firstPosition
  }

  /** End of the last frame that was given. */
  get position(): number {
    return this.#position
  }

  /** What stands behind the end: meaningful once `next` has returned undefined. */
  get tail(): ScanEnd['tail'] {
    return this.#tail
  }

  /** What was read ahead is forgotten: the next frame is looked for in bytes that are read from now on. */
  lookAfresh(): void {
    this.#frames = undefined
  }

  pathAt(position: number): string {
    return this.#segments.pathAt(position)
  }

  /** End of the last file: where the prepared zeros end. */
  capacityEnd(): number {
    return this.#segments.capacityEnd()
  }

  /** @throws LOG_DAMAGED (a segment that is missing or cut), FRAME_VERSION_UNSUPPORTED, FRAME_KIND_UNKNOWN, DISK_FAILED */
  next(): WalkStep | undefined {
    const frame = this.#nextFrame()
    if (frame !== undefined) return { frame }
    if (this.#tail === 'clean') return undefined
    const later = eachLater({ ...this.#scan, from: this.#position }).next()
    if (later.done === true) return undefined
    const to = later.value.position
    const written = this.#nextFrame() // the second look
    if (written !== undefined) return { frame: written }
    const gap = this.#gap(to)
    this.#position = to
    return { gap }
  }

  close(): void {
    this.#segments.close()
  }

  #nextFrame(): ScannedFrame | undefined {
    this.#frames ??= eachFrame({ ...this.#scan, from: this.#position })
    const next = this.#frames.next()
    if (next.done === true) {
      this.#frames = undefined
      this.#tail = next.value.tail
      return undefined
    }
    this.#position = next.value.end
    return next.value
  }

  #gap(to: number): Gap {
    const from = this.#position
    const fileOffset = from - this.#segments.baseAt(from)
    return { channel: this.channel, from, to, file: this.pathAt(from), fileOffset }
  }
}

/** A gap as an error. `proven`: something says for certain that its bytes had been flushed on this node. */
export function gapError(gap: Gap, proven: boolean): TravertineError {
  const { channel, from, to, file, fileOffset } = gap
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot read channel ${channel} at position ${from}: found ${to - from} bytes that are no valid frame, expected a frame, as valid ones follow at ${to}`,
    { where: { file, channel, offset: from }, hint: `${proven ? PROVEN : UNPROVEN} (byte ${fileOffset} of the file)` },
  )
}

const PROVEN = 'flushed bytes are damaged: keep the directory, and bring a replica up in its place'
const UNPROVEN =
  'damage, or what a crash left of the last write: a replica takes these bytes again from its master when it starts'
