/**
 * The start of a mastership: the one way in which a log becomes writable (DESIGN 4b). Restart, promotion and switchover
 * alike; every one gets a new term.
 *
 *   1 compute the last whole epoch, and per channel where it ends
 *   2 refuse if that is below where the newest mastership of the history began, or below a STORED that this node has sealed
 *   3 persist the fence: the new term is promised
 *   4 make what was scanned durable: the page cache may show bytes that a failed fdatasync dropped, so what no seal
 *     proves is written once more and flushed; and names that a killed process had not flushed
 *   5 copy what lies beyond to divergent/
 *   6 replace the manifest: new term, first epoch, start per channel. This alone is the cut, on all channels at once
 *
 * Steps 1 and 2 only look at the manifest and the scans, which stay true: nobody else writes to the directory, nothing is
 * received meanwhile, and step 4 writes the bytes that stand there. So a start that is refused has changed nothing and
 * promises no term, however often it is tried: as a replica the node would refuse a master whose term is below its fence,
 * the very one that has taken over, or that it has to catch up from.
 *
 * Before step 6 every step can be repeated after a crash; after it older frames beyond the starts are invalid by term.
 * Nothing is appended before it.
 */
import type { ClusterConfig } from '../protocol/cluster-config.ts'
import { TravertineError } from '../protocol/errors.ts'
import { byteOffset, epoch, type Term, termNumber } from '../protocol/ids.ts'
import { MIB, TERM_HISTORY_LIMIT } from '../protocol/limits.ts'
import { type Disk, joinPath } from './disk.ts'
import { keepDivergent } from './divergent.ts'
import { type Manifest, writeManifest } from './manifest.ts'
import type { ChannelScan } from './recover.ts'
import { channelDirectory, listSegments, Segments, segmentName } from './segments.ts'
import { forgetOldest, type Mastership } from './term-history.ts'
import { lastWholeEpoch, type WholeResult } from './whole-epoch.ts'

export interface StartOptions {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
  /** Scans of all channels, made under `manifest.history`. */
  readonly scans: readonly ChannelScan[]
  /** Random tag of the new term, 1 to 2^32 - 1. */
  readonly tag: number
  /** Masterships that are kept in the history; all that may be sent unless said otherwise. */
  readonly historyLimit?: number
}

export interface StartResult {
  readonly manifest: Manifest
  readonly mastership: Mastership
  /** Bytes per channel that were cut and kept in divergent/. */
  readonly divergentBytes: readonly number[]
}

/** @throws LOG_INCOMPLETE: nothing has changed; DISK_FULL, DISK_FAILED */
export function startMastership(options: StartOptions): StartResult {
  const { disk, directory, scans } = options
  const whole = wholeOfScans(options.manifest, scans) // 1
  const starts = scans.map((scan) => cutOf(scan, whole.lastWhole))
  refuseBelowHistory(options.manifest.history.at(-1), scans, starts, whole) // 2
  refuseBelowStored(whole, scans)
  const term = nextTerm(options)
  const fenced: Manifest = { ...options.manifest, fence: term }
  writeManifest(disk, directory, fenced) // 3
  for (const scan of scans) makeDurable(disk, directory, scan) // 4
  const divergentBytes = scans.map((scan, i) => {
    const start = starts[i]! // one per scan
    if (scan.end > start)
      keepDivergent(disk, directory, { channel: scan.channel, from: start, to: scan.end, before: term.number }) // 5
    return scan.end - start
  })
  const highest = scans.reduce(
    (max, scan) => (scan.highestEpoch > max ? scan.highestEpoch : max),
    highestOfHistory(options.manifest),
  )
  const mastership: Mastership = {
    term,
    firstEpoch: epoch(highest + 1n),
    baseEpoch: epoch(whole.lastWhole),
    starts: starts.map(byteOffset),
  }
  const config = configOfScans(options.manifest, scans, whole.lastWhole)
  const manifest: Manifest = {
    ...fenced,
    config,
    history: forgetOldest(
      [...options.manifest.history, mastership],
      starts,
      options.historyLimit ?? TERM_HISTORY_LIMIT,
    ),
  }
  writeManifest(disk, directory, manifest) // 6
  return { manifest, mastership, divergentBytes }
}

/** The last whole epoch of a log, by its scans. Also what a replica, `inspect` and `verify` show. */
export function wholeOfScans(manifest: Pick<Manifest, 'history'>, scans: readonly ChannelScan[]): WholeResult {
  const anchor = scans.reduce((max, scan) => (scan.anchor > max ? scan.anchor : max), anchorOfHistory(manifest, scans))
  return lastWholeEpoch({
    anchor,
    heldThrough: scans.map((scan) => scan.heldThrough),
    seals: scans.flatMap((scan) => scan.seals),
  })
}

/**
 * The config that holds for a log: the newest CONFIG in a whole epoch, or the manifest's if that is newer. A master writes
 * its manifest only after the CONFIG is STORED, a replica hears of a config before its log has come so far (WAL-78). Of two with
 * one number the log's: the other one may have been given up by a change of history.
 */
export function configOfScans(
  { config }: Pick<Manifest, 'config'>,
  scans: readonly ChannelScan[],
  whole: bigint,
): ClusterConfig {
  const newest = scans[0]?.configs.findLast((found) => found.epoch <= whole)?.config
  return newest !== undefined && newest.number >= config.number ? newest : config
}

/**
 * Base epoch of the oldest mastership that the scans reach into. Where all scans begin at the oldest byte that is the
 * first of all; younger bases follow along the chain of `prev`.
 */
