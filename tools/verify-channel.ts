/**
 * Checks one channel's frames, one after the other, against everything that docs/WAL_FORMAT.md says of a channel: on top
 * of validity (WAL-4, channel-walk.ts) the rules between frames. Gives its seals to verify-log.ts, which follows the
 * chain of epochs over all channels.
 *
 * Written apart from recovery on purpose: it shares the rule for a valid frame with it, and nothing else.
 *
 * Memory does not grow with the log: seals are handed out one at a time.
 */
import { decodeConfig } from '../protocol/cluster-config.ts'
import { walkBody } from '../protocol/entry.ts'
import { type ErrorCode, type ErrorPlace, TravertineError } from '../protocol/errors.ts'
import { FLAG_EXPLICIT_VERSIONS, FRAME_HEADER_BYTES, FrameKind } from '../protocol/frame.ts'
import { decodeMark, decodeSeal, type Seal } from '../protocol/seal.ts'
import type { ScannedFrame } from '../wal/frame-scan.ts'
import type { Manifest } from '../wal/manifest.ts'
import type { RecoveryPoint } from '../wal/recovery-point.ts'
import { mastershipAt, wholeThrough } from '../wal/term-history.ts'
import { type ChannelWalk, type Gap, gapError } from './channel-walk.ts'
import { SessionOrder } from './session-order.ts'

/** A seal on its channel. `end` moves on while MARKs follow directly (WAL-36). */
export interface SealFound extends Seal {
  readonly channel: number
  readonly epoch: bigint
  readonly term: bigint
  readonly position: number
  end: number
}

export interface ChannelCounts {
  bytes: number
  frames: number
  sessions: number
  entries: number
  seals: number
  marks: number
  configs: number
}

export interface ChannelCheckOptions {
  readonly walk: ChannelWalk
  readonly manifest: Manifest
  readonly point: RecoveryPoint | undefined
  /** What is STORED by the word of a frame beyond was perhaps not yet so when the walk began. */
  readonly proofLimit: number
  readonly report: (error: TravertineError) => void
}

export class ChannelCheck {
  readonly counts: ChannelCounts = { bytes: 0, frames: 0, sessions: 0, entries: 0, seals: 0, marks: 0, configs: 0 }
  readonly gaps: Gap[] = []
  /** Highest durable position, and highest STORED, that this node itself has sealed or marked here (WAL-43). */
  provenPosition = 0
  storedByOwn = 0n
  readonly #walk: ChannelWalk
  readonly #manifest: Manifest
  /** The recovery point that recovery would begin at. */
  readonly point: RecoveryPoint | undefined
  readonly #proofLimit: number
  readonly #report: (error: TravertineError) => void
  /** Behind a gap nobody knows what stood before: rules between frames rest until the next seal. */
  #blind = false
  #lastSeal: SealFound | undefined
  #term = 0n
  /** Epoch of the sessions since the last seal; 0 where there are none. */
  #openEpoch = 0n
  /** Entries stamped in the open epoch so far: what the next first minor counts from. */
  #minorCount = 0n
  #pointMet = false
  readonly #order = new SessionOrder()
  /** Of the newest CONFIG, and the term it stands in. */
  #configNumber = 0
  #configTerm = 0n

  constructor(options: ChannelCheckOptions) {
    this.#walk = options.walk
    this.#manifest = options.manifest
    this.point = options.point
    this.#proofLimit = options.proofLimit
    this.#report = options.report
  }

  get channel(): number {
    return this.#walk.channel
  }

  /** Checks frames up to the next seal and returns it; undefined at the end of the channel, or once `stopAt` is reached. */
  nextSeal(stopAt: number): SealFound | undefined {
    while (this.#walk.position < stopAt) {
      const step = this.#walk.next()
      if (step === undefined) return undefined
      if (step.gap !== undefined) {
        this.gaps.push(step.gap)
        this.#blind = true
        continue
      }
      const seal = this.#check(step.frame)
      if (seal !== undefined) return seal
    }
    return undefined
  }

