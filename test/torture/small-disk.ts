/**
 * A small file system for one node of a torture run, which runs full and gets room again.
 *
 * It lies in memory, in a mount namespace of a helper process, and is reached through that process's /proc entry: so no
 * rights are needed but to make a user namespace, and nothing is left behind, however the run ends. It runs full by
 * being made smaller: to whoever writes there, and to `df`, this is the same as a large file of somebody else.
 *
 * fdatasync costs nothing there, so not every node should have one.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, statfsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { GIB } from '../../protocol/limits.ts'

/** More than ten rounds write. Memory is only taken for what is written. */
const ROOMY_BYTES = 2 * GIB
/** The node may write between our look and the change. */
const FILL_ATTEMPTS_MAX = 50
/** `size=0` would mean no limit. */
const SIZE_MIN = 4_096
/** A machine may allow the second only where it allows everything. */
const WAYS = [['--user', '--map-root-user', '--mount'], ['--mount']] as const

/** Answers each size with a line, and ends with its stdin. */
const KEEPER = `
mount -t tmpfs -o "size=$2" tmpfs "$1" || exit 1
echo ok
while read -r size; do mount -o "remount,size=$size" "$1" 2>/dev/null && echo ok || echo no; done
`

export class SmallDisk {
  /** As every process of this user reaches it. */
  readonly directory: string
  readonly #keeper: ChildProcess
  readonly #nextLine: () => Promise<string | undefined>
  #depth = 0
  #fills = 0
  #waiting: (() => void)[] = []
  #turn: Promise<void> = Promise.resolve()

  private constructor(directory: string, keeper: ChildProcess, nextLine: () => Promise<string | undefined>) {
    this.directory = directory
    this.#keeper = keeper
    this.#nextLine = nextLine
  }

  /** @param mountPoint a new directory @returns why this machine does not allow it, where it does not */
  static async mount(mountPoint: string): Promise<SmallDisk | string> {
    mkdirSync(mountPoint)
    let reason = ''
    for (const way of WAYS) {
      const keeper = spawn('unshare', [...way, 'sh', '-c', KEEPER, 'sh', mountPoint, String(ROOMY_BYTES)], {
        stdio: ['pipe', 'pipe', 'pipe'],
      })
      keeper.on('error', (error) => {
        reason += error.message
      })
      keeper.stderr.setEncoding('utf8').on('data', (text: string) => {
        reason += text.trim()
      })
      keeper.stdin.on('error', () => undefined) // it has ended: no line comes either
      const lines = createInterface({ input: keeper.stdout })[Symbol.asyncIterator]()
      const nextLine = async (): Promise<string | undefined> => {
        const line = await lines.next()
        return line.done === true ? undefined : line.value
      }
      if ((await nextLine()) === 'ok') return new SmallDisk(`/proc/${keeper.pid}/root${mountPoint}`, keeper, nextLine)
      reason += '; '
    }
    return `a small file system is not permitted here: ${reason}`
  }

  get isFull(): boolean {
    return this.#depth > 0
  }

  /** How often it ran full so far. */
  get fills(): number {
    return this.#fills
  }

  /** Leaves so much room, until as many calls of `empty` have come. */
  fill(freeBytes: number): Promise<void> {
    this.#depth += 1
    this.#fills += 1
    return this.#inTurn(async () => {
      for (let attempt = 0; attempt < FILL_ATTEMPTS_MAX; attempt++) {
        const { blocks, bfree, bsize } = statfsSync(this.directory)
        if (await this.#resize(Math.max(SIZE_MIN, (blocks - bfree) * bsize + freeBytes))) return
      }
      throw new Error(`${this.directory} grows faster than it can be filled`)
    })
  }

  empty(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#depth === 1) await this.#resize(ROOMY_BYTES)
      this.#depth -= 1
      if (this.#depth > 0) return // also where it was to run full again meanwhile
      for (const wake of this.#waiting.splice(0)) wake()
    })
  }

  async untilRoom(): Promise<void> {
    while (this.isFull) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  close(): void {
    this.#keeper.stdin?.end()
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(act)
    return this.#turn
  }

  async #resize(bytes: number): Promise<boolean> {
    this.#keeper.stdin?.write(`${bytes}\n`)
    const line = await this.#nextLine()
    if (line === undefined) throw new Error(`the keeper of ${this.directory} has ended`)
    return line === 'ok'
  }
}
