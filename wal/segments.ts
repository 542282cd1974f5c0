/**
 * The files of one channel as one stream of bytes, addressed by position.
 *
 * `DIR/POSITION.wal`: POSITION is the channel offset of the file's first byte, 16 hex digits; each file reaches to the
 * next one's POSITION. Frames may span files (WAL-50): positions stay dense, and nodes may differ in segment size.
 *
 * Files are prepared ahead: they get their name with their full size, flushed, and read as zeros. Mostly the zeros are
 * written, so that an fdatasync after an append writes data and no metadata. A writer in a hurry (a replica that catches
 * up, a load that outruns the preparer) gets a hole instead: its large flushes do not notice what it costs to fill, and
 * a small one fills a piece of it for those that follow. There is one preparer per channel: a writer that gets to the end
 * of the prepared files waits for it, and never makes the same file a second time (the later rename would wipe out the
 * earlier one).
 *
 * One owner writes (the channel thread); others read below its durable position.
 */
import { assert } from '../protocol/assert.ts'
import { TravertineError } from '../protocol/errors.ts'
import { KIB, MIB } from '../protocol/limits.ts'
import { type Disk, type DiskFile, joinPath } from './disk.ts'

const SUFFIX = '.wal'
const NAME = /^([0-9a-f]{16})\.wal$/

export const channelDirectory = (directory: string, channel: number): string =>
  joinPath(directory, 'channels', String(channel).padStart(2, '0'))

export const segmentName = (base: number): string => base.toString(16).padStart(16, '0') + SUFFIX

/** Bases of the segments in a channel's directory, ascending. Files with other names are not ours to judge. */
export function listSegments(disk: Disk, directory: string): number[] {
  const bases: number[] = []
  for (const name of disk.list(directory)) {
    const match = NAME.exec(name)
    if (match !== null) bases.push(Number.parseInt(match[1]!, 16))
  }
  return bases.sort((a, b) => a - b)
}

/** What is in a new segment: zeros, or nothing, which reads as zeros and takes no time and no room until it is written. */
export type SegmentFilling = 'zeros' | 'hole'

/** Zeros written in one go: one large flush would hold up the commits of all channels. */
const FILL_BYTES = MIB
/** One for all files: a thread of the job pool does little else, and would sit on the zeros of the last dozens of files. */
const ZEROS = Buffer.alloc(FILL_BYTES)

/**
 * Creates the segment at `base`, durable, name and all. Safe to repeat after a crash anywhere in it.
 *
 * @param mayLeaveHole asked before each piece; from the first yes on only the last byte is written, which gives the size
 */
export function prepareSegment(
  disk: Disk,
  directory: string,
  { base, bytes, mayLeaveHole = () => false }: { base: number; bytes: number; mayLeaveHole?: () => boolean },
): void {
  const path = joinPath(directory, segmentName(base))
  const side = `${path}.new`
  const zeros = ZEROS.subarray(0, bytes)
  const file = disk.create(side)
  try {
    for (let at = 0; at < bytes; at += zeros.length) {
      const isHole = mayLeaveHole()
      if (isHole) file.write([zeros.subarray(0, 1)], bytes - 1)
      else file.write([at + zeros.length <= bytes ? zeros : zeros.subarray(0, bytes - at)], at)
      file.syncData()
      if (isHole) break
    }
  } finally {
    file.close()
  }
  disk.rename(side, path)
  disk.syncDirectory(directory)
}

interface OpenSegment {
  readonly base: number
  readonly end: number
  readonly file: DiskFile
  dirty: boolean
}

export interface SegmentsOptions {
  readonly disk: Disk
  readonly directory: string
  /** Size of segments made from now on. */
  readonly segmentBytes: number
  readonly access: 'read' | 'write'
  /** Makes segments ahead of the writer. Without one the writer makes them itself when it gets there. */
  readonly preparer?: Preparer
  /** How many whole segments are wanted beyond the one being written; made while the channel is quiet. */
  readonly ahead?: number
  /** Of a writer: where it goes on. */
  readonly writtenEnd?: number
}

