/**
 * An open file of the simulated disk. It belongs to the life of the disk in which it was opened: copies and survivors
 * of that disk know nothing of it.
 */
import { assert } from '../../protocol/assert.ts'
import type { TravertineError } from '../../protocol/errors.ts'
import type { DiskFile } from '../../wal/disk.ts'
import { diskError } from '../../wal/disk-error.ts'
import type { SimFile } from './sim-file.ts'

export type StepKind =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'syncData'
  | 'close'
  | 'rename'
  | 'unlink'
  | 'makeDirectory'
  | 'list'
  | 'exists'
  | 'syncDirectory'
  | 'freeBytes'

/** One operation on the disk, told before it is done. */
export interface SimStep {
  /** 1 for the first operation in the life of this disk. */
  readonly index: number
  readonly kind: StepKind
  readonly path: string
  readonly offset?: number
  readonly bytes?: number
}

/** An operation that is going to fail. */
export interface SimFault {
  readonly kind: StepKind
  /** Which of the matching operations from now on; 1 (the next) if not said. */
  readonly nth?: number
  /** Only operations on paths with this end count. */
  readonly path?: string
  /** EIO if not said. */
  readonly errno?: string
  /** Bytes that a failing write puts down before it fails; 0 if not said. */
  readonly takenBytes?: number
  /** The n-th and all that follow. */
  readonly forEver?: boolean
}

/** What a handle needs of its disk. */
export interface HandleHost {
  /** Announces the operation. @returns the fault that hits it */
  begin(step: Omit<SimStep, 'index'>): SimFault | undefined
  /** A flush has done what it can. */
  flushed(file: SimFile): void
  /** Counts a change. */
  stamp(): number
  /** Bytes that files may still take. */
  room(): number
}

export class SimHandle implements DiskFile {
  readonly path: string
  readonly #file: SimFile
  readonly #access: 'read' | 'write'
  readonly #host: HandleHost
  #closed = false

  constructor(path: string, file: SimFile, access: 'read' | 'write', host: HandleHost) {
    this.path = path
    this.#file = file
    this.#access = access
    this.#host = host
  }

  bytes(): number {
    this.#assertOpen()
    return this.#file.size
  }

  read(target: Uint8Array, offset: number): number {
    this.#assertOpen(offset)
    const fault = this.#host.begin({ kind: 'read', path: this.path, offset, bytes: target.length })
    if (fault !== undefined) throw simError('read', fault.errno ?? 'EIO', this.path, offset)
    return this.#file.read(target, offset)
  }

  write(buffers: readonly Uint8Array[], offset: number): void {
    this.#assertOpen(offset)
    const bytes = buffers.length === 1 ? buffers[0]! : Buffer.concat(buffers)
    if (bytes.length === 0) return
    const fault = this.#host.begin({ kind: 'write', path: this.path, offset, bytes: bytes.length })
    if (this.#access === 'read') throw simError('write', 'EBADF', this.path, offset)
    // A write over what was written before needs no room: that is what prepared segments are for.
    const fits = this.#file.bytesThatFit(offset, bytes.length, Math.max(0, this.#host.room()))
    const taken = Math.min(fits, fault === undefined ? bytes.length : (fault.takenBytes ?? 0))
    this.#file.write(bytes.subarray(0, taken), offset, this.#host.stamp())
    if (fault !== undefined) throw simError('write', fault.errno ?? 'EIO', this.path, offset + taken)
    if (taken < bytes.length) throw simError('write', 'ENOSPC', this.path, offset + taken)
  }

  syncData(): void {
    this.#assertOpen()
    const fault = this.#host.begin({ kind: 'syncData', path: this.path })
    this.#host.stamp()
    this.#file.syncData(fault !== undefined)
    this.#host.flushed(this.#file)
    if (fault !== undefined) throw simError('syncData', fault.errno ?? 'EIO', this.path)
  }

  close(): void {
    this.#assertOpen()
    this.#closed = true
    const fault = this.#host.begin({ kind: 'close', path: this.path })
    if (fault !== undefined) throw simError('close', fault.errno ?? 'EIO', this.path)
  }

  #assertOpen(offset = 0): void {
    assert(!this.#closed, 'a closed file is not used', { path: this.path })
    assert(Number.isSafeInteger(offset) && offset >= 0, 'a file offset is a whole number', { offset })
  }
}

/** Through the same table as the real disk: the same errno gives the same code and hint. */
export function simError(kind: StepKind, errno: string, path: string, offset?: number): TravertineError {
  const thrown = Object.assign(new Error(`${errno} (simulated)`), { code: errno })
  const where = offset === undefined ? { file: path } : { file: path, offset }
  return diskError(thrown, { action: `do ${kind} on the simulated disk`, expected: 'success', where })
}