function anchorOfHistory(manifest: Pick<Manifest, 'history'>, scans: readonly ChannelScan[]): bigint {
  const reached = manifest.history.findLast((m) => scans.every((scan) => (m.starts[scan.channel] ?? 0) <= scan.from))
  return reached?.baseEpoch ?? 0n
}

function highestOfHistory(manifest: Manifest): bigint {
  return manifest.history.reduce((max, m) => (m.firstEpoch - 1n > max ? m.firstEpoch - 1n : max), 0n)
}

function nextTerm(options: StartOptions): Term {
  const { manifest, tag } = options
  const last = manifest.history.at(-1)?.term.number ?? 0n
  const fence = manifest.fence?.number ?? 0n
  return { number: termNumber((last > fence ? last : fence) + 1n), nodeId: manifest.nodeId, tag }
}

/** Position behind the last seal of an epoch up to `whole`; the floor of the scan if there is none. */
export function cutOf(scan: ChannelScan, whole: bigint): number {
  return scan.seals.findLast((seal) => seal.epoch <= whole)?.end ?? scan.floor
}

/**
 * Positions and epochs of a history never go back: every other node would refuse one that does, for ever (HISTORY_DIVERGED),
 * and what this node lacks may have been PROPAGATED. It is a replica that has adopted a history and not received it yet, or
 * has lost it since, with its power, and was made master. (Where the newest mastership is this node's own, bytes below its
 * starts are proven: recovery has found LOG_DAMAGED.)
 */
function refuseBelowHistory(
  newest: Mastership | undefined,
  scans: readonly ChannelScan[],
  starts: readonly number[],
  { lastWhole }: WholeResult,
): void {
  if (newest === undefined) return
  const { number } = newest.term
  const hint =
    'what was written before that term has not come here, or is gone; nothing was changed. Make a node master that holds it'
  // where an epoch is not whole all channels are cut before it: the one that lacks bytes is to be named
  const lacks = scans.findIndex(({ end }, i) => end < newest.starts[i]!) // a start per channel
  const channel = lacks !== -1 ? lacks : starts.findIndex((start, i) => start < newest.starts[i]!)
  if (channel !== -1)
    throw new TravertineError(
      'LOG_INCOMPLETE',
      `Cannot start as master: found the last whole epoch end at ${starts[channel]}, expected at least ${newest.starts[channel]}, where term ${number} began`,
      { where: { epoch: lastWhole, channel, offset: starts[channel]! }, hint }, // found above
    )
  if (lastWhole < newest.baseEpoch)
    throw new TravertineError(
      'LOG_INCOMPLETE',
      `Cannot start as master: found epoch ${lastWhole} as the last whole one, expected at least ${newest.baseEpoch}, the last one before term ${number}`,
      { where: { epoch: lastWhole }, hint },
    )
}

function refuseBelowStored(whole: WholeResult, scans: readonly ChannelScan[]): void {
  for (const scan of scans) {
    if (scan.storedByOwn <= whole.lastWhole) continue
    const { missing, lastWhole } = whole
    const [channel] = missing?.channels ?? []
    throw new TravertineError(
      'LOG_INCOMPLETE',
      `Cannot start as master: found epoch ${lastWhole} as the last whole one, expected at least ${scan.storedByOwn}, which channel ${scan.channel} says was STORED`,
      {
        // where all seals of the next epoch are gone, nobody can say which channels it had
        where: channel === undefined ? { epoch: lastWhole } : { epoch: missing?.epoch ?? lastWhole, channel },
        hint: 'flushed bytes are gone; nothing was changed. Keep the directory, and let a replica take over',
      },
    )
  }
}

/**
 * Writes again what no seal proves durable, and flushes it. After a failed fdatasync the kernel may keep pages that it
 * believes clean: only a new write makes them dirty, so that the flush tells the truth.
 *
 * And flushes the names. A process that was killed right after a rename (of a segment that it prepared) leaves a file that
 * everybody sees, and that a power loss takes away with all that was answered from it. Where the flush had failed, only
 * another change of the name makes the next one tell the truth. The manifest's name is changed by whoever starts: a
 * master writes it as step 3, a replica writes what it has read.
 */
export function makeDurable(disk: Disk, directory: string, scan: ChannelScan): void {
  const folder = channelDirectory(directory, scan.channel)
  renewNames(disk, folder, scan.end)
  if (scan.end === scan.provenPosition) return
  const segments = new Segments({ disk, directory: folder, segmentBytes: 0, access: 'write' })
  try {
    const buffer = Buffer.alloc(Math.min(MIB, scan.end - scan.provenPosition))
    for (let at = scan.provenPosition; at < scan.end; ) {
      const part = buffer.subarray(0, Math.min(buffer.length, scan.end - at))
      const got = segments.read(at, part)
      segments.write(at, [part.subarray(0, got)], got)
      at += got
    }
    segments.syncData()
  } finally {
    segments.close()
  }
}

/**
 * Names of segments that were prepared and never written: changed, and changed back. The last one goes first and comes back
 * last, each flushed before the next: never is one missing that has another one behind it, which would be damage. What a
 * crash leaves of it is a side file, as after one in the middle of preparing. (A segment that was written to is not among
 * them: its writer has waited until its name was flushed.)
 */
function renewNames(disk: Disk, folder: string, end: number): void {
  const unused = listSegments(disk, folder).filter((base) => base > 0 && base >= end) // the first one is init's
  const paths = unused.map((base) => joinPath(folder, segmentName(base)))
  for (const path of [...paths].reverse()) {
    disk.rename(path, `${path}.new`)
    disk.syncDirectory(folder)
  }
  for (const path of paths) {
    disk.rename(`${path}.new`, path)
    disk.syncDirectory(folder)
  }
}
