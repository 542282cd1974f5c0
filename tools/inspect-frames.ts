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
}

export interface ListResult {
  /** There was more to show. */
  readonly isCut: boolean
  /** What could not be read on the way. */
  readonly errors: readonly TravertineError[]
}

export function listFrames(options: ListOptions): ListResult {
  return new Listing(options).run()
}

/** Ends a listing from within; nothing is wrong. */
const ENOUGH = Symbol('enough')

class Listing {
  readonly #options: ListOptions
  readonly #errors: TravertineError[] = []
  #shown = 0

  constructor(options: ListOptions) {
    this.#options = options
  }

  run(): ListResult {
    const { report, channel: only } = this.#options
    const isWanted = ({ channel }: { readonly channel: number }): boolean => only === undefined || channel === only
    try {
      for (const { channel, wholeEnd } of report.channels.filter(isWanted))
        this.#attempt(() => this.#channel(channel, wholeEnd))
      for (const file of report.divergent.filter(isWanted)) this.#attempt(() => this.#divergent(file))
      return { isCut: false, errors: this.#errors }
    } catch (thrown) {
      if (thrown !== ENOUGH) throw thrown
      return { isCut: true, errors: this.#errors }
    }
  }

  #channel(channel: number, wholeEnd: number | undefined): void {
    const { disk, report } = this.#options
    const { directory, manifest } = report
    const walk = new ChannelWalk({ disk, directory, manifest, channel })
    const limit = walk.capacityEnd()
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
        this.#show({ channel, frame, beyond: wholeEnd !== undefined && frame.position >= wholeEnd })
      }
    } finally {
      walk.close()
    }
  }

  #divergent(divergent: DivergentFile): void {
    const { disk, report, fromEpoch, json, print } = this.#options
    if (!json) print(`cut off by term ${divergent.before}: ${divergent.file}`)
    eachDivergentFrame({ disk, manifest: report.manifest }, divergent, (frame) => {
      if (frame.header.kind !== FrameKind.MARK && frame.header.epoch < fromEpoch) return
      this.#show({ channel: divergent.channel, frame, beyond: false, file: divergent.file })
    })
  }

  #show(what: {
    readonly channel: number
    readonly frame: ScannedFrame
    readonly beyond: boolean
    readonly file?: string
  }): void {
    const { frames, entries, json, print } = this.#options
    const { channel, frame, beyond, file } = what
    const marks = { ...(beyond ? { beyond } : {}), ...(file === undefined ? {} : { divergent: file }) }
    if (frames) {
      this.#count()
      print(json ? { frame: { channel, ...frameFields(frame), ...marks } } : frameLine(channel, frame, beyond))
    }
    const { kind, epoch } = frame.header
    if (!entries || kind !== FrameKind.ENTRIES) return
    let index = 0
    for (const entry of entriesOf(frame, channel)) {
      this.#count()
      const place = { channel, position: frame.position, epoch, index: index++ }
      print(json ? { entry: { ...entryFields(place, entry), ...marks } } : entryLine(place, entry, beyond))
    }
  }

  #count(): void {
    if (this.#shown === this.#options.limit) throw ENOUGH
    this.#shown++
  }

  #attempt(act: () => void): void {
    try {
      act()
    } catch (thrown) {
      if (thrown === ENOUGH) throw thrown
      if (!(thrown instanceof TravertineError)) throw asError(thrown)
      this.#errors.push(thrown)
    }
  }
}
