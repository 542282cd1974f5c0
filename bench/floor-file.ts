/**
 * The floor's disk: one file per channel, written with zeros and flushed before the first measurement, then overwritten
 * round and round. So every append stays inside blocks that exist already and fdatasync has no metadata to write: the
 * cheapest durable append that the file system offers.
 *
 * It is no log: no headers, no positions to come back to, nothing can be recovered from it.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync, writevSync } from 'node:fs'
import { assert } from '../protocol/assert.ts'
import { MIB } from '../protocol/limits.ts'

export class FloorFile {
  readonly #fd: number
  readonly #bytes: number
  #at = 0

  /** @param bytes must hold any batch, so more than the load has in flight */
  constructor(path: string, bytes: number) {
    this.#bytes = bytes
    this.#fd = openSync(path, 'wx')
    const zeros = Buffer.alloc(MIB)
    for (let at = 0; at < bytes; at += MIB) writeSync(this.#fd, zeros, 0, MIB, at)
    fsyncSync(this.#fd)
  }

  /** Returns when `buffers` are durable. Blocks the thread: that is what a channel thread is for (DESIGN 2). */
  append(buffers: readonly Buffer[], bytes: number): void {
    if (this.#at + bytes > this.#bytes) this.#at = 0
    const written = writevSync(this.#fd, buffers, this.#at)
    assert(written === bytes, 'a batch is written whole', { written, bytes })
    fdatasyncSync(this.#fd)
    this.#at += bytes
  }

  close(): void {
    closeSync(this.#fd)
  }
}
