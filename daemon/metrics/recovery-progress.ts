/** How far recovery is, per channel, in memory that the threads of the job pool share with whoever asks. */
import { MIB } from '../../protocol/limits.ts'

export class RecoveryProgress {
  readonly memory: SharedArrayBuffer
  readonly #read: Float64Array
  readonly #total: Float64Array

  /** @param memory of another one, or how many channels there are */
  constructor(memory: SharedArrayBuffer | number) {
    this.memory = typeof memory === 'number' ? new SharedArrayBuffer(memory * 16) : memory
    const channels = this.memory.byteLength / 16
    this.#read = new Float64Array(this.memory, 0, channels)
    this.#total = new Float64Array(this.memory, channels * 8, channels)
  }

  read(channel: number, bytes: number): void {
    this.#read[channel] = (this.#read[channel] ?? 0) + bytes
  }

  /** At most so many bytes are to be read. */
  setTotal(channel: number, bytes: number): void {
    this.#total[channel] = bytes
  }

  get readBytes(): readonly number[] {
    return [...this.#read]
  }

  get totalBytes(): readonly number[] {
    return [...this.#total]
  }

  /** For people. */
  describe(): string {
    const [read, total] = [this.#read, this.#total].map((bytes) => (bytes.reduce((a, b) => a + b, 0) / MIB).toFixed(1))
    return `recovers its log, ${read} MiB of at most ${total} MiB read so far`
  }
}
