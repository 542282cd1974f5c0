/**
 * What a channel's log says of its producers, for `inspect`: the table that a node would go on with (WAL-69), newest first.
 *
 * Made as a node makes it, from the recovery point on; nobody's table is asked, and nothing is kept.
 */
import { TravertineError } from '../protocol/errors.ts'
import type { Disk } from '../wal/disk.ts'
import { foldProducers } from '../wal/fold-producers.ts'
import type { Manifest } from '../wal/manifest.ts'

export interface InspectedProducer {
  /** u64 as decimal text. */
  readonly id: string
  /** Its last session in the log, and where that stands. */
  readonly last: number
  readonly epoch: bigint
  readonly term: bigint
  /** Of sessions below nothing is known. */
  readonly judgedFrom: number
  /** Ranges of sessions below `last` that are not in the log. */
  readonly missing: readonly (readonly [from: number, to: number])[]
}

export interface InspectedProducers {
  /** One whose last session is not in a later epoch may have been forgotten; 0: none was. */
  readonly evictedEpoch: bigint
  readonly newest: readonly InspectedProducer[]
}

export interface ProducersPlace {
  readonly disk: Disk
  readonly directory: string
  readonly manifest: Manifest
}

/** @param to the end of a valid frame. Undefined where the files cannot be read: what is wrong is told elsewhere */
export function inspectProducers(
  { disk, directory, manifest }: ProducersPlace,
  channel: number,
  to: number,
): InspectedProducers | undefined {
  const { clusterId, history } = manifest
  try {
    const { evictedEpoch, producers } = foldProducers({ disk, directory, channel, clusterId, history, to })
    const newest = producers.map(([id, last, epoch, term, judgedFrom, missing]) => ({
      id,
      last,
      epoch: BigInt(epoch),
      term: BigInt(term),
      judgedFrom,
      missing: pairsOf(missing),
    }))
    return { evictedEpoch: BigInt(evictedEpoch), newest: newest.reverse() }
  } catch (error) {
    if (error instanceof TravertineError) return undefined
    throw error
  }
}

/** Lines for people; of many producers the newest. */
export function producerLines(producers: InspectedProducers): string[] {
  const { newest, evictedEpoch } = producers
  const forgotten = evictedEpoch === 0n ? '' : `; others, up to epoch ${evictedEpoch}, may be forgotten`
  const lines = [`${newest.length}${forgotten}`]
  for (const { id, last, epoch, term, missing, judgedFrom } of newest.slice(0, LINES_MAX)) {
    const gaps = missing.map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(', ')
    const known = judgedFrom === 1 ? '' : `; nothing is known below session ${judgedFrom}`
    lines.push(
      `${id}: last session ${last} in epoch ${epoch} of term ${term}${gaps === '' ? '' : `; missing ${gaps}`}${known}`,
    )
  }
  if (newest.length > LINES_MAX) lines.push(`... and ${newest.length - LINES_MAX} older ones, see --json`)
  return lines
}

const LINES_MAX = 10

function pairsOf(numbers: readonly number[]): [number, number][] {
  const pairs: [number, number][] = []
  for (let i = 0; i + 1 < numbers.length; i += 2) pairs.push([numbers[i]!, numbers[i + 1]!]) // both are there
  return pairs
}
