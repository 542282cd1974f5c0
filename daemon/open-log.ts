/**
 * Opens the log of a data directory for a node: recovers all channels, then starts a mastership or prepares to follow.
 * Runs in the job pool; the control thread only waits for the result.
 */

import type { World } from '../protocol/world.ts'
import type { EpochSlots } from '../wal/board.ts'
import type { Manifest } from '../wal/manifest.ts'
import { configOfScans, wholeOfScans } from '../wal/mastership.ts'
import type { ProducerTableState } from '../wal/producer-table.ts'
import type { ConfigPlace } from '../wal/recovery-point.ts'
import type { Mastership } from '../wal/term-history.ts'
import type { FoundSeal } from '../wal/whole-epoch.ts'
import type { JobRunner } from './io/job-pool.ts'

export interface OpenLog {
  readonly manifest: Manifest
  /** Where each channel goes on. */
  readonly ends: readonly number[]
  /** CONFIGs on channel 0 that recovery has found. */
  readonly configs: readonly ConfigPlace[]
  /** The producer table of each channel as of its end. */
  readonly producers: readonly ProducerTableState[]
  /** Of the board to come; those of limits.ts unless said otherwise. */
  readonly epochSlots?: EpochSlots
  /** Only on a master. */
  readonly mastership: Mastership | undefined
  /** What a replica knows of its epochs. */
  readonly whole: {
    readonly whole: bigint
    readonly heldThrough: readonly bigint[]
    readonly seals: readonly FoundSeal[]
  }
  /** Bytes cut off and kept in divergent/. */
  readonly divergentBytes: number
}

export interface OpenOptions {
  readonly directory: string
  readonly manifest: Manifest
  /** Counts the bytes that are read: a Float64 per channel. */
  readonly progress?: SharedArrayBuffer
}

/** @throws LOG_DAMAGED, LOG_INCOMPLETE, FRAME_VERSION_UNSUPPORTED, DISK_FULL, DISK_FAILED */
export async function openLog(
  pool: JobRunner,
  world: Pick<World, 'randomBytes'>,
  { directory, manifest, progress }: OpenOptions,
): Promise<OpenLog> {
  const { clusterId, nodeId, history } = manifest
  const counted = progress === undefined ? {} : { progress }
  const scans = await Promise.all(
    Array.from({ length: manifest.channels }, (_, channel) =>
      pool.run('recoverChannel', { directory, channel, clusterId, nodeId, history, ...counted }),
    ),
  )
  const whole = {
    whole: wholeOfScans(manifest, scans).lastWhole,
    heldThrough: scans.map((s) => s.heldThrough),
    seals: scans.flatMap((s) => s.seals),
  }
  const configs = scans.flatMap((scan) => scan.configs)
  if (manifest.role === 'replica') {
    await pool.run('writeManifest', { directory, manifest }) // it may stand here and not be durable (makeDurable)
    await Promise.all(scans.map((scan) => pool.run('makeDurable', { directory, scan })))
    const config = configOfScans(manifest, scans, whole.whole)
    const ends = scans.map((scan) => scan.end)
    const producers = await foldAll(pool, directory, manifest, ends)
    return {
      manifest: { ...manifest, config },
      ends,
      configs,
      producers,
      mastership: undefined,
      whole,
      divergentBytes: 0,
    }
  }
  const started = await pool.run('startMastership', {
    directory,
    manifest,
    scans,
    tag: world.randomBytes(4).readUInt32LE(0) || 1,
  })
  const ends = started.mastership.starts
  return {
    manifest: started.manifest,
    ends,
    configs,
    producers: await foldAll(pool, directory, started.manifest, ends),
    mastership: started.mastership,
    whole,
    divergentBytes: sum(started.divergentBytes),
  }
}

function foldAll(
  pool: JobRunner,
  directory: string,
  { clusterId, history }: Manifest,
  ends: readonly number[],
): Promise<ProducerTableState[]> {
  return Promise.all(
    ends.map((to, channel) => pool.run('foldProducers', { directory, channel, clusterId, history, to })),
  )
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
