/**
 * Reads the log of a data directory, and only reads: no lock, no side file, nothing written. Works while a node runs there.
 *
 * What is handed out is *committed*: frames of whole epochs (WAL-44), below the cut of each channel. What lies beyond may
 * still be cut, so it is only told of (`scans`, `missing`).
 *
 * A running node writes while we look, so a first look can see a tail that is half there. Two rules make that safe:
 * a complaint counts only if a second look, begun afterwards, makes the same complaint at the same place; and a scan
 * counts only if the term history is still the same when it ends. Bytes below a cut never change under one history.
 */
import { decodeEntries, type LoggedEntry, walkBody } from '../protocol/entry.ts'
import { TravertineError } from '../protocol/errors.ts'
import { FLAG_EXPLICIT_VERSIONS, FRAME_HEADER_BYTES, FrameKind, headerSeed } from '../protocol/frame.ts'
import { channelId, sameTerm } from '../protocol/ids.ts'
import type { Disk } from '../wal/disk.ts'
import { eachFrame, type ScannedFrame } from '../wal/frame-scan.ts'
import { type Manifest, readManifest } from '../wal/manifest.ts'
import { cutOf, wholeOfScans } from '../wal/mastership.ts'
import { NodeDisk } from '../wal/node-disk.ts'
import { type ChannelScan, recoverChannel } from '../wal/recover.ts'
import { channelDirectory, Segments } from '../wal/segments.ts'
import type { TermHistory } from '../wal/term-history.ts'

export interface ReadLogOptions {
  readonly directory: string
  /** Scan from the oldest byte, and believe no recovery point. */
  readonly ignoreRecoveryPoint?: boolean
  readonly disk?: Disk
}

/** A committed frame. `frame` (header and body) is a view that is valid until the next step: copy what has to stay. */
export interface LogFrame extends ScannedFrame {
  readonly channel: number
}

/** A committed entry. Its key and value are views that are valid until the next frame: copy what has to stay. */
export interface LogEntry {
  readonly epoch: bigint
  readonly channel: number
  /** Position of its frame. */
  readonly position: number
  /** Index within its frame. */
  readonly index: number
  /** With its write version, derived where the frame does not carry it. */
  readonly entry: LoggedEntry
}

export interface FrameFilter {
  /** Only this channel. */
  readonly channel?: number
  /** Only frames of this epoch and later ones. */
  readonly fromEpoch?: bigint
}

export interface ReadableLog {
  readonly manifest: Manifest
  readonly scans: readonly ChannelScan[]
  /** Last whole epoch; 0 if there is none. */
  readonly whole: bigint
  /** Why the next epoch is not whole: channels whose seal is missing. Undefined if nothing lies beyond. */
  readonly missing: { readonly epoch: bigint; readonly channels: readonly number[] } | undefined
  /** Per channel the position behind the last whole epoch. */
  readonly cuts: readonly number[]
  /** Committed frames, seals and marks too, ordered by (epoch, channel, position). @throws LOG_DAMAGED */
  frames(filter?: FrameFilter): Generator<LogFrame, void, undefined>
  /** Committed entries in the same order. @throws LOG_DAMAGED */
  entries(filter?: FrameFilter): Generator<LogEntry, void, undefined>
}

/** Looks at one place before a complaint about it is believed. A busy tail may race several times, at different places. */
const LOOKS_MAX = 50

/**
 * @throws DIRECTORY_MISSING, DIRECTORY_NOT_INITIALISED, MANIFEST_CORRUPT, FORMAT_UNSUPPORTED, LOG_DAMAGED,
 *   FRAME_VERSION_UNSUPPORTED, DISK_FAILED
 */
export function readLog(options: ReadLogOptions): ReadableLog {
  const { manifest, channels } = scanDirectory(options)
  const scans = channels.map((found) => {
    if (found.scan === undefined) throw found.error
    return found.scan
  })
  const { lastWhole, missing } = wholeOfScans(manifest, scans)
  const disk = options.disk ?? new NodeDisk()
  const cuts = scans.map((scan) => cutOf(scan, lastWhole))
  const source: FrameSource = { disk, directory: options.directory, manifest, cuts }
  return {
    manifest,
    scans,
    whole: lastWhole,
    missing,
    cuts,
    frames: (filter = {}) => committedFrames(source, filter),
    entries: (filter = {}) => committedEntries(source, filter),
  }
}

/** A channel's scan, or why there is none. */
export type FoundChannel =
  | { readonly channel: number; readonly scan: ChannelScan; readonly error?: never }
  | { readonly channel: number; readonly scan?: never; readonly error: TravertineError }

export interface ScannedDirectory {
  readonly manifest: Manifest
  /** One per channel; a damaged one does not hide the others. */
  readonly channels: readonly FoundChannel[]
}

/** @throws only where nothing can be said at all: about the directory and its manifest */
export function scanDirectory(options: ReadLogOptions): ScannedDirectory {
  const disk = options.disk ?? new NodeDisk()
  let manifest = readManifest(disk, options.directory)
  for (let look = 1; ; look++) {
    const { history } = manifest
    const channels = Array.from({ length: manifest.channels }, (_, channel) =>
      scanChannel(disk, options, manifest, channel),
    )
    manifest = readManifest(disk, options.directory)
    if (sameHistory(manifest.history, history) || look === LOOKS_MAX) return { manifest, channels }
  }
}

