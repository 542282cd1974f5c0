/** The writer of a catch-up bench (catch-up-writer.ts) as its parent sees it: a process that says what its loops have seen. */
import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WriterFigures, WriterOrder } from './catch-up-writer.ts'
import { endChild, nextMessage, startChild } from './child-process.ts'

const WRITER = new URL('./catch-up-writer.js', import.meta.url)
/** The disk has what a load has left it to do, and the code is compiled. */
const SETTLE_MS_MAX = 2_000

export class WriterWatch {
  readonly #child: ChildProcess
  readonly #msMax: number

  private constructor(child: ChildProcess, msMax: number) {
    this.#child = child
    this.#msMax = msMax
  }

  /** Returns when it has loaded what it was told to, and writes. @param msMax how long it may be silent */
  static async start(order: WriterOrder, msMax: number): Promise<WriterWatch> {
    const child = startChild(WRITER, [JSON.stringify(order)], undefined)
    await nextMessage(child, 'the writer', msMax)
    return new WriterWatch(child, msMax)
  }

  /** Since it was asked last. */
  async figures(): Promise<WriterFigures> {
    this.#child.send('figures')
    return (await nextMessage(this.#child, 'the writer', this.#msMax)) as unknown as WriterFigures // as catch-up-writer.ts sends them
  }

  /** Of so many seconds, from when it has settled on. */
  async stretch(seconds: number): Promise<WriterFigures> {
    await sleep(Math.min(SETTLE_MS_MAX, seconds * 1000))
    await this.figures()
    const end = performance.now() + seconds * 1000
    // a timer counts from the beginning of its turn, and so may come a little early
    for (let left = seconds * 1000; left > 0; left = end - performance.now()) await sleep(Math.ceil(left))
    return this.figures()
  }

  end(): Promise<void> {
    return endChild(this.#child)
  }
}
