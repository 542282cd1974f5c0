/**
 * Reads the frames of one channel from its files, one behind the other, and says how the channel ends (WAL-40 ff.).
 *
 * A frame is valid if and only if its header CRC (seeded with cluster and channel) holds, its position is where it
 * stands, its term is the one that the term history gives for that place, and its body CRC holds. The first frame that
 * is not valid ends the channel:
 *
 *   clean      the bytes behind the end are zeros, as prepared, or there are none
 *   torn-tail  something else stands there: an unfinished write, or frames of a mastership that was cut
 *
 * Whether an end is *damage* is decided by recover.ts, from what later seals prove. For that, `findLater` looks for valid
 * frames behind the end. A frame of a newer version is neither: it is an error.
 */
import {
  bodyCrcMatches,
  checkHeader,
  decodeHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  HeaderOffset,
  headerError,
  readU64Number,
} from '../protocol/frame.ts'
import { MIB, SESSION_BYTES_LIMIT } from '../protocol/limits.ts'
import type { Segments } from './segments.ts'
import { type TermHistory, termMayStandAt } from './term-history.ts'

export interface ScanOptions {
  readonly segments: Segments
  readonly channel: number
  readonly headerSeed: number
  readonly history: TermHistory
  /** Begin of a frame. */
  readonly from: number
  /** Do not look at or beyond this position; without it the files' end. */
  readonly to?: number
}

/** One valid frame. `frame` is a view that is reused: copy what has to stay. */
export interface ScannedFrame {
  readonly header: FrameHeader
  readonly frame: Buffer
  readonly position: number
  readonly end: number
}

export interface ScanEnd {
  /** End of the last valid frame. */
  readonly end: number
  readonly tail: 'clean' | 'torn-tail'
}

const WINDOW_BYTES = MIB
/** For the largest frame that a header can promise, with what follows it. */
const FRAME_WINDOW_BYTES_MAX = SESSION_BYTES_LIMIT + 2 * WINDOW_BYTES
const ZEROS = Buffer.alloc(WINDOW_BYTES)

/** Calls `visit` for each valid frame from `from` on. @throws FRAME_VERSION_UNSUPPORTED, FRAME_KIND_UNKNOWN */
export function scanFrames(options: ScanOptions, visit: (frame: ScannedFrame) => void): ScanEnd {
  const frames = eachFrame(options)
  for (;;) {
    const next = frames.next()
    if (next.done === true) return next.value
    visit(next.value)
  }
}

/** The same, frame by frame: for readers that walk several channels side by side. */
export function* eachFrame(options: ScanOptions): Generator<ScannedFrame, ScanEnd, undefined> {
  const window = new ReadWindow(options)
  let position = options.from
  for (;;) {
    const found = frameAt(options, window, position)
    if (found === undefined) break
    yield found
    position = found.end
  }
  return { end: position, tail: zerosFrom(window, position) ? 'clean' : 'torn-tail' }
}

/** Looks for a valid frame behind an invalid place, byte by byte, up to the end of the files; then goes on from there. */
export function findLater(options: ScanOptions, visit: (frame: ScannedFrame) => void): void {
  for (const frame of eachLater(options)) visit(frame)
}

/** The same, frame by frame. */
export function* eachLater(options: ScanOptions): Generator<ScannedFrame, void, undefined> {
  const window = new ReadWindow(options)
  let position = options.from + 1
  for (;;) {
    const bytes = window.at(position, FRAME_HEADER_BYTES)
    if (bytes === undefined) return
    const step = nextCandidate(bytes, position)
    if (step > 0) {
      position += step
      continue
    }
    const found = frameAt(options, window, position)
    if (found === undefined) position++
    else {
      yield found
      position = found.end
    }
  }
}

/** Bytes to skip to the next place where the position field says its own position; 0 if it does here. */
function nextCandidate(bytes: Buffer, position: number): number {
  const last = bytes.length - FRAME_HEADER_BYTES
  for (let at = 0; at <= last; at++) {
    // the low byte first: it is wrong in 255 of 256 places
    if (
      bytes[at + HeaderOffset.position] === ((position + at) & 0xff) &&
      readU64Number(bytes, at + HeaderOffset.position) === position + at
    )
      return at
  }
  return last + 1
}

function frameAt(options: ScanOptions, window: ReadWindow, position: number): ScannedFrame | undefined {
  const head = window.at(position, FRAME_HEADER_BYTES)
  if (head === undefined) return undefined
  const fault = checkHeader(head, 0, options.headerSeed)
  if (fault === 'crc') return undefined
  const place = { file: options.segments.pathAt(position), channel: options.channel, offset: position }
  const header = decodeHeader(head, 0)
  const mayStand =
    header.position === position && termMayStandAt(options.history, { ...header, channel: options.channel })
  if (!mayStand) return undefined
  if (fault !== undefined) throw headerError(fault, head, 0, place) // a good CRC in a good place: a newer program's
  const frame = window.at(position, FRAME_HEADER_BYTES + header.bodyLength)
  if (frame === undefined || !bodyCrcMatches(frame, 0, header.bodyLength)) return undefined
  const end = position + FRAME_HEADER_BYTES + header.bodyLength
  return { header, frame: frame.subarray(0, FRAME_HEADER_BYTES + header.bodyLength), position, end }
}

/** All of them up to the end of the files: behind a hole that reads as zeros there may stand frames that prove damage. */
function zerosFrom(window: ReadWindow, position: number): boolean {
  let at = position
  for (let bytes = window.at(at, 1); bytes !== undefined; bytes = window.at(at, 1)) {
    const part = bytes.subarray(0, WINDOW_BYTES)
    if (!part.equals(ZEROS.subarray(0, part.length))) return false
    at += part.length
  }
  return true
}

/** A sliding view of the channel's bytes. */
class ReadWindow {
  readonly #segments: Segments
  readonly #limit: number
  /** As large as the channel needs: most channels that are read are short, and most memory would be made for nothing. */
  #buffer = Buffer.alloc(0)
  #from = 0
  #filled = 0

  constructor(options: ScanOptions) {
    this.#segments = options.segments
    this.#limit = options.to ?? Number.MAX_SAFE_INTEGER
  }

  /** At least `bytes` bytes from `position` on (more if they are at hand); undefined if the channel has fewer. */
  at(position: number, bytes: number): Buffer | undefined {
    if (position < this.#from || position + bytes > this.#from + this.#filled) this.#load(position, bytes)
    if (position + bytes > this.#from + this.#filled) return undefined
    return this.#buffer.subarray(position - this.#from, this.#filled)
  }

  #load(position: number, bytes: number): void {
    const wanted = bytes > WINDOW_BYTES ? Math.min(bytes + WINDOW_BYTES, FRAME_WINDOW_BYTES_MAX) : WINDOW_BYTES
    if (this.#buffer.length < wanted) {
      const there = Math.min(this.#segments.capacityEnd(), this.#limit) - position
      const useful = Math.min(wanted, Math.max(there, 0))
      if (this.#buffer.length < useful) this.#buffer = Buffer.alloc(useful)
    }
    const most = Math.max(0, Math.min(this.#buffer.length, this.#limit - position))
    this.#from = position
    this.#filled = this.#segments.read(position, this.#buffer.subarray(0, most))
  }
}
