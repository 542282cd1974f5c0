/**
 * The last act of some runs, with a replica as victim: bytes of its log that were flushed rot. It cannot tell them from a
 * torn tail, as nothing in its log says what was durable here (WAL-43). So it may start, with less than it held; or it
 * refuses, and names the place. If it starts it takes from the master what it has lost, and ends with the master's frames.
 */
import { TravertineError } from '../../protocol/errors.ts'
import type { SeededRandom } from '../sim/seeded-random.ts'
import type { SimDisk } from '../sim/sim-disk.ts'
import { LogView } from './log-view.ts'
import { type Place, type RotKind, type RottenNode, rotSector, somePlace } from './rot.ts'
import { Violation } from './violation.ts'

export class ReplicaRot {
  readonly node: RottenNode
  readonly #place: Place

  /** Damages a node that is down. @returns undefined where it has nothing that recovery reads, or nothing has changed */
  static of(node: RottenNode, view: LogView, kind: RotKind, random: SeededRandom): ReplicaRot | undefined {
    const place = somePlace(node, view, random)
    if (place === undefined) return undefined
    rotSector(node, place, kind, random)
    return framesOf(node.disk).join() === framesOf(node.disk, view).join() ? undefined : new ReplicaRot(node, place)
  }

  private constructor(node: RottenNode, place: Place) {
    this.node = node
    this.#place = place
  }

  isOf(node: object): boolean {
    return node === this.node
  }

  describe(): string {
    const { path, offset } = this.#place
    return `${path} of the replica ${this.node.name} rots at ${offset}`
  }

  /** Does it hold what the master holds, to be read again from both disks? */
  isMended(master: SimDisk): boolean {
    return framesOf(this.node.disk).join() === framesOf(master).join()
  }

  /** It did not start. */
  judge(error: Error | undefined): void {
    const { code, where } = error instanceof TravertineError ? error : { code: error?.name, where: undefined }
    const isNamed = code === 'LOG_DAMAGED' && where?.channel === this.#place.channel && where.file !== undefined
    if (!isNamed) throw new Violation('rot', `${this.describe()}, and it said ${error?.message ?? 'nothing'}`)
  }
}

/** Each frame in its place, with its CRCs, as a fresh look at the files finds them. */
function framesOf(disk: SimDisk, known?: LogView): string[] {
  const view = known ?? freshView(disk)
  return view.channels.flatMap(({ frames }) =>
    frames.map(({ channel, position, crc }) => `${channel} ${position} ${crc}`),
  )
}

function freshView(disk: SimDisk): LogView {
  const view = new LogView(
    () => disk,
    () => undefined,
  )
  view.advance()
  return view
}