/** With fewer whole segments than this beyond the one being written, the next one is made at once, quiet or not. */
const AHEAD_URGENT = 2
/** The same where it takes no time. More would leave holes to the small flushes that follow. */
const AHEAD_HOLES = 1
/**
 * Flushes of this size on average outrun whoever fills segments, and find room for themselves at little cost: measured,
 * fdatasync of 4 KiB takes several times longer in a hole, of 4 MiB about twice as long, and zeros are a second write.
 */
const LARGE_FLUSH_BYTES = 512 * KIB

export interface Preparer {
  /** Begin to make the segment at `base`, with `prepareSegment`, elsewhere. At most one is under way. */
  ask(base: number, filling: SegmentFilling): void
  /** Is one under way? Its file may be visible already, and its name not durable yet. */
  readonly isBusy: boolean
  /** Blocks until the segment that was asked for is there; lets the rest of it be a hole. @throws DISK_FULL, DISK_FAILED */
  wait(base: number): void
}

export class Segments {
  readonly #options: SegmentsOptions
  /** Known bases, ascending. A reader looks again when it comes to the end of the last one. */
  #bases: number[]
  /** Segments open now, ascending: at most the one being written and its neighbours. */
  #open: OpenSegment[] = []
  #askedFor: number
  /** Requests that have failed: where such a file is there all the same, its name may not be durable. */
  readonly #failed: Set<number>
  #writtenEnd: number
  /** Nothing was written since `becomeQuiet`, or since the start. */
  #quiet = true
  /** Since the last request for a segment; before the first flush behind it, up to that request. */
  #flushes = 0
  #flushedBytes = 0
  #flushesAreOld = false
  #unflushedBytes = 0
  /** Below are no holes; nor beyond `#holesTo`. */
  #filledTo = 0
  #holesTo = 0

  /** @param before the writer until now, with the same preparer: what it has asked for may be under way, or in doubt */
  constructor(options: SegmentsOptions, before?: Segments) {
    this.#options = options
    this.#writtenEnd = options.writtenEnd ?? 0
    this.#askedFor = before === undefined ? -1 : before.#askedFor
    this.#failed = new Set(before === undefined ? [] : before.#failed)
    this.#bases = listSegments(options.disk, options.directory)
  }

  /** Position of the oldest byte; 0 for a channel without files. */
  get firstPosition(): number {
    return this.#bases[0] ?? 0
  }