  /** Once the walk is over: gaps and the recovery point, judged with all that the channel has proven. */
  finish(): void {
    const proven = Math.max(this.provenPosition, this.point?.position ?? 0)
    for (const gap of this.gaps) this.#report(gapError(gap, gap.from < proven))
    if (this.gaps.length === 0 && this.#walk.position < proven) {
      this.#complain(
        'LOG_DAMAGED',
        this.#walk.position,
        `found its end at ${this.#walk.position}, expected durable bytes up to ${proven}`,
      )
    }
    const { point } = this
    if (point !== undefined && !this.#pointMet && !this.gaps.some((gap) => gap.to > point.sealPosition)) {
      this.#complain('LOG_DAMAGED', point.sealPosition, 'found no seal there, expected the one of its recovery point')
    }
  }

  #check({ header, frame, position, end }: ScannedFrame): SealFound | undefined {
    this.counts.frames++
    this.counts.bytes += end - position
    if (header.term !== this.#term) this.#beginTerm(header.term, position)
    const body = frame.subarray(FRAME_HEADER_BYTES)
    if (header.kind === FrameKind.ENTRIES) this.#checkSession(header, body, position)
    else {
      const { flags, entryCount, firstMinor, producerId, producerSequence } = header
      if (flags !== 0 || entryCount !== 0 || firstMinor !== 0n || producerId !== 0n || producerSequence !== 0) {
        this.#complain('ENTRY_MALFORMED', position, 'found session fields in a frame without a session, expected zeros')
      }
      if (header.kind === FrameKind.SEAL) return this.#checkSeal(header, body, { position, end })
      if (header.kind === FrameKind.CONFIG) this.#checkConfig(header, body, position)
      else this.#checkMark(header, body, { position, end })
    }
    return undefined
  }

  /** A mastership begins behind a seal: what was open in the one before was cut. */
  #beginTerm(term: bigint, position: number): void {
    if (this.#openEpoch !== 0n && !this.#blind) {
      this.#complain(
        'LOG_DAMAGED',
        position,
        `found term ${term} begin within epoch ${this.#openEpoch}, expected its seal first`,
      )
    }
    this.#term = term
    this.#openEpoch = 0n
  }

  #checkSession(header: ScannedFrame['header'], body: Buffer, position: number): void {
    const { epoch, entryCount, firstMinor, flags, producerId, producerSequence } = header
    this.counts.sessions++
    this.counts.entries += entryCount
    this.#enterEpoch(epoch, position)
    const before = this.#order.note(producerId, producerSequence)
    if (before !== undefined) {
      this.#complain(
        'LOG_DAMAGED',
        position,
        `found session ${producerSequence} of producer ${producerId} behind its session ${before}, expected a higher one`,
      )
    }
    const minor = (BigInt(this.channel) << 56n) + this.#minorCount
    if (firstMinor !== minor && !this.#blind) {
      this.#complain('LOG_DAMAGED', position, `found first minor version ${firstMinor}, expected ${minor}`)
    }
    this.#minorCount += BigInt(entryCount)
    try {
      const found = walkBody(body, 0, body.length, (flags & FLAG_EXPLICIT_VERSIONS) !== 0, this.#place(position))
      if (found.entryCount !== entryCount)
        this.#complain('ENTRY_MALFORMED', position, `found ${found.entryCount} entries, expected ${entryCount}`)
      if (found.majorMax > epoch)
        this.#complain(
          'ENTRY_MALFORMED',
          position,
          `found major version ${found.majorMax}, expected at most the epoch ${epoch}`,
        )
    } catch (error) {
      this.#pass(error, position)
    }
  }

  /** WAL-39: stamped like a session; numbers go up by one in a term, and never down. */
  #checkConfig({ epoch, term }: ScannedFrame['header'], body: Buffer, position: number): void {
    this.counts.configs++
    this.#enterEpoch(epoch, position)
    if (this.channel !== 0) this.#complain('LOG_DAMAGED', position, 'found a CONFIG, expected it on channel 0 only')
    try {
      const { number } = decodeConfig(body, this.#place(position)).config
      const isNext = term === this.#configTerm ? number === this.#configNumber + 1 : number >= this.#configNumber
      if (!isNext && !this.#blind)
        this.#complain('LOG_DAMAGED', position, `found config ${number} behind config ${this.#configNumber}`)
      this.#configNumber = number
      this.#configTerm = term
    } catch (error) {
      this.#pass(error, position)
    }
  }

  /** What is stamped with an epoch stands behind the seal of the one before, and before its own. */
  #enterEpoch(epoch: bigint, position: number): void {
    const sealed = this.#lastSeal?.epoch ?? 0n
    if (epoch <= sealed)
      this.#complain(
        'LOG_DAMAGED',
        position,
        `found a session of epoch ${epoch}, expected one above ${sealed}, which is sealed`,
      )
    if (epoch !== this.#openEpoch) {
      if (this.#openEpoch !== 0n && !this.#blind) {
        this.#complain(
          'LOG_DAMAGED',
          position,
          `found a session of epoch ${epoch}, expected ${this.#openEpoch} until its seal`,
        )
      }
      this.#openEpoch = epoch
      this.#minorCount = 0n
    }
  }

  #checkSeal(
    header: ScannedFrame['header'],
    body: Buffer,
    at: { position: number; end: number },
  ): SealFound | undefined {
    const { channel } = this
    const { position } = at
    const { epoch, term } = header
    this.counts.seals++
    let seal: Seal
    try {
      seal = decodeSeal(body, this.#place(position))
    } catch (error) {
      this.#pass(error, position)
      return undefined
    }
    const sealed = this.#lastSeal?.epoch ?? 0n
    const mastership = mastershipAt(this.#manifest.history, channel, position)
    const bad = (found: string): void => this.#complain('LOG_DAMAGED', position, `found ${found}`)
    if (epoch <= sealed) bad(`the seal of epoch ${epoch} behind that of ${sealed}, expected ascending epochs`)
    if (this.#openEpoch !== 0n && this.#openEpoch !== epoch && !this.#blind)
      bad(`the seal of epoch ${epoch} behind sessions of ${this.#openEpoch}`)
    if (mastership !== undefined && epoch < mastership.firstEpoch)
      bad(`epoch ${epoch} in term ${term}, expected at least ${mastership.firstEpoch}`)
    if (seal.participants >> BigInt(this.#manifest.channels) !== 0n)
      bad('a seal that names channels which the cluster does not have')
    if ((seal.participants & (1n << BigInt(channel))) === 0n) bad('a seal that does not name its own channel')
    if (seal.stored >= epoch) bad(`a seal of epoch ${epoch} that knows epoch ${seal.stored} to be STORED`)
    if (seal.durablePosition > position)
      bad(`a seal that knows position ${seal.durablePosition} to be durable, expected at most its own`)
    this.#prove(position, seal)
    this.#openEpoch = 0n
    this.#blind = false
    this.#lastSeal = { ...seal, channel, epoch, term, ...at }
    this.#meetPoint(this.#lastSeal, header.termTag)
    return this.#lastSeal
  }

  #checkMark(header: ScannedFrame['header'], body: Buffer, { position, end }: { position: number; end: number }): void {
    this.counts.marks++
    if (header.epoch !== 0n)
      this.#complain('ENTRY_MALFORMED', position, `found a MARK of epoch ${header.epoch}, expected 0`)
    try {
      const mark = decodeMark(body, this.#place(position))
      if (mark.durablePosition > position)
        this.#complain(
          'LOG_DAMAGED',
          position,
          `found a MARK that knows position ${mark.durablePosition} to be durable`,
        )
      this.#prove(position, mark)
    } catch (error) {
      this.#pass(error, position)
    }
    if (this.#lastSeal?.end === position) this.#lastSeal.end = end
  }

  #prove(position: number, proof: { readonly durablePosition: number; readonly stored: bigint }): void {
    const { history, nodeId } = this.#manifest
    const term = mastershipAt(history, this.channel, position)?.term
    if (term?.nodeId !== nodeId) return
    this.provenPosition = Math.max(this.provenPosition, proof.durablePosition)
    const held = wholeThrough(history, term.number, proof.stored)
    if (position < this.#proofLimit && held > this.storedByOwn) this.storedByOwn = held
  }

  #meetPoint(seal: SealFound, termTag: number): void {
    const { point } = this
    if (point === undefined || point.sealPosition !== seal.position) return
    this.#pointMet = true
    const same =
      point.position === seal.end && point.epoch === seal.epoch && point.term === seal.term && point.termTag === termTag
    if (same) return
    this.#complain(
      'LOG_DAMAGED',
      seal.position,
      `found the seal of epoch ${seal.epoch}, ending at ${seal.end}, expected what its recovery point says: epoch ${point.epoch}, ending at ${point.position}`,
    )
  }

  /** CRCs are right here: whatever is wrong was written so, by a broken program. */
  #complain(code: ErrorCode, position: number, found: string): void {
    const hint = 'a program has written this log wrongly: keep the directory and report it'
    this.#report(
      new TravertineError(code, `Cannot accept channel ${this.channel} at position ${position}: ${found}`, {
        where: this.#place(position),
        hint,
      }),
    )
  }

  #pass(error: unknown, position: number): void {
    if (!(error instanceof TravertineError)) throw error
    const { code, message, hint } = error
    this.#report(new TravertineError(code, message, { where: this.#place(position), hint }))
  }

  #place(position: number): ErrorPlace {
    return { file: this.#walk.pathAt(position), channel: this.channel, offset: position }
  }
}
