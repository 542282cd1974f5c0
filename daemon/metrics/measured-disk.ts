/**
 * The Disk door with a stop-watch: how long the writes and flushes of a channel take. wal/ itself looks at no clock.
 *
 * A channel writes and flushes once per batch, so this costs four looks at the clock per batch, whatever is in it.
 */
import type { Disk, DiskFile } from '../../wal/disk.ts'

/** Hears of each call when it has returned. */
export interface DiskMeter {
  read?(bytes: number): void
  wrote?(milliseconds: number): void
  flushed?(milliseconds: number): void
}

export class MeasuredDisk implements Disk {
  readonly #disk: Disk
  readonly #meter: DiskMeter

  constructor(disk: Disk, meter: DiskMeter) {
    this.#disk = disk
    this.#meter = meter
  }

  open(path: string, access: 'read' | 'write'): DiskFile {
    return new MeasuredFile(this.#disk.open(path, access), this.#meter)
  }

  create(path: string): DiskFile {
    return this.#disk.create(path)
  }

  rename(from: string, to: string): void {
    this.#disk.rename(from, to)
  }

  unlink(path: string): void {
    this.#disk.unlink(path)
  }

  makeDirectory(path: string): void {
    this.#disk.makeDirectory(path)
  }

  list(path: string): string[] {
    return this.#disk.list(path)
  }

  exists(path: string): boolean {
    return this.#disk.exists(path)
  }

  syncDirectory(path: string): void {
    this.#disk.syncDirectory(path)
  }

  freeBytes(path: string): number {
    return this.#disk.freeBytes(path)
  }
}

class MeasuredFile implements DiskFile {
  readonly path: string
  readonly #file: DiskFile
  readonly #meter: DiskMeter

  constructor(file: DiskFile, meter: DiskMeter) {
    this.path = file.path
    this.#file = file
    this.#meter = meter
  }

  bytes(): number {
    return this.#file.bytes()
  }

  read(target: Uint8Array, offset: number): number {
    const bytes = this.#file.read(target, offset)
    this.#meter.read?.(bytes)
    return bytes
  }

  write(buffers: readonly Uint8Array[], offset: number): void {
    const before = performance.now()
    this.#file.write(buffers, offset)
    this.#meter.wrote?.(performance.now() - before)
  }

  syncData(): void {
    const before = performance.now()
    this.#file.syncData()
    this.#meter.flushed?.(performance.now() - before)
  }

  close(): void {
    this.#file.close()
  }
}
