/**
 * Creates a data directory: the only code that does. `run` opens what is there.
 *
 *   DIR/manifest               manifest.ts; written last: a directory without it is not initialised
 *   DIR/lock                   directory-lock.ts
 *   DIR/channels/KK/*.wal      segments.ts
 *   DIR/divergent/             divergent.ts, made when needed
 */
import { TravertineError } from '../protocol/errors.ts'
import { type Disk, joinPath } from './disk.ts'
import { type Manifest, writeManifest } from './manifest.ts'
import { channelDirectory, prepareSegment } from './segments.ts'

/** @throws DIRECTORY_NOT_EMPTY, DIRECTORY_READ_ONLY, DISK_FULL, DISK_FAILED */
export function initDirectory(disk: Disk, directory: string, manifest: Manifest): void {
  const parent = directory.slice(0, Math.max(directory.lastIndexOf('/'), 1))
  if (disk.exists(directory) && disk.list(directory).length > 0) {
    throw new TravertineError(
      'DIRECTORY_NOT_EMPTY',
      `Cannot create a data directory: found files in ${directory}, expected an empty directory or none`,
      {
        where: { file: directory },
        hint: 'choose another directory; a lost replica is replaced by a new directory, never by init over old data',
      },
    )
  }
  disk.makeDirectory(directory)
  disk.syncDirectory(parent)
  disk.makeDirectory(joinPath(directory, 'channels'))
  disk.syncDirectory(directory)
  for (let channel = 0; channel < manifest.channels; channel++) disk.makeDirectory(channelDirectory(directory, channel))
  disk.syncDirectory(joinPath(directory, 'channels'))
  for (let channel = 0; channel < manifest.channels; channel++) {
    prepareSegment(disk, channelDirectory(directory, channel), { base: 0, bytes: manifest.segmentBytes })
  }
  writeManifest(disk, directory, manifest)
}
