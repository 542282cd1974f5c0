/**
 * A replica meets a master's history: what it holds beyond the point where the two part is cut off and kept.
 *
 * The new history is durable, with its start positions, before any frame of it is accepted on any channel (DESIGN 4b).
 * As at the start of a mastership the replaced manifest alone is the cut; the surplus is in divergent/ before it.
 *
 * Two steps, since what fails means two things: `prepareAdoption` leaves the node in the history that it had; once
 * `completeAdoption` has begun and not returned, a power loss may leave either history, and in neither may anything be
 * promised before a start has read what is there.
 */
import { TravertineError } from '../protocol/errors.ts'
import { sameTerm } from '../protocol/ids.ts'
import { TERM_HISTORY_LIMIT } from '../protocol/limits.ts'
import type { Disk } from './disk.ts'
import { keepDivergent } from './divergent.ts'
import { foldProducers } from './fold-producers.ts'
import { type Manifest, prepareManifest, replaceManifest } from './manifest.ts'
import type { ProducerTableState } from './producer-table.ts'
import {
  checkHistory,
  checkMasterTerm,
  commonEnds,
  commonEpoch,
  forgetOldest,
  joinHistories,
  lastShared,
  latestTerm,
  type TermHistory,
} from './term-history.ts'

export interface AdoptResult {
  readonly manifest: Manifest
  /** Durable end per channel after the cut: where the master goes on. */
  readonly resume: readonly number[]
  readonly divergentBytes: readonly number[]
  /** Nothing of a later epoch is left where something was cut; what is whole up to here has stayed. */
  readonly commonEpoch: bigint
  /** Producer tables of the channels where something was cut: as of their `resume`. */
  readonly producers: readonly (ProducerTableState | undefined)[]
}

export interface AdoptOptions {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
  /** Durable ends of this node's channels; nothing is being appended. */
  readonly ends: readonly number[]
  readonly history: TermHistory
}

/**
 * Everything but the cut: `completeAdoption` has to follow, with nothing appended and no other manifest written between.
 *
 * @throws LOG_DROPPED, TERM_STALE, TERM_CONFLICT, HISTORY_DIVERGED, what a disk and a damaged log throw: nothing has changed
 */
export function prepareAdoption(options: AdoptOptions): AdoptResult {
  const { disk, directory, manifest, ends, history } = options
  checkHistory(history, manifest.channels)
  const term = checkMasterTerm(manifest, latestTerm(history))
  refuseForgotten(manifest.history, history)
  const common = manifest.history.length === 0 ? ends : commonEnds(manifest.history, history, manifest.channels)
  const resume = ends.map((end, channel) => Math.min(end, common[channel] ?? 0))
  const shared = commonEpoch(manifest.history, history)
  const divergentBytes = ends.map((end, channel) => {
    const from = resume[channel]! // one per channel
    if (end > from) keepDivergent(disk, directory, { channel, from, to: end, before: term.number })
    return end - from
  })
  if (latestTerm(manifest.history) !== undefined && sameTerm(latestTerm(manifest.history)!, term)) {
    return { manifest, resume, divergentBytes, commonEpoch: shared, producers: [] } // the history we have: nothing parts, nothing to write
  }
  const joined = forgetOldest(joinHistories(manifest.history, history), resume, TERM_HISTORY_LIMIT)
  const { clusterId } = manifest
  const producers = resume.map((to, channel) =>
    to < ends[channel]! ? foldProducers({ disk, directory, channel, clusterId, history: joined, to }) : undefined,
  ) // an end per channel
  const adopted: Manifest = { ...manifest, history: joined, fence: term }
  prepareManifest(disk, directory, adopted)
  return { manifest: adopted, resume, divergentBytes, commonEpoch: shared, producers }
}

/** The cut. @throws DISK_FAILED and others of the disk: nobody can say which history holds */
export function completeAdoption({ disk, directory, manifest }: AdoptOptions, prepared: AdoptResult): void {
  if (prepared.manifest !== manifest) replaceManifest(disk, directory)
}

/** Where no term is shared with a history that has forgotten some, nobody can say where the two part (WAL-48). */
function refuseForgotten(own: TermHistory, history: TermHistory): void {
  const hasForgotten = history[0]?.starts.some((start) => start > 0) === true
  if (own.length === 0 || !hasForgotten || lastShared(own, history) !== undefined) return
  throw new TravertineError(
    'LOG_DROPPED',
    `Cannot follow a history: found term ${own.at(-1)?.term.number} here, and ${history[0]?.term.number} as the oldest one there`,
    { hint: 'this replica was away for too many masterships; replace it by a new one' },
  )
}
