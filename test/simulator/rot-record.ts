/**
 * The last act of some runs, with another victim: the manifest of the master, or the recovery point of one of its channels.
 * Without its manifest a node knows nothing: it refuses, names the file, and changes nothing. A recovery point is a hint:
 * the node starts all the same, and holds what it held (the checkers look at that).
 */
import { TravertineError } from '../../protocol/errors.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import { folderOf } from './log-view.ts'
import { type RotKind, type RottenNode, rotSector } from './rot.ts'
import { DIRECTORY } from './sim-node.ts'
import { Violation } from './violation.ts'

export const ROT_RECORDS = ['manifest', 'recovery point'] as const
export type RotRecord = (typeof ROT_RECORDS)[number]

export class RecordRot {
  readonly node: RottenNode
  readonly #record: RotRecord
  readonly #path: string
  readonly #bytes: string

  /** Damages a node that is down. @returns undefined where there is no such record yet, or nothing has changed */
  static of(node: RottenNode, record: RotRecord, kind: RotKind, random: SeededRandom): RecordRot | undefined {
    const channels = node.disk.peekNames(`${DIRECTORY}/channels`).length
    const path = record === 'manifest' ? `${DIRECTORY}/manifest` : `${folderOf(random.below(channels))}/recovery.point`
    const file = node.disk.peek(path)
    if (file === undefined) return undefined
    const before = allFiles(node)
    if (kind !== 'flipped bit' || random.chance(1, 4) || !flipDigit(node, path, random))
      rotSector(node, { path, offset: random.below(file.size) }, kind, random)
    return allFiles(node) === before ? undefined : new RecordRot(node, record, path)
  }

  private constructor(node: RottenNode, record: RotRecord, path: string) {
    this.node = node
    this.#record = record
    this.#path = path
    this.#bytes = allFiles(node)
  }

  isOf(node: object): boolean {
    return node === this.node
  }

  describe(): string {
    return `${this.#path} of ${this.node.name} rots`
  }

  /** It has recovered. */
  recovered(): void {
    if (this.#record === 'manifest')
      throw new Violation('rot', `${this.describe()}, and it started as if nothing had happened`)
  }

  /** It did not start. */
  judge(error: Error | undefined): void {
    if (this.#record === 'recovery point')
      throw new Violation('rot', `${this.describe()}, and it did not start: ${error?.message}`)
    const { code, where } = error instanceof TravertineError ? error : { code: error?.name, where: undefined }
    // the version is read before anything else: a flipped bit in it is one that nobody knows
    const isNamed = (code === 'MANIFEST_CORRUPT' || code === 'FORMAT_UNSUPPORTED') && where?.file === this.#path
    if (!isNamed) throw new Violation('rot', `${this.describe()}, and it said ${error?.message ?? 'nothing'}`)
    if (allFiles(this.node) !== this.#bytes)
      throw new Violation('rot', `${this.describe()}, and it changed its files before it refused`)
  }
}

/** One digit of a value becomes another one: the record still reads well, and only its checksum tells. @returns is there one? */
function flipDigit({ disk }: RottenNode, path: string, random: SeededRandom): boolean {
  const file = disk.peek(path)
  const bytes = Buffer.alloc(file?.size ?? 0)
  file?.read(bytes, 0)
  const places = [...bytes.keys()].filter((at) => at > bytes.indexOf(LINE_FEED) && isDigit(bytes[at]!)) // within the bytes
  const offset = places[random.below(Math.max(1, places.length))]
  if (offset === undefined) return false
  const bits = [0, 1, 2, 3].filter((bit) => isDigit(bytes[offset]! ^ (1 << bit))) // a place of the list
  disk.flipBit(path, offset, bits[random.below(bits.length)]) // the lowest one always does
  return true
}

const LINE_FEED = 10

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

/** Every file of the directory, with its name. */
function allFiles({ disk }: RottenNode): string {
  const parts: string[] = []
  const walk = (path: string): void => {
    const file = disk.peek(path)
    if (file === undefined) {
      for (const name of disk.peekNames(path)) walk(`${path}/${name}`)
      return
    }
    const bytes = Buffer.alloc(file.size)
    file.read(bytes, 0)
    parts.push(path, bytes.toString('latin1'))
  }
  walk(DIRECTORY)
  return parts.join('\n')
}
