/**
 * One node of a torture run: `travertine run` in a process of its own, killed, paused and started again at any moment.
 *
 * A process may end because we have asked it to, or with DISK_FULL because its disk was full: then it is started again when
 * there is room. Any other end is remembered as a defect: a node that crashes, or does not start on what a kill has
 * left, fails the run.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { MAIN } from '../tools/travertine.ts'
import type { ThreadPause } from './pausable-threads.ts'
import type { SmallDisk } from './small-disk.ts'

export interface TortureNodeOptions {
  readonly name: string
  readonly directory: string
  readonly host: string
  readonly port: number
  /** What the node prints goes there. */
  readonly logFile: string
  readonly onEvent: (text: string) => void
  /** What its directory lies on, where that is a small one. */
  readonly disk?: SmallDisk | undefined
  /** It has ended because its disk was full. */
  readonly onDiskFull?: () => void
}

const PAUSABLE_THREADS = new URL('./pausable-threads.js', import.meta.url)
const EXIT_DISK = 5
/** A full disk has this code, or the system's name stands in the text of a channel that it has poisoned. */
const FULL_WORDS = ['DISK_FULL', 'ENOSPC']
/** Somebody else may have our port for a moment while the node is down. */
const PORT_RETRY_MS = 100

interface Life {
  readonly child: ChildProcess
  /** Signals that we have sent and that end a node. */
  readonly asked: Set<NodeJS.Signals>
  /** Fills of the disk that it may have noticed are beyond these. */
  readonly fillsBefore: number
  /** Where in the file its own lines begin. */
  readonly logBegin: number
  stdout: string
  isReady: boolean
  readonly ended: Promise<void>
}

export class TortureNode {
  readonly #options: TortureNodeOptions
  #life: Life | undefined
  #starts = 0
  /** How often a channel thread stood still, and the node ended on a full disk. */
  threadPauses = 0
  fullDiskEnds = 0
  /** Ends that nobody has asked for. */
  readonly defects: string[] = []

  constructor(options: TortureNodeOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  get directory(): string {
    return this.#options.directory
  }

  get isUp(): boolean {
    return this.#life !== undefined
  }

  get isReady(): boolean {
    return this.#life?.isReady === true
  }

  start(): void {
    if (this.#life !== undefined) return
    const { directory, host, port, logFile, onEvent, disk } = this.#options
    const words = ['run', directory, '--host', host, '--port', String(port), '--json', '--log-format', 'json']
    const log = openSync(logFile, 'a')
    const logBegin = this.loggedBytes
    const child = spawn(process.execPath, ['--import', PAUSABLE_THREADS.href, MAIN, ...words, '--stop-with-stdin'], {
      stdio: ['pipe', 'pipe', log, 'ipc'],
    })
    closeSync(log)
    this.#starts += 1
    onEvent(`${this.name} starts, pid ${child.pid}`)
    const ended = new Promise<void>((resolve) => {
      child.once('close', (code, signal) => {
        this.#ended(code, signal)
        resolve()
      })
    })
    const fillsBefore = (disk?.fills ?? 0) - (disk?.isFull === true ? 1 : 0)
    const life: Life = { child, asked: new Set(), fillsBefore, logBegin, stdout: '', isReady: false, ended }
    this.#life = life
    child.on('message', (message) => {
      const { channel, place, ms } = message as ThreadPause // pausable-threads.ts sends nothing else
      this.threadPauses += 1
      onEvent(`${this.name}, channel ${channel} has stood still for ${ms} ms, ${place}`)
    })
    child.stdin?.on('error', () => undefined) // it has gone: `close` says so
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      life.stdout += text
      if (!life.isReady && life.stdout.includes('"ok":true')) {
        life.isReady = true
        onEvent(`${this.name} listens`)
      }
    })
  }

  /** Resolves when the process has gone. */
  async kill(): Promise<void> {
    this.#send('SIGKILL')
    await this.#life?.ended
  }

  /** SIGTERM, and after so long kill -9. */
  async terminate(patienceMs: number): Promise<void> {
    const life = this.#life
    if (life === undefined) return
    this.#send('SIGTERM')
    const timer = setTimeout(() => {
      if (this.#life === life) this.#send('SIGKILL')
    }, patienceMs)
    await life.ended
    clearTimeout(timer)
  }

  pause(): void {
    this.#life?.child.kill('SIGSTOP')
  }

  goOn(): void {
    this.#life?.child.kill('SIGCONT')
  }

  /** One channel thread stands still, once it comes to that place; the others go on. */
  pauseThread(pause: ThreadPause): void {
    const child = this.#life?.child
    if (child?.connected === true) child.send(pause, () => undefined) // it may be gone by now
  }

  /** Bytes of what it has printed so far. */
  get loggedBytes(): number {
    return readFileSync(this.#options.logFile).length
  }

  hasSaid(code: string, sinceBytes: number): boolean {
    return readFileSync(this.#options.logFile).subarray(sinceBytes).includes(code)
  }

  /** What it has printed last. */
  lastLines(count: number): string {
    return readFileSync(this.#options.logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
  }

  #send(signal: 'SIGKILL' | 'SIGTERM'): void {
    this.#life?.asked.add(signal)
    this.#life?.child.kill(signal)
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    const life = this.#life!
    this.#life = undefined
    this.#options.onEvent(`${this.name} has ended: ${signal ?? `exit code ${code}`}`)
    const how = signal ?? code
    const { disk, onDiskFull } = this.#options
    const wasFull = disk !== undefined && disk.fills > life.fillsBefore
    if (wasFull && how === EXIT_DISK && FULL_WORDS.some((word) => this.hasSaid(word, life.logBegin))) {
      this.fullDiskEnds += 1
      onDiskFull?.()
      return
    }
    if (life.asked.has('SIGKILL') && how === 'SIGKILL') return
    // 143 and the bare signal: before it listens, it just leaves
    if (life.asked.has('SIGTERM') && (how === 0 || how === 143 || how === 'SIGTERM')) return
    if (life.stdout.includes('"PORT_IN_USE"')) {
      setTimeout(() => this.start(), PORT_RETRY_MS)
      return
    }
    this.defects.push(`${this.name}, start ${this.#starts}, has ended by itself: ${how}\n${life.stdout}`)
  }
}
