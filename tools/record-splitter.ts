/**
 * Cuts input into records as its bytes come: lines, or the elements of one JSON array. Holds no more than one record.
 *
 * A record is handed out with the number of the line on which it begins, from 1 on. A record that is too long to be loaded
 * is told as bad when that is known, and its bytes are let go at once: a file without line feeds does not fill the memory.
 */
import { TravertineError } from '../protocol/errors.ts'

export interface RecordSink {
  /** `bytes` may be a view of the chunk. */
  record(bytes: Buffer, line: number): void
  /** There was a record on this line that can not be used; what follows can. */
  bad(line: number, found: string): void
}

export interface RecordSplitter {
  /** @throws INPUT_INVALID where nobody can tell any more where a record begins */
  push(chunk: Buffer, sink: RecordSink): void
  /** The input has ended. */
  end(sink: RecordSink): void
}

export interface SplitterOptions {
  /** For error places. */
  readonly file: string
  readonly recordBytesLimit: number
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])
const NOTHING = Buffer.alloc(0)

/** Bytes of a record that is spread over chunks. */
class Gathered {
  readonly #limit: number
  #parts: Buffer[] = []
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get isTooLong(): boolean {
    return this.#bytes > this.#limit
  }

  get bytes(): number {
    return this.#bytes
  }

  add(part: Buffer): void {
    this.#bytes += part.length
    if (this.isTooLong) this.#parts = []
    else if (part.length > 0) this.#parts.push(part)
  }

  take(): Buffer {
    const [only = NOTHING, ...more] = this.#parts
    const all = more.length === 0 ? only : Buffer.concat(this.#parts)
    this.#parts = []
    this.#bytes = 0
    return all
  }
}

const tooLong = (bytes: number, limit: number): string => `${bytes} bytes, expected at most ${limit}`

/** Lines without their line feed, or carriage return and line feed. A last line needs none. */
export class LineSplitter implements RecordSplitter {
  readonly #limit: number
  readonly #pending: Gathered
  #line = 1

  constructor({ recordBytesLimit }: SplitterOptions) {
    this.#limit = recordBytesLimit
    this.#pending = new Gathered(recordBytesLimit)
  }

  push(chunk: Buffer, sink: RecordSink): void {
    let from = 0
    for (let to = chunk.indexOf(LINE_FEED); to !== -1; to = chunk.indexOf(LINE_FEED, from)) {
      this.#pending.add(chunk.subarray(from, to))
      this.#emit(sink)
      from = to + 1
    }
    this.#pending.add(chunk.subarray(from))
  }

  end(sink: RecordSink): void {
    if (this.#pending.bytes > 0) this.#emit(sink)
  }

  #emit(sink: RecordSink): void {
    const { bytes: length, isTooLong } = this.#pending
    let bytes = this.#pending.take()
    const line = this.#line++
    if (isTooLong) {
      sink.bad(line, tooLong(length, this.#limit))
      return
    }
    if (line === 1 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)) bytes = bytes.subarray(3)
    if (bytes.at(-1) === CARRIAGE_RETURN) bytes = bytes.subarray(0, -1)
    sink.record(bytes, line)
  }
}

const Char = {
  quote: 0x22,
  backslash: 0x5c,
  comma: 0x2c,
  open: 0x5b,
  close: 0x5d,
  openBrace: 0x7b,
  closeBrace: 0x7d,
} as const

/** Elements of one JSON array, as the bytes that stand in the input. Whether an element is good JSON is not judged here. */
export class ArraySplitter implements RecordSplitter {
  readonly #options: SplitterOptions
  readonly #pending: Gathered
  #state: 'start' | 'first' | 'next' | 'element' | 'done' = 'start'
  #line = 1
  #elementLine = 1
  #depth = 0
  #inString = false
  #escaped = false
  #beginBytes: Buffer = NOTHING

  constructor(options: SplitterOptions) {
    this.#options = options
    this.#pending = new Gathered(options.recordBytesLimit)
  }

