/**
 * Verifies one data directory: every frame from the oldest byte, the chain of epochs over all channels, recovery points,
 * divergent files. Only reads; works while a node runs there.
 *
 * On a live directory channels end at different moments. So the walk has a goal, the ends as they stood when it began,
 * and whatever is missing at the end is looked for once more, by reads begun afterwards, before it counts: what a seal
 * proves was on the disk before the seal was.
 *
 * Memory does not grow with the log: per channel one window of bytes and one seal.
 */
import { setImmediate } from 'node:timers/promises'
import { asError, TravertineError } from '../protocol/errors.ts'
import { CHANNEL_COUNT_LIMIT, MIB } from '../protocol/limits.ts'
import { type Disk, joinPath, readWholeFile } from '../wal/disk.ts'
import { type Manifest, readManifest } from '../wal/manifest.ts'
import {
  decodeRecoveryPoint,
  RECOVERY_POINT_NAME,
  type RecoveryPoint,
  readRecoveryPoint,
} from '../wal/recovery-point.ts'
import { channelDirectory } from '../wal/segments.ts'
import { checkHistory } from '../wal/term-history.ts'
import { ChannelWalk } from './channel-walk.ts'
import { eachDivergentFrame, listDivergent } from './divergent-files.ts'
import { sameHistory, scanDirectory } from './read-log.ts'
import { ChannelCheck, type ChannelCounts, type SealFound } from './verify-channel.ts'
import { chainBroken, incomplete, noBegin, sealMissing } from './verify-findings.ts'

export interface VerifiedChannel extends ChannelCounts {
  readonly channel: number
  readonly firstPosition: number
  readonly end: number
  readonly tail: 'clean' | 'torn-tail'
  /** End of the last whole epoch on this channel. */
  readonly wholeEnd: number
  /** Is there a recovery point, and does recovery use it? */
  readonly recoveryPoint: 'none' | 'used' | 'outdated'
}

export interface VerifyReport {
  readonly directory: string
  readonly clusterId: string
  readonly nodeId: string
  readonly role: string
  /** Last whole epoch. */
  readonly whole: bigint
  readonly epochs: number
  readonly channels: readonly VerifiedChannel[]
  readonly divergentFiles: number
  /** What is wrong, up to a limit. */
  readonly findings: readonly TravertineError[]
  /** How much is wrong, without a limit. */
  readonly findingCount: number
}

export interface VerifyOptions {
  readonly directory: string
  readonly disk: Disk
  /** Called often. `total` is known once the walk begins. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
}

/** A damaged program can make every frame wrong; nobody reads more. */
const FINDINGS_LIMIT = 100
const BYTES_PER_TURN = 8 * MIB
/** A history that changes faster than the log can be read would keep us here for ever. */
const ATTEMPTS_MAX = 3

/** @throws only where nothing can be verified: DIRECTORY_MISSING, MANIFEST_CORRUPT, ... What is wrong is in the report. */
export async function verifyLog(options: VerifyOptions): Promise<VerifyReport> {
  for (let attempt = 1; ; attempt++) {
    const manifest = readManifest(options.disk, options.directory)
    const report = await new LogCheck(options, manifest).run()
    const now = readManifest(options.disk, options.directory)
    if (sameHistory(manifest.history, now.history) || attempt === ATTEMPTS_MAX) return report
  }
}

class LogCheck {
  readonly #options: VerifyOptions
  readonly #manifest: Manifest
  readonly #findings: TravertineError[] = []
  #findingCount = 0
  readonly #channels: ChannelState[] = []
  #whole: bigint
  #epochs = 0
  #totalBytes = 0
  #bytesAtYield = 0

  constructor(options: VerifyOptions, manifest: Manifest) {
    this.#options = options
    this.#manifest = manifest
    const oldest = manifest.history[0]
    this.#whole = oldest?.starts.some((start) => start > 0) === true ? 0n : (oldest?.baseEpoch ?? 0n) // WAL-48
  }

