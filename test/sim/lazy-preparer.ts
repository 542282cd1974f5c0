/**
 * A preparer that never gets ahead: it makes a segment at the moment when its writer waits for it. Every other one has a
 * hole, as those of a writer in a hurry.
 */
import type { Disk } from '../../wal/disk.ts'
import { type Preparer, prepareSegment } from '../../wal/segments.ts'

export class LazyPreparer implements Preparer {
  readonly #disk: Disk
  readonly #directory: string
  readonly #segmentBytes: number
  #asked: number | undefined

  constructor(disk: Disk, directory: string, segmentBytes: number) {
    this.#disk = disk
    this.#directory = directory
    this.#segmentBytes = segmentBytes
  }

  get isBusy(): boolean {
    return this.#asked !== undefined
  }

  ask(base: number): void {
    this.#asked = base
  }

  wait(base: number): void {
    if (this.#asked === undefined) return
    this.#asked = undefined
    const isOdd = (base / this.#segmentBytes) % 2 === 1
    prepareSegment(this.#disk, this.#directory, { base, bytes: this.#segmentBytes, mayLeaveHole: () => isOdd })
  }
}
