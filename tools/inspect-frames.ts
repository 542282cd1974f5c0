/**
 * The frames and entries of a data directory, for `inspect`: from the oldest byte, channel by channel, then the divergent
 * files. Frames beyond the last whole epoch are shown, and marked as such; so are gaps.
 */
import { asError, TravertineError } from '../protocol/errors.ts'
import { FrameKind } from '../protocol/frame.ts'
import type { Disk } from '../wal/disk.ts'
import type { ScannedFrame } from '../wal/frame-scan.ts'
import { ChannelWalk, gapError } from './channel-walk.ts'
import { type DivergentFile, eachDivergentFrame } from './divergent-files.ts'
import { entryFields, entryLine, frameFields, frameLine } from './frame-text.ts'
import type { InspectReport } from './inspect-report.ts'
import { entriesOf } from './read-log.ts'

export interface ListOptions {
  readonly disk: Disk
  readonly report: InspectReport
  readonly channel: number | undefined
  readonly frames: boolean
  readonly entries: boolean
  readonly fromEpoch: bigint
  /** Lines at most. */
  readonly limit: number
  /** Objects instead of lines for people. */
  readonly json: boolean
  readonly print: (line: string | object) => void
  /** Resolves when there is room for more lines. */
  readonly room: () => Promise<void>
}

export interface ListResult {
  /** There was more to show. */
  readonly isCut: boolean
  /** What could not be read on the way. */
  readonly errors: readonly TravertineError[]
}

/** Waits for whoever reads the lines. */
export function listFrames(options: ListOptions): Promise<ListResult> {
  return new Listing(options).run()
}

/** Ends a listing from within; nothing is wrong. */
const ENOUGH = Symbol('enough')
const LINES_PER_WAIT = 256

class Listing {
  readonly #options: ListOptions
  readonly #errors: TravertineError[] = []
  #shown = 0

  constructor(options: ListOptions) {
    this.#options = options
  }

  async run(): Promise<ListResult> {
    const { report, channel: only } = this.#options
    const isWanted = ({ channel }: { readonly channel: number }): boolean => only === undefined || channel === only
    try {
      for (const { channel, wholeEnd } of report.channels.filter(isWanted)) {
        await this.#attempt(() => this.#channel(channel, wholeEnd))
      }
      for (const file of report.divergent.filter(isWanted)) await this.#attempt(() => this.#divergent(file))
      return { isCut: false, errors: this.#errors }
    } catch (thrown) {
      if (thrown !== ENOUGH) throw thrown
      return { isCut: true, errors: this.#errors }
    }
  }

  async #channel(channel: number, wholeEnd: number | undefined): Promise<void> {
    const { disk, report } = this.#options
    const { directory, manifest } = report
    const walk = new ChannelWalk({ disk, directory, manifest, channel })
    const limit = walk.capacityEnd() // a running node may write faster than we read
    let epoch = 0n
    try {
      for (let step = walk.next(); step !== undefined && walk.position <= limit; step = walk.next()) {
        if (step.gap !== undefined) {
          this.#errors.push(gapError(step.gap, false))
          continue
        }
        const { frame } = step
        if (frame.header.kind !== FrameKind.MARK) epoch = frame.header.epoch // a MARK stays with what stands before it
        if (epoch < this.#options.fromEpoch) continue
        await this.#show({ channel, frame, beyond: wholeEnd !== undefined && frame.position >= wholeEnd })
      }
    } finally {
      walk.close()
    }
  }

  async #divergent(divergent: DivergentFile): Promise<void> {
    const { disk, report, fromEpoch, json, print } = this.#options
    const { channel, file, before } = divergent
    if (!json) print(`cut off by term ${before}: ${file}`)
    let epoch = 0n
    for (const frame of eachDivergentFrame({ disk, manifest: report.manifest }, divergent)) {
      if (frame.header.kind !== FrameKind.MARK) epoch = frame.header.epoch
      if (epoch >= fromEpoch) await this.#show({ channel, frame, beyond: false, file })
    }
  }

  async #show(what: Shown): Promise<void> {
    const { frames, entries, json, print } = this.#options
    const { channel, frame, beyond, file } = what
    const marks = { ...(beyond ? { beyond } : {}), ...(file === undefined ? {} : { divergent: file }) }
    if (frames) {
      await this.#count()
      print(json ? { frame: { channel, ...frameFields(frame), ...marks } } : frameLine(channel, frame, beyond))
    }
    const { kind, epoch } = frame.header
    if (!entries || kind !== FrameKind.ENTRIES) return
    let index = 0
    for (const entry of entriesOf(frame, channel)) {
      await this.#count()
      const place = { channel, position: frame.position, epoch, index: index++ }
      print(json ? { entry: { ...entryFields(place, entry), ...marks } } : entryLine(place, entry, beyond))
    }
  }

  async #count(): Promise<void> {
    if (this.#shown === this.#options.limit) throw ENOUGH
    this.#shown++
    if (this.#shown % LINES_PER_WAIT === 0) await this.#options.room()
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (thrown) {
      if (thrown === ENOUGH) throw thrown
      if (!(thrown instanceof TravertineError)) throw asError(thrown)
      this.#errors.push(thrown)
    }
  }
}

interface Shown {
  readonly channel: number
  readonly frame: ScannedFrame
  readonly beyond: boolean
  /** The divergent file that it lies in. */
  readonly file?: string
}