  async run(): Promise<VerifyReport> {
    const { directory } = this.#options
    const { channels, clusterId, nodeId, role } = this.#manifest
    try {
      this.#attempt(() => checkHistory(this.#manifest.history, channels))
      this.#openChannels()
      await this.#followChain()
      await this.#walkToGoals()
      for (const { check } of this.#channels) check.finish()
      this.#checkProofs()
      const divergentFiles = this.#checkDivergent()
      return {
        directory,
        clusterId,
        nodeId,
        role,
        whole: this.#whole,
        epochs: this.#epochs,
        channels: this.#channels.map(factsOf),
        divergentFiles,
        findings: this.#findings,
        findingCount: this.#findingCount,
      }
    } finally {
      for (const { walk } of this.#channels) walk.close()
    }
  }

  #openChannels(): void {
    const { disk, directory } = this.#options
    const points = Array.from({ length: this.#manifest.channels }, (_, channel) => this.#point(channel))
    // taken after the points and before the walk: everything that is proven up to here can be found from now on
    const { channels } = scanDirectory({ directory, disk })
    for (const [channel, { scan }] of channels.entries()) {
      this.#attempt(() => {
        const walk = new ChannelWalk({ disk, directory, manifest: this.#manifest, channel })
        const capacity = walk.capacityEnd()
        const goal = scan?.tail === 'clean' ? scan.end : capacity
        const report = (error: TravertineError): void => this.#report(error)
        const check = new ChannelCheck({
          walk,
          manifest: this.#manifest,
          point: points[channel]?.point,
          proofLimit: scan?.end ?? capacity,
          report,
        })
        const point = points[channel]?.state ?? 'none'
        this.#channels.push({ walk, check, goal, point, head: undefined, wholeSeal: undefined, isStuck: false })
        this.#totalBytes += Math.min(goal, scan?.end ?? goal) - walk.firstPosition
        if (walk.firstPosition !== 0 || capacity === 0) this.#report(noBegin(walk))
      })
    }
  }

  /** Epoch by epoch, as long as each is whole. */
  async #followChain(): Promise<void> {
    for (;;) {
      for (const state of this.#channels) if (state.head === undefined) this.#pull(state, state.goal)
      const first = this.#lowestHead()
      if (first === undefined) return
      const named = this.#namedIn(first)
      if (this.#lookAgain(first.prev > this.#whole ? ALL_CHANNELS : named)) continue
      if (first.prev > this.#whole && this.#channels.some(({ head }) => head === undefined)) return // one before it is not whole
      if (first.prev !== this.#whole) {
        const file = this.#channels.find(({ walk }) => walk.channel === first.channel)?.walk.pathAt(first.position)
        this.#report(chainBroken(first, file ?? '', this.#whole))
        return
      }
      const missing = this.#channels.filter(({ walk, head }) => isIn(named, walk.channel) && !isSameEpoch(head, first))
      for (const { walk, head } of missing) if (head !== undefined) this.#report(sealMissing(walk, first, head))
      if (missing.length > 0) return
      this.#takeEpoch(first)
      await this.#yield()
    }
  }

  /** Channels that should hold more by the word of other channels' seals: on a live directory they may, by now. */
  #lookAgain(wanted: bigint): boolean {
    let found = false
    for (const state of this.#channels) {
      if (state.head !== undefined || !isIn(wanted, state.walk.channel)) continue
      state.walk.lookAfresh()
      this.#pull(state, Number.MAX_SAFE_INTEGER)
      if (state.head !== undefined) found = true
    }
    return found
  }

  /** Channels that any seal of the epoch of `first` names. */
  #namedIn(first: SealFound): bigint {
    let named = 0n
    for (const { head } of this.#channels)
      if (head !== undefined && isSameEpoch(head, first)) named |= head.participants
    return named
  }

  #takeEpoch(first: SealFound): void {
    this.#whole = first.epoch
    this.#epochs++
    for (const state of this.#channels) {
      if (!isSameEpoch(state.head, first)) continue
      state.wholeSeal = state.head
      state.head = undefined
    }
  }

  #lowestHead(): SealFound | undefined {
    let first: SealFound | undefined
    for (const { head } of this.#channels)
      if (head !== undefined && (first === undefined || head.epoch < first.epoch)) first = head
    return first
  }

  /** Walks to the next seal. What stands behind a gap is checked later, and is no part of the chain. */
  #pull(state: ChannelState, stopAt: number): void {
    if (state.check.gaps.length > 0) return
    const seal = this.#next(state, stopAt)
    if (state.check.gaps.length === 0) state.head = seal
  }

  #next(state: ChannelState, stopAt: number): SealFound | undefined {
    if (state.isStuck) return undefined
    try {
      return state.check.nextSeal(stopAt)
    } catch (thrown) {
      state.isStuck = true
      this.#report(thrown)
      return undefined
    }
  }

  /** What lies beyond the last whole epoch, or behind damage, is still checked frame by frame. */
  async #walkToGoals(): Promise<void> {
    for (const state of this.#channels) {
      while (this.#next(state, state.goal) !== undefined) await this.#yield()
    }
  }

  #checkProofs(): void {
    if (this.#findingCount > 0) return // what is damaged is missing, too: that is said already
    for (const { check, walk } of this.#channels) {
      const { storedByOwn } = check
      if (storedByOwn > this.#whole)
        this.#report(incomplete(walk, this.#whole, `${storedByOwn}, which this node has sealed as STORED`))
      const stored = check.point?.stored ?? 0n
      if (stored > this.#whole)
        this.#report(incomplete(walk, this.#whole, `${stored}, which its recovery point knows to be whole`))
    }
  }

  /** Every CRC of what was cut off and kept. */
  #checkDivergent(): number {
    const { disk, directory } = this.#options
    const files = listDivergent(disk, directory)
    for (const file of files) {
      this.#attempt(() => {
        for (const frame of eachDivergentFrame({ disk, manifest: this.#manifest }, file)) void frame
      })
    }
    return files.length
  }

  /** Recovery would take a damaged point for none; whoever verifies wants to hear of it. */
  #point(channel: number): {
    readonly point: RecoveryPoint | undefined
    readonly state: VerifiedChannel['recoveryPoint']
  } {
    const { disk, directory } = this.#options
    const folder = channelDirectory(directory, channel)
    const file = joinPath(folder, RECOVERY_POINT_NAME)
    let point: RecoveryPoint | undefined
    let exists = false
    this.#attempt(() => {
      exists = disk.exists(file)
      if (!exists) return
      decodeRecoveryPoint(readWholeFile(disk, file), file)
      point = readRecoveryPoint(disk, folder, channel, this.#manifest.history)
    })
    return { point, state: point !== undefined ? 'used' : exists ? 'outdated' : 'none' }
  }

  #attempt(act: () => void): void {
    try {
      act()
    } catch (thrown) {
      this.#report(thrown)
    }
  }

