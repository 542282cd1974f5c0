/**
 * The last act of some runs: bytes of the master's log that were flushed long ago rot. One copy cannot survive that. What
 * the node owes is to notice: it refuses to start, names file and position, and leaves every byte as it is.
 *
 * Only bytes are damaged that a later seal or MARK of this node, or the start of its mastership, proves (WAL-43), and that
 * recovery has to look at: what lies below the recovery point it rightly does not read.
 */
import { TravertineError } from '../../protocol/errors.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { CheckedNode } from './checkers.ts'
import { basesOf, folderOf, type LogView, nameOf, type ViewFrame } from './log-view.ts'
import { DIRECTORY } from './sim-node.ts'
import { Violation } from './violation.ts'

export const ROT_KINDS = ['flipped bit', 'zeroed sector', 'lost sector'] as const
export type RotKind = (typeof ROT_KINDS)[number]

export type RottenNode = Pick<CheckedNode, 'name' | 'nodeId' | 'disk'>

export interface Place {
  readonly channel: number
  readonly path: string
  /** Of the damaged byte in the file, and of the file's first byte in the channel. */
  readonly offset: number
  readonly base: number
  /** Where its sector begins in the channel. */
  readonly sectorAt: number
}

export class Rot {
  readonly node: RottenNode
  readonly #channel: number
  readonly #path: string
  /** Where the first damaged frame begins. */
  readonly #position: number
  readonly #bytes: string

  /** Damages a node that is down. @returns undefined where nothing can be damaged that it has to notice */
  static of(node: RottenNode, view: LogView, kind: RotKind, random: SeededRandom): Rot | undefined {
    for (let tries = 0; tries < 20; tries++) {
      const place = somePlace(node, view, random)
      if (place === undefined || !isProven(node, view, place)) continue
      const before = contentOf(node, place.path)
      rotSector(node, place, kind, random)
      const at = firstDifference(before, contentOf(node, place.path))
      if (at === undefined) continue // zeros became zeros
      const frame = view.channels[place.channel]!.frames.findLast((f) => f.position <= place.base + at)
      if (frame !== undefined) return new Rot(node, place, frame)
    }
    return undefined
  }

  private constructor(node: RottenNode, place: Place, frame: ViewFrame) {
    this.node = node
    this.#channel = place.channel
    this.#path = place.path
    this.#position = frame.position
    this.#bytes = allBytes(node)
  }

  isOf(node: object): boolean {
    return node === this.node
  }

  describe(): string {
    return `${this.#path} rots at position ${this.#position} of ${this.node.name}`
  }

  /** It has recovered. */
  recovered(): never {
    throw new Violation('rot', `${this.describe()}, and it started as if nothing had happened`)
  }

  /** It did not start. */
  judge(error: Error | undefined): void {
    const { code, where } = error instanceof TravertineError ? error : { code: error?.name, where: undefined }
    const isNamed =
      code === 'LOG_DAMAGED' &&
      where?.channel === this.#channel &&
      where.offset === this.#position &&
      where.file !== undefined
    if (!isNamed)
      throw new Violation(
        'rot',
        `${this.describe()}, and it said ${error instanceof TravertineError ? error.describe() : (error?.message ?? 'nothing')}`,
      )
    if (allBytes(this.node) !== this.#bytes)
      throw new Violation('rot', `${this.describe()}, and it changed its files before it refused`)
  }
}

/** A byte of some frame that recovery has to look at. */
export function somePlace({ disk }: RottenNode, view: LogView, random: SeededRandom): Place | undefined {
  const channel = random.below(view.channels.length)
  const { frames } = view.channels[channel]!
  const folder = folderOf(channel)
  const from = recoveryPosition(disk.peek(`${folder}/recovery.point`))
  const frame = frames[random.below(Math.max(1, frames.length))]
  if (frame === undefined || frame.position < from) return undefined
  const at = frame.position + random.below(frame.end - frame.position)
  const base = basesOf(disk, folder).findLast((b) => b <= at)
  if (base === undefined) return undefined
  const sectorAt = at - ((at - base) % disk.sectorBytes)
  if (sectorAt < from) return undefined
  const first = frames.findLast((f) => f.position <= sectorAt)?.position ?? 0
  if (first > at) return undefined
  return { channel, path: `${folder}/${nameOf(base)}`, offset: at - base, base, sectorAt }
}

/** Whichever byte of the sector is the first that is hit: does a later frame of this node prove it? */
function isProven({ disk, nodeId }: RottenNode, view: LogView, { channel, sectorAt }: Place): boolean {
  const { frames } = view.channels[channel]!
  const isOwn = (term: string): boolean => term.includes(` of ${nodeId.slice(0, 8)} `)
  const later = frames.filter((f) => f.position >= sectorAt + disk.sectorBytes && isOwn(f.term))
  const started = view.history.findLast(({ name }) => isOwn(name))?.starts[channel] ?? 0
  return Math.max(started, ...later.map(({ durable }) => durable)) >= sectorAt + disk.sectorBytes
}

/** The sector of one byte of a file. */
export function rotSector(
  { disk }: RottenNode,
  { path, offset }: { readonly path: string; readonly offset: number },
  kind: RotKind,
  random: SeededRandom,
): void {
  if (kind === 'flipped bit') return disk.flipBit(path, offset, random.below(8))
  const had = kind === 'lost sector' && disk.peek(path)?.loseSector(Math.floor(offset / disk.sectorBytes))
  if (had !== true) disk.zeroSector(path, offset)
}

interface Content {
  readonly size: number
  read(target: Uint8Array, offset: number): number
}

function recoveryPosition(file: Content | undefined): number {
  if (file === undefined) return 0
  const point: unknown = JSON.parse(textOf(file).split('\n')[1]!) // written by the code under test: a wrong shape is loud
  return Number((point as { position: number }).position) // WAL-65
}

function contentOf({ disk }: RottenNode, path: string): Buffer {
  return bytesOf(disk.peek(path))
}

function bytesOf(file: Content | undefined): Buffer {
  const bytes = Buffer.alloc(file?.size ?? 0)
  file?.read(bytes, 0)
  return bytes
}

const textOf = (file: Content): string => bytesOf(file).toString()

/** The logs, and the manifest: a start that is refused promises no term. */
function allBytes({ disk }: RottenNode): string {
  const parts = [bytesOf(disk.peek(`${DIRECTORY}/manifest`)).toString('latin1')]
  for (const channel of disk.peekNames(`${DIRECTORY}/channels`)) {
    const folder = `${DIRECTORY}/channels/${channel}`
    for (const name of disk.peekNames(folder)) {
      if (name.endsWith('.wal')) parts.push(name, bytesOf(disk.peek(`${folder}/${name}`)).toString('latin1'))
    }
  }
  return parts.join('\n')
}

function firstDifference(a: Buffer, b: Buffer): number | undefined {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return i
  return undefined
}