function scanChannel(disk: Disk, options: ReadLogOptions, manifest: Manifest, channel: number): FoundChannel {
  const { clusterId, nodeId, history } = manifest
  const ignoreRecoveryPoint = options.ignoreRecoveryPoint === true
  let before: TravertineError | undefined
  for (let look = 1; ; look++) {
    try {
      const scan = recoverChannel({
        disk,
        directory: options.directory,
        channel,
        clusterId,
        nodeId,
        history,
        ignoreRecoveryPoint,
      })
      return { channel, scan }
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      if ((before !== undefined && sameComplaint(before, error)) || look === LOOKS_MAX) return { channel, error }
      before = error
    }
  }
}

const sameComplaint = (a: TravertineError, b: TravertineError): boolean =>
  a.code === b.code && a.where.file === b.where.file && a.where.offset === b.where.offset

/** A new mastership, ours or a master's that we follow, may have cut what was read. */
export function sameHistory(a: TermHistory, b: TermHistory): boolean {
  return a.length === b.length && a.every((m, i) => sameTerm(m.term, b[i]!.term)) // as long as a
}

interface FrameSource {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
  readonly cuts: readonly number[]
}

function* committedEntries(source: FrameSource, filter: FrameFilter): Generator<LogEntry, void, undefined> {
  for (const frame of committedFrames(source, filter)) {
    const { channel, position, header } = frame
    if (header.kind !== FrameKind.ENTRIES) continue
    let index = 0
    for (const entry of entriesOf(frame, channel))
      yield { epoch: header.epoch, channel, position, index: index++, entry }
  }
}

/**
 * Entries of an ENTRIES frame with good CRCs, with their write versions. The body is walked first: it may come from a
 * program that was broken. @throws ENTRY_MALFORMED
 */
export function entriesOf({ header, frame, position }: ScannedFrame, channel: number): Generator<LoggedEntry> {
  const explicit = (header.flags & FLAG_EXPLICIT_VERSIONS) !== 0
  const derive = explicit ? undefined : { major: header.epoch, minor: header.firstMinor }
  const body = frame.subarray(FRAME_HEADER_BYTES)
  walkBody(body, 0, body.length, explicit, { channel, offset: position })
  return decodeEntries(body, derive)
}

/** Merges the channels by epoch. Each channel is in epoch order already (WAL-34). */
function* committedFrames(source: FrameSource, filter: FrameFilter): Generator<LogFrame, void, undefined> {
  const channels = Array.from({ length: source.manifest.channels }, (_, channel) => channel)
  const wanted = channels.filter((channel) => filter.channel === undefined || channel === filter.channel)
  const heads = wanted.map((channel) => new ChannelCursor(source, channel))
  const fromEpoch = filter.fromEpoch ?? 0n
  try {
    for (const head of heads) head.step()
    for (;;) {
      let first: ChannelCursor | undefined
      for (const head of heads)
        if (head.now !== undefined && (first === undefined || head.epoch < first.epoch)) first = head
      if (first?.now === undefined) return
      if (first.epoch >= fromEpoch) yield first.now
      first.step()
    }
  } finally {
    for (const head of heads) head.close()
  }
}

/** One channel's committed frames, one at a time. */
class ChannelCursor {
  now: LogFrame | undefined
  /** Epoch by which `now` is ordered: a MARK has none and stays with what stands before it. */
  epoch = 0n
  readonly #channel: number
  readonly #cut: number
  readonly #segments: Segments
  readonly #frames: ReturnType<typeof eachFrame>

  constructor(source: FrameSource, channel: number) {
    const { disk, manifest } = source
    const directory = channelDirectory(source.directory, channel)
    this.#channel = channel
    this.#cut = source.cuts[channel] ?? 0
    this.#segments = new Segments({ disk, directory, segmentBytes: 0, access: 'read' })
    this.#frames = eachFrame({
      segments: this.#segments,
      channel,
      headerSeed: headerSeed(manifest.clusterId, channelId(channel)),
      history: manifest.history,
      from: this.#segments.firstPosition,
      to: this.#cut,
    })
  }

  step(): void {
    const next = this.#frames.next()
    if (next.done === true) {
      this.now = undefined
      // frames fill the log up to the cut exactly, or bytes below it have been damaged
      if (next.value.end < this.#cut) throw this.#damaged(next.value.end)
      return
    }
    const { header, frame, position, end } = next.value
    if (header.kind !== FrameKind.MARK) this.epoch = header.epoch
    this.now = { channel: this.#channel, position, end, header, frame }
  }

  close(): void {
    this.#segments.close()
  }

  #damaged(position: number): TravertineError {
    const file = this.#segments.pathAt(position)
    return new TravertineError(
      'LOG_DAMAGED',
      `Cannot read channel ${this.#channel}: found no valid frame at position ${position}, expected whole epochs up to ${this.#cut}`,
      {
        where: { file, channel: this.#channel, offset: position },
        hint: 'run `travertine verify` on this directory; if its log was cut meanwhile, read again',
      },
    )
  }
}
