/**
 * Are the logs of two data directories one history? The same bytes at the same (channel, position) up to the shorter end,
 * and term histories of which one continues the other. Only reads; works while nodes run there.
 *
 * Frames are compared side by side, so a difference is told with its frame and epoch. Where one log is shorter, a replica
 * that is behind is no difference. Surplus is one: bytes that a younger term of the other log has cut (DESIGN 4b).
 */
import { setImmediate } from 'node:timers/promises'
import { TravertineError } from '../protocol/errors.ts'
import { MIB } from '../protocol/limits.ts'
import type { Disk } from '../wal/disk.ts'
import type { ScannedFrame } from '../wal/frame-scan.ts'
import { type Manifest, readManifest } from '../wal/manifest.ts'
import { commonEnds, lastShared } from '../wal/term-history.ts'
import { ChannelWalk, gapError } from './channel-walk.ts'
import { sameHistory, scanDirectory } from './read-log.ts'

/** `unknown`: damaged, so that no scan could tell. */
type Tail = 'clean' | 'torn-tail' | 'unknown'

export interface ComparedChannel {
  readonly channel: number
  /** Ends of the two logs, as they were when the comparison began. */
  readonly ends: readonly [number, number]
  readonly tails: readonly [Tail, Tail]
  /** Both hold the same bytes below. */
  readonly sameUpTo: number
}

/** Where two logs part. `epochs` and `files`: of the first and of the second log. */
export interface Parting {
  readonly error: TravertineError
  readonly channel?: number
  readonly position?: number
  readonly epochs?: readonly [bigint, bigint]
  readonly files?: readonly [string, string]
}

export interface CompareReport {
  readonly directories: readonly [string, string]
  /** Terms that both histories hold. */
  readonly sharedTerms: number
  readonly channels: readonly ComparedChannel[]
  /** Empty if the two are one history. */
  readonly partings: readonly Parting[]
}

export interface CompareOptions {
  readonly disk: Disk
  readonly directories: readonly [string, string]
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
}

const BYTES_PER_TURN = 8 * MIB
const ATTEMPTS_MAX = 3

/** @throws what is wrong with a directory or manifest as a whole */
export async function compareLogs(options: CompareOptions): Promise<CompareReport> {
  const { disk, directories } = options
  const read = (): readonly [Manifest, Manifest] => [
    readManifest(disk, directories[0]),
    readManifest(disk, directories[1]),
  ]
  for (let attempt = 1; ; attempt++) {
    const manifests = read()
    const report = await new Comparison(options, manifests).run()
    const now = read()
    const isStill =
      sameHistory(manifests[0].history, now[0].history) && sameHistory(manifests[1].history, now[1].history)
    if (isStill || attempt === ATTEMPTS_MAX) return report
  }
}

class Comparison {
  readonly #options: CompareOptions
  readonly #a: Manifest
  readonly #b: Manifest
  readonly #partings: Parting[] = []
  #doneBytes = 0
  #totalBytes = 0

  constructor(options: CompareOptions, [a, b]: readonly [Manifest, Manifest]) {
    this.#options = options
    this.#a = a
    this.#b = b
  }