  push(given: Buffer, sink: RecordSink): void {
    const chunk = this.#state === 'start' ? this.#withoutMark(given) : given
    let from = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number // within the chunk
      if (byte === LINE_FEED) this.#line++
      if (this.#state === 'element') {
        if (!this.#endsElement(byte)) continue
        this.#pending.add(chunk.subarray(from, at))
        this.#emit(sink)
        this.#state = byte === Char.comma ? 'next' : 'done'
      } else if (!isSpace(byte) && this.#beginsElement(byte)) {
        from = at
        at-- // the element's own first byte decides what it is
      }
    }
    if (this.#state === 'element') this.#pending.add(chunk.subarray(from))
  }

  end(): void {
    if (this.#state === 'done') return
    const found = this.#state === 'start' ? 'no array' : 'an array that does not end'
    throw this.#invalid(found, 'one JSON array')
  }

  /** @returns whether an element begins here */
  #beginsElement(byte: number): boolean {
    switch (this.#state) {
      case 'start':
        if (byte !== Char.open) throw this.#invalid(`${quoted(byte)}`, 'one JSON array')
        this.#state = 'first'
        return false
      case 'done':
        throw this.#invalid(`${quoted(byte)} behind the array`, 'its end')
      default:
        if (byte === Char.close && this.#state === 'first') {
          this.#state = 'done'
          return false
        }
        if (byte === Char.comma || byte === Char.close) throw this.#invalid(`${quoted(byte)}`, 'an element')
        this.#state = 'element'
        this.#elementLine = this.#line
        return true
    }
  }

  /** Does the comma or bracket behind the element stand here? */
  #endsElement(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (byte === Char.backslash) this.#escaped = true
      else if (byte === Char.quote) this.#inString = false
      return false
    }
    if (this.#depth === 0 && (byte === Char.comma || byte === Char.close)) return true
    if (byte === Char.quote) this.#inString = true
    else if (byte === Char.open || byte === Char.openBrace) this.#depth++
    else if (byte === Char.close || byte === Char.closeBrace) {
      if (this.#depth === 0) throw this.#invalid(quoted(byte), 'a comma or the end of the array')
      this.#depth--
    }
    return false
  }

  #emit(sink: RecordSink): void {
    const { bytes: length, isTooLong } = this.#pending
    const bytes = this.#pending.take()
    if (isTooLong) sink.bad(this.#elementLine, tooLong(length, this.#options.recordBytesLimit))
    else sink.record(withoutTrailingSpace(bytes), this.#elementLine)
  }

  /** A byte order mark may be cut by a chunk's end. */
  #withoutMark(chunk: Buffer): Buffer {
    if (this.#line > 1 || this.#beginBytes === BYTE_ORDER_MARK) return chunk
    const begin = this.#beginBytes.length === 0 ? chunk : Buffer.concat([this.#beginBytes, chunk])
    if (begin.length < 3 && begin.equals(BYTE_ORDER_MARK.subarray(0, begin.length))) {
      this.#beginBytes = begin
      return NOTHING
    }
    this.#beginBytes = BYTE_ORDER_MARK
    return begin.subarray(0, 3).equals(BYTE_ORDER_MARK) ? begin.subarray(3) : begin
  }

  #invalid(found: string, expected: string): TravertineError {
    const { file } = this.#options
    return new TravertineError(
      'INPUT_INVALID',
      `Cannot read line ${this.#line} of ${file}: found ${found}, expected ${expected}`,
      {
        where: { file, line: this.#line },
        hint: 'for one record per line: --format ndjson',
      },
    )
  }
}

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
const quoted = (byte: number): string =>
  byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `byte 0x${byte.toString(16)}`

function withoutTrailingSpace(bytes: Buffer): Buffer {
  let end = bytes.length
  while (end > 0 && isSpace(bytes[end - 1] as number)) end-- // above 0
  return bytes.subarray(0, end)
}
