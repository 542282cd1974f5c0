/**
 * The only door to the disk. Everything in wal/ is written against it; production stands on node-disk.ts, tests on a
 * simulated disk that loses whatever was not made durable.
 *
 * What is promised: `write` puts all bytes into the file as this process and others see it, or throws. What is *not*
 * promised: that anything survives a power cut before `syncData` / `sync` of that file returned; that unflushed writes
 * survive in order, whole, or at all (any subset of 512-byte sectors may); that a created, renamed or unlinked name
 * survives before `syncDirectory` of its directory returned; that after a failed `syncData` a second one tells the
 * truth (the page cache may have dropped the pages: never retry).
 *
 * All methods are synchronous: the threads that use them have nothing else to do. Errors are `TravertineError`s:
 * DISK_FULL, DISK_FAILED, DIRECTORY_MISSING, DIRECTORY_READ_ONLY.
 */
export interface DiskFile {
  readonly path: string
  /** Size of the file now. */
  bytes(): number
  /** Reads up to `target.length` bytes at `offset`; fewer only at the end of the file. */
  read(target: Uint8Array, offset: number): number
  /** Writes all buffers one behind the other from `offset` on. */
  write(buffers: readonly Uint8Array[], offset: number): void
  /** fdatasync: bytes written so far survive (and the size, where a write has changed it). */
  syncData(): void
  /** Closes the file; makes nothing durable. */
  close(): void
}

export interface Disk {
  /** Opens an existing file. @throws DIRECTORY_MISSING if there is none */
  open(path: string, access: 'read' | 'write'): DiskFile
  /** Creates an empty file, or empties an existing one. The name is durable only after `syncDirectory`. */
  create(path: string): DiskFile
  /** Atomically replaces `to`. Durable only after `syncDirectory`. */
  rename(from: string, to: string): void
  unlink(path: string): void
  /** Makes the directory if it does not exist. Its name is durable only after `syncDirectory` of its parent. */
  makeDirectory(path: string): void
  /** Names in a directory, sorted; an empty list says nothing about whether it was ever used. */
  list(path: string): string[]
  exists(path: string): boolean
  /** fsync of the directory: names created, renamed and unlinked in it so far survive. */
  syncDirectory(path: string): void
  /** Bytes an unprivileged writer may still use on the file system of `path`. */
  freeBytes(path: string): number
}

export const joinPath = (...parts: readonly string[]): string => parts.join('/')

/**
 * Replaces the small file `directory/name` so that after any crash either the old or the new bytes are there.
 * Side file, flush, rename, directory flush: in this order.
 */
export function replaceFile(disk: Disk, directory: string, name: string, bytes: Uint8Array): void {
  writeSideFile(disk, directory, name, bytes)
  putInPlace(disk, directory, name)
}

/** The first half of `replaceFile`. Whatever it throws, `directory/name` is what it was. */
export function writeSideFile(disk: Disk, directory: string, name: string, bytes: Uint8Array): void {
  const file = disk.create(sideOf(directory, name))
  try {
    file.write([bytes], 0)
    file.syncData()
  } finally {
    file.close()
  }
}

/** The second half. Where it throws, nobody can say which bytes a power loss would leave. */
export function putInPlace(disk: Disk, directory: string, name: string): void {
  disk.rename(sideOf(directory, name), joinPath(directory, name))
  disk.syncDirectory(directory)
}

const sideOf = (directory: string, name: string): string => joinPath(directory, `${name}.new`)

export function readWholeFile(disk: Disk, path: string): Buffer {
  const file = disk.open(path, 'read')
  try {
    const bytes = Buffer.alloc(file.bytes())
    const got = file.read(bytes, 0)
    return bytes.subarray(0, got)
  } finally {
    file.close()
  }
}