  async run(): Promise<CompareReport> {
    const { directories } = this.#options
    const channels: ComparedChannel[] = []
    const sharedTerms = countShared(this.#a, this.#b)
    if (this.#isComparable()) {
      const common = this.#commonEnds()
      const scans = this.#scans()
      this.#totalBytes = scans.reduce((sum, { ends }) => sum + Math.min(...ends), 0)
      for (const [channel, { ends, tails }] of scans.entries()) {
        // the shorter end; where an end is doubtful the walk itself finds it
        const goal = tails.every((tail) => tail === 'clean') ? Math.min(...ends) : Number.MAX_SAFE_INTEGER
        channels.push({ channel, ends, tails, sameUpTo: await this.#compareChannel(channel, goal) })
      }
      if (common !== undefined) this.#checkTerms(sharedTerms, common, channels)
    }
    return { directories, sharedTerms, channels, partings: this.#partings }
  }

  #isComparable(): boolean {
    const facts = [
      ['cluster', this.#a.clusterId, this.#b.clusterId],
      ['number of channels', this.#a.channels, this.#b.channels],
    ] as const
    for (const [name, a, b] of facts) {
      if (a === b) continue
      this.#partings.push({ error: differ(`found ${name} ${a} and ${name} ${b}, expected the same`, {}) })
      return false
    }
    return true
  }

  #commonEnds(): readonly number[] | undefined {
    try {
      return commonEnds(this.#a.history, this.#b.history, this.#a.channels)
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.#partings.push({ error: differ('found one term with two sets of start positions', {}, thrown.hint) })
      return undefined
    }
  }

  #scans(): Pick<ComparedChannel, 'ends' | 'tails'>[] {
    const { disk, directories } = this.#options
    const [a, b] = directories.map((directory) => scanDirectory({ disk, directory }).channels)
    return Array.from({ length: this.#a.channels }, (_, channel) => {
      const one = a?.[channel]?.scan
      const other = b?.[channel]?.scan
      return { ends: [one?.end ?? 0, other?.end ?? 0], tails: [one?.tail ?? 'unknown', other?.tail ?? 'unknown'] }
    })
  }

  async #compareChannel(channel: number, goal: number): Promise<number> {
    const { disk, directories } = this.#options
    const walks: ChannelWalk[] = []
    let sameUpTo = 0
    try {
      walks.push(new ChannelWalk({ disk, directory: directories[0], manifest: this.#a, channel }))
      walks.push(new ChannelWalk({ disk, directory: directories[1], manifest: this.#b, channel }))
      const [a, b] = walks as [ChannelWalk, ChannelWalk] // two were just put in
      const limit = Math.min(goal, Math.max(a.capacityEnd(), b.capacityEnd()))
      let turnEnd = BYTES_PER_TURN
      while (sameUpTo < limit && this.#step(a, b)) {
        sameUpTo = a.position
        if (sameUpTo < turnEnd) continue
        turnEnd = sameUpTo + BYTES_PER_TURN
        await this.#yield(sameUpTo)
      }
      this.#doneBytes += sameUpTo
    } catch (thrown) {
      if (!(thrown instanceof TravertineError)) throw thrown
      this.#partings.push({ error: thrown, channel })
    } finally {
      for (const walk of walks) walk.close()
    }
    return sameUpTo
  }

  /** One frame further in both. @returns false at the end of one, or where they part */
  #step(a: ChannelWalk, b: ChannelWalk): boolean {
    const steps = [a.next(), b.next()] as const
    for (const step of steps) {
      if (step?.gap === undefined) continue
      const { channel, from: position, file } = step.gap
      this.#partings.push({ error: gapError(step.gap, false), channel, position, files: [file, file] })
      return false
    }
    const [one, other] = [steps[0]?.frame, steps[1]?.frame]
    if (one === undefined || other === undefined) return false
    if (one.frame.equals(other.frame)) return true
    this.#partings.push(bytesDiffer(a, b, one, other))
    return false
  }

  #checkTerms(shared: number, common: readonly number[], channels: readonly ComparedChannel[]): void {
    const last = lastShared(this.#a.history, this.#b.history)
    const nextOfA = this.#a.history[last === undefined ? 0 : last.a + 1]
    const nextOfB = this.#b.history[last === undefined ? 0 : last.b + 1]
    if (nextOfA !== undefined && nextOfB !== undefined) {
      const terms = [nextOfA, nextOfB].map(({ term }) => `term ${term.number} of node ${term.nodeId}`)
      const parted = `found ${terms[0]} and ${terms[1]} behind ${shared} shared terms, expected one to continue the other`
      const channel = common.indexOf(Math.min(...common))
      const position = common[channel] ?? 0
      const epochs = [nextOfA.firstEpoch, nextOfB.firstEpoch] as const
      this.#partings.push({
        error: differ(parted, { channel, offset: position, epoch: nextOfA.firstEpoch }),
        channel,
        position,
        epochs,
      })
      return
    }
    const younger = nextOfA ?? nextOfB
    if (younger === undefined || shared === 0) return
    for (const { channel } of channels) this.#checkSurplus(channel, common[channel] ?? 0, nextOfA === undefined ? 0 : 1)
  }

  /** Does the log with the shorter history hold frames at or beyond the place where the other history cuts? */
  #checkSurplus(channel: number, cut: number, index: 0 | 1): void {
    const { disk, directories } = this.#options
    const manifest = index === 0 ? this.#a : this.#b
    const directory = directories[index]
    if (this.#partings.some((parting) => parting.channel === channel)) return
    const walk = new ChannelWalk({ disk, directory, manifest, channel, from: cut })
    try {
      const frame = walk.next()?.frame
      if (frame === undefined) return
      const file = walk.pathAt(cut)
      const where = { file, channel, offset: cut, epoch: frame.header.epoch }
      const found = `found frames of term ${frame.header.term} on channel ${channel} at position ${cut} in ${directory}, which the other history has cut there`
      this.#partings.push({ error: differ(found, where, SURPLUS_HINT), channel, position: cut, files: [file, file] })
    } finally {
      walk.close()
    }
  }

  async #yield(position: number): Promise<void> {
    const done = this.#doneBytes + position
    this.#options.onProgress?.(done, Math.max(done, this.#totalBytes))
    await setImmediate()
  }
}

const SURPLUS_HINT =
  'the surplus goes to divergent/ when this node follows the other one; until then the two are not one history'

function countShared(a: Manifest, b: Manifest): number {
  const last = lastShared(a.history, b.history)
  return last === undefined ? 0 : 1 + Math.min(last.a, last.b)
}

function bytesDiffer(a: ChannelWalk, b: ChannelWalk, one: ScannedFrame, other: ScannedFrame): Parting {
  const { channel } = a
  const { position } = one
  const byte = firstDifference(one.frame, other.frame)
  const files = [a.pathAt(position), b.pathAt(position)] as const
  const epochs = [one.header.epoch, other.header.epoch] as const
  const terms = [one.header.term, other.header.term] as const
  const of = (i: 0 | 1): string => `epoch ${epochs[i]} of term ${terms[i]}`
  const found = `found different frames on channel ${channel} at position ${position} (${of(0)} and ${of(1)}; they differ from byte ${byte} on), expected equal bytes; the other file is ${files[1]}`
  const where = { file: files[0], channel, offset: position, epoch: one.header.epoch }
  return { error: differ(found, where), channel, position, epochs, files }
}

function firstDifference(a: Buffer, b: Buffer): number {
  const most = Math.min(a.length, b.length)
  for (let at = 0; at < most; at++) if (a[at] !== b[at]) return at
  return most
}

function differ(found: string, where: TravertineError['where'], hint?: string): TravertineError {
  return new TravertineError('HISTORIES_DIFFER', `Cannot take the two logs for one history: ${found}`, {
    where,
    hint: hint ?? 'keep both directories; the one that is not the master’s history is replaced by a new replica',
  })
}