  /** Path of the file that holds `position`, for error messages. */
  pathAt(position: number): string {
    const base = this.#bases.findLast((b) => b <= position) ?? this.firstPosition
    return joinPath(this.#options.directory, segmentName(base))
  }

  /** End of the last file. Bytes below may still be zeros that were prepared and never written. */
  capacityEnd(): number {
    this.#refresh()
    const last = this.#bases.at(-1)
    if (last === undefined) return 0
    const open = this.#open.find((s) => s.base === last)
    if (open !== undefined) return open.end
    const file = this.#options.disk.open(joinPath(this.#options.directory, segmentName(last)), 'read')
    const end = last + file.bytes()
    file.close()
    return end
  }

  /** Reads up to `target.length` bytes at `position`, over file ends; fewer only at the end of the last file. */
  read(position: number, target: Uint8Array): number {
    let done = 0
    while (done < target.length) {
      const segment = this.#segmentAt(position + done)
      if (segment === undefined) break
      const most = Math.min(target.length - done, segment.end - position - done)
      const got = segment.file.read(target.subarray(done, done + most), position + done - segment.base)
      if (got === 0) break
      done += got
    }
    this.#keepOpen(position)
    return done
  }

  /** Writes `buffers`, `bytes` long in all, at `position`. Durable only after `syncData`. */
  write(position: number, buffers: readonly Uint8Array[], bytes: number): void {
    this.#quiet = false
    const end = position + bytes
    let rest = buffers
    let at = position
    while (at < end) {
      const segment = this.#segmentForWrite(at)
      const room = segment.end - at
      assert(room > 0, 'a segment for writing has room', { at, end: segment.end })
      if (end - at <= room) {
        segment.file.write(rest, at - segment.base)
        segment.dirty = true
        this.#noteWritten(segment, end, this.#unflushedBytes + bytes < LARGE_FLUSH_BYTES)
        break
      }
      const [fits, beyond] = splitBuffers(rest, room)
      segment.file.write(fits, at - segment.base)
      segment.dirty = true
      rest = beyond
      at = segment.end
    }
    this.#unflushedBytes += bytes
    this.#writtenEnd = end
  }

  /** fdatasync of every file written since the last call; then closes those that are full. */
  syncData(): void {
    for (const segment of this.#open) {
      if (!segment.dirty) continue
      segment.file.syncData()
      segment.dirty = false
    }
    if (this.#unflushedBytes > 0) this.#countFlush(this.#unflushedBytes)
    this.#unflushedBytes = 0
    while (this.#open.length > 1 && this.#open[0]!.end <= this.#writtenEnd) this.#open.shift()!.file.close()
  }

  /** Base of the segment that holds `position`; the base of the next one to be made if none holds it yet. */
  baseAt(position: number): number {
    return this.#segmentAt(position)?.base ?? position
  }

  close(): void {
    for (const segment of this.#open) segment.file.close()
    this.#open = []
  }

  /**
   * Looks for segments that were prepared since, and asks for the next one if there are too few ahead. Preparing writes
   * every byte a second time: while the channel is written to it takes the disk from the commits, so then only what is
   * urgent is made.
   */
  keepAhead(): void {
    const { preparer, ahead = 1, segmentBytes } = this.#options
    if (preparer === undefined || preparer.isBusy) return // its end is a call of its own
    const end = this.#visibleEnd()
    if (end === undefined || this.#askedFor >= end) return
    const filling = this.#filling()
    const wanted = this.#quiet ? ahead : Math.min(ahead, filling === 'hole' ? AHEAD_HOLES : AHEAD_URGENT)
    if (end - this.#writtenEnd > wanted * segmentBytes) return
    this.#ask(preparer, end, filling)
  }

  /** Nothing has been written for a while: until the next write there is time to prepare all that is wanted. */
  becomeQuiet(): void {
    this.#quiet = true
    this.keepAhead()
  }

  /** undefined: the directory cannot be read. Who has to write beyond what is there meets the same, and is poisoned by it. */
  #visibleEnd(): number | undefined {
    try {
      return this.capacityEnd()
    } catch (thrown) {
      if (thrown instanceof TravertineError) return undefined
      throw thrown
    }
  }

  /** The last request failed (no room): ask again with the next `keepAhead`. */
  forgetRequest(): void {
    this.#failed.add(this.#askedFor)
    this.#askedFor = -1
  }

  #segmentForWrite(position: number): OpenSegment {
    const { disk, directory, segmentBytes, preparer } = this.#options
    const known = this.#segmentAt(position)
    if (known !== undefined) {
      if (this.#failed.has(known.base)) throw nameNotFlushed(this.pathAt(known.base))
      // seen is not finished: nothing may be answered from a file whose name a power cut can still take away
      if (known.base === this.#askedFor && preparer !== undefined) this.#wait(preparer, known.base)
      return known
    }
    // the segment that was asked for may have appeared since the look above; it is waited for below like any other
    const end = this.capacityEnd()
    assert(position === end || position === this.#askedFor, 'a channel is written without gaps', { position, end })
    if (preparer === undefined) prepareSegment(disk, directory, { base: position, bytes: segmentBytes })
    else {
      if (this.#askedFor < position) this.#ask(preparer, position, 'hole') // its writer waits
      this.#wait(preparer, position)
    }
    this.#refresh()
    const stale = this.#open.findIndex((s) => s.base === position) // a file that had been cut to nothing
    if (stale >= 0) this.#open.splice(stale, 1)[0]!.file.close()
    return this.#openSegment(position)
  }

  /** A small flush that has got to a hole fills a piece of it, for those that follow: it reads as zeros all the time. */
  #noteWritten(segment: OpenSegment, end: number, isSmall: boolean): void {
    if (end <= this.#filledTo) return
    this.#filledTo = end
    const filledTo = Math.min(end + FILL_BYTES, segment.end, this.#holesTo)
    if (!isSmall || filledTo <= end) return
    segment.file.write([ZEROS.subarray(0, filledTo - end)], end - segment.base)
    this.#filledTo = filledTo
  }

  #filling(): SegmentFilling {
    return !this.#quiet && this.#flushedBytes > this.#flushes * LARGE_FLUSH_BYTES ? 'hole' : 'zeros'
  }

  /** A hole takes no time: it may be there, and the next one be asked for, before anything was flushed. */
  #countFlush(bytes: number): void {
    if (this.#flushesAreOld) {
      this.#flushes = 0
      this.#flushedBytes = 0
      this.#flushesAreOld = false
    }
    this.#flushes++
    this.#flushedBytes += bytes
  }

  #ask(preparer: Preparer, base: number, filling: SegmentFilling): void {
    this.#askedFor = base
    this.#failed.delete(base) // it is made anew
    this.#flushesAreOld = true
    if (filling === 'hole') this.#holesTo = base + this.#options.segmentBytes
    preparer.ask(base, filling)
  }

  #wait(preparer: Preparer, base: number): void {
    if (preparer.isBusy) this.#holesTo = base + this.#options.segmentBytes
    preparer.wait(base)
  }

  #refresh(): void {
    this.#bases = listSegments(this.#options.disk, this.#options.directory)
  }

  #segmentAt(position: number): OpenSegment | undefined {
    const open = this.#open.find((s) => s.base <= position && position < s.end)
    if (open !== undefined) return open
    let base = this.#bases.findLast((b) => b <= position)
    if (base === undefined || base === this.#bases.at(-1)) {
      this.#refresh() // one may have been prepared meanwhile
      base = this.#bases.findLast((b) => b <= position)
    }
    if (base === undefined) return undefined
    const segment = this.#openSegment(base)
    return position < segment.end ? segment : undefined
  }

  #openSegment(base: number): OpenSegment {
    const open = this.#open.find((s) => s.base === base)
    if (open !== undefined) return open
    const { disk, directory, access } = this.#options
    const path = joinPath(directory, segmentName(base))
    const file = disk.open(path, access)
    const end = base + file.bytes()
    const next = this.#bases[this.#bases.indexOf(base) + 1]
    if (next !== undefined && next !== end) {
      file.close()
      throw new TravertineError(
        'LOG_DAMAGED',
        `Cannot read a channel: found a segment that ends at ${end}, expected ${next}`,
        {
          where: { file: path, offset: end - base },
          hint: 'a segment is missing or was cut; restore it from a replica, nothing was changed',
        },
      )
    }
    const segment = { base, end, file, dirty: false }
    this.#open.push(segment)
    this.#open.sort((a, b) => a.base - b.base)
    return segment
  }

  /** A reader that walks on closes what lies behind it. */
  #keepOpen(position: number): void {
    if (this.#options.access === 'write') return
    while (this.#open.length > 1 && this.#open[0]!.end <= position) this.#open.shift()!.file.close()
  }
}

/** A failed flush of a directory is not repeated, as one of a file is not: after it nobody knows what the disk holds. */
const nameNotFlushed = (file: string): TravertineError =>
  new TravertineError('DISK_FAILED', 'Cannot write to a segment: its name could not be flushed when it was prepared', {
    where: { file },
  })

/** The first `bytes` of a list of buffers, and the rest. */
function splitBuffers(buffers: readonly Uint8Array[], bytes: number): [Uint8Array[], Uint8Array[]] {
  const first: Uint8Array[] = []
  let room = bytes
  for (const [i, buffer] of buffers.entries()) {
    if (buffer.length > room) {
      if (room > 0) first.push(buffer.subarray(0, room))
      return [first, [buffer.subarray(room), ...buffers.slice(i + 1)]]
    }
    first.push(buffer)
    room -= buffer.length
  }
  return [first, []]
}
