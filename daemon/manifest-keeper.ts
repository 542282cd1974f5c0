/**
 * The manifest of a node that runs. It is replaced by one job of the pool after the other: each begins with what the one
 * before has left, so no change is lost to another one.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ClusterConfig } from '../protocol/cluster-config.ts'
import { fromWireError, type TravertineError } from '../protocol/errors.ts'
import type { AdoptOptions, AdoptResult } from '../wal/adopt-history.ts'
import type { Manifest } from '../wal/manifest.ts'
import type { JobRunner } from './io/job-pool.ts'

export interface ManifestKeeperOptions {
  readonly pool: JobRunner
  readonly directory: string
  readonly manifest: Manifest
}

export class ManifestKeeper {
  readonly #options: ManifestKeeperOptions
  #current: Manifest
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: ManifestKeeperOptions) {
    this.#options = options
    this.#current = options.manifest
  }

  get current(): Manifest {
    return this.#current
  }

  /** @throws DISK_FULL, DISK_FAILED */
  setConfig(config: ClusterConfig): Promise<void> {
    return this.#behind(async () => {
      // not by its number: a change of history may have given up another config of the same one
      if (isDeepStrictEqual(config, this.#current.config)) return
      const manifest = { ...this.#current, config }
      await this.#options.pool.run('writeManifest', { directory: this.#options.directory, manifest })
      this.#current = manifest
    })
  }

  /**
   * @returns an error: nothing has changed
   * @throws what `completeAdoption` throws: the disk may hold another history than `current`
   */
  adopt(from: Omit<AdoptOptions, 'disk' | 'directory' | 'manifest'>): Promise<AdoptResult | TravertineError> {
    const { pool, directory } = this.#options
    return this.#behind(async () => {
      const result = await pool.run('adoptHistory', { ...from, directory, manifest: this.#current })
      if ('refused' in result) return fromWireError(result.refused)
      this.#current = result.manifest
      return result
    })
  }

  #behind<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work)
    this.#last = mine.catch(() => undefined) // whoever asked for it hears of it
    return mine
  }
}
