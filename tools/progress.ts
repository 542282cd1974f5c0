/**
 * Progress of a long command, on stderr: a bar on a terminal, otherwise a line now and then that a log can hold.
 *
 * Whoever works calls `update` as often as it likes; what is too often is left out.
 */
import { type Options, SingleBar } from 'cli-progress'

export interface ProgressOptions {
  /** What is counted: `entries`. */
  readonly unit: string
  /** What counts as all; undefined if nobody knows. */
  readonly total?: number
}

export interface Progress {
  /** @param note shown behind the figures: epochs, rates */
  update(done: number, note: string): void
  /** Draws the last state and gives the line back. May be called more than once. */
  stop(): void
}

const LINE_INTERVAL_MS = 1_000
/** Lines in a log that is no terminal: enough to see that it moves. */
const LINE_STEPS = 10

/** @param stream for tests; stderr */
export function startProgress(options: ProgressOptions, stream: NodeJS.WriteStream = process.stderr): Progress {
  return stream.isTTY ? new Bar(options, stream) : new Lines(options, stream)
}

class Bar implements Progress {
  readonly #bar: SingleBar
  #stopped = false

  constructor({ unit, total }: ProgressOptions, stream: NodeJS.WriteStream) {
    const figures = total === undefined ? `{value} ${unit}` : `{bar} {percentage} % {value}/{total} ${unit}`
    const options: Options = {
      stream,
      format: `${figures}  {note}`,
      barsize: 24,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      hideCursor: true,
      gracefulExit: false, // signals are for stop-request.ts
      emptyOnZero: true,
    }
    this.#bar = new SingleBar(options)
    this.#bar.start(total ?? 0, 0, { note: '' })
  }

  update(done: number, note: string): void {
    if (!this.#stopped) this.#bar.update(done, { note })
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#bar.stop()
  }
}

class Lines implements Progress {
  readonly #options: ProgressOptions
  readonly #stream: NodeJS.WriteStream
  #shownAt = Number.NEGATIVE_INFINITY
  #shownStep = 0
  #latest = ''
  #shown = ''

  constructor(options: ProgressOptions, stream: NodeJS.WriteStream) {
    this.#options = options
    this.#stream = stream
  }

  update(done: number, note: string): void {
    const { unit, total } = this.#options
    const share = total === undefined || total === 0 ? undefined : done / total
    const percent = share === undefined ? '' : `${String(Math.floor(share * 100)).padStart(3)} %  `
    this.#latest = `${percent}${done}${total === undefined ? '' : `/${total}`} ${unit}  ${note}`
    const now = performance.now()
    const step = share === undefined ? 0 : Math.floor(share * LINE_STEPS)
    if (step > this.#shownStep || now - this.#shownAt >= LINE_INTERVAL_MS) this.#show(now, step)
  }

  stop(): void {
    if (this.#latest !== this.#shown) this.#show(performance.now(), this.#shownStep)
  }

  #show(now: number, step: number): void {
    this.#shownAt = now
    this.#shownStep = step
    this.#shown = this.#latest
    this.#stream.write(`${this.#latest}\n`)
  }
}