  #report(thrown: unknown): void {
    if (!(thrown instanceof TravertineError)) throw asError(thrown)
    this.#findingCount++
    if (this.#findings.length < FINDINGS_LIMIT) this.#findings.push(thrown)
  }

  /** Lets signals and the progress bar have their turn. */
  async #yield(): Promise<void> {
    const done = this.#channels.reduce((sum, { walk }) => sum + walk.position - walk.firstPosition, 0)
    if (done - this.#bytesAtYield < BYTES_PER_TURN) return
    this.#bytesAtYield = done
    this.#options.onProgress?.(done, Math.max(done, this.#totalBytes))
    await setImmediate()
  }
}

interface ChannelState {
  readonly walk: ChannelWalk
  readonly check: ChannelCheck
  /** End of the channel when we began. */
  readonly goal: number
  readonly point: VerifiedChannel['recoveryPoint']
  /** Its next seal, not yet part of a whole epoch. */
  head: SealFound | undefined
  /** Its last seal in a whole epoch. */
  wholeSeal: SealFound | undefined
  /** It cannot be read on; why is reported. */
  isStuck: boolean
}

const ALL_CHANNELS = (1n << BigInt(CHANNEL_COUNT_LIMIT)) - 1n

/** Is this channel in a set of channels, one bit each? */
const isIn = (set: bigint, channel: number): boolean => (set & (1n << BigInt(channel))) !== 0n

const isSameEpoch = (a: SealFound | undefined, b: SealFound): boolean => a?.epoch === b.epoch && a.term === b.term

function factsOf({ walk, check, point, wholeSeal }: ChannelState): VerifiedChannel {
  const { channel, firstPosition, tail } = walk
  return {
    channel,
    firstPosition,
    end: walk.position,
    tail,
    wholeEnd: wholeSeal?.end ?? firstPosition,
    recoveryPoint: point,
    ...check.counts,
  }
}
