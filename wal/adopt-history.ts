/**
 * A replica meets a master's history: what it holds beyond the point where the two part is cut off and kept.
 *
 * The new history is durable, with its start positions, before any frame of it is accepted on any channel (DESIGN 4b).
 * As at the start of a mastership the replaced manifest alone is the cut; the surplus is in divergent/ before it.
 */
import { sameTerm } from '../protocol/ids.ts'
import type { Disk } from './disk.ts'
import { keepDivergent } from './divergent.ts'
import { type Manifest, writeManifest } from './manifest.ts'
import { checkHistory, checkMasterTerm, commonEnds, latestTerm, type TermHistory } from './term-history.ts'

export interface AdoptResult {
  readonly manifest: Manifest
  /** Durable end per channel after the cut: where the master goes on. */
  readonly resume: readonly number[]
  readonly divergentBytes: readonly number[]
}

export interface AdoptOptions {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
  /** Durable ends of this node's channels; nothing is being appended. */
  readonly ends: readonly number[]
  readonly history: TermHistory
}

/** @throws TERM_STALE, TERM_CONFLICT, HISTORY_DIVERGED, DISK_FULL, DISK_FAILED */
export function adoptHistory(options: AdoptOptions): AdoptResult {
  const { disk, directory, manifest, ends, history } = options
  checkHistory(history, manifest.channels)
  const term = checkMasterTerm(manifest, latestTerm(history))
  const common = manifest.history.length === 0 ? ends : commonEnds(manifest.history, history, manifest.channels)
  const resume = ends.map((end, channel) => Math.min(end, common[channel] ?? 0))
  const divergentBytes = ends.map((end, channel) => {
    const from = resume[channel]! // one per channel
    if (end > from) keepDivergent(disk, directory, { channel, from, to: end, before: term.number })
    return end - from
  })
  if (latestTerm(manifest.history) !== undefined && sameTerm(latestTerm(manifest.history)!, term)) {
    return { manifest, resume, divergentBytes } // the history we have: nothing parts, nothing to write
  }
  const adopted: Manifest = { ...manifest, history, fence: term }
  writeManifest(disk, directory, adopted)
  return { manifest: adopted, resume, divergentBytes }
}
