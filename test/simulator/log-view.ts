/**
 * What the files of one node say, read again and again while it runs: whole frames from the byte table of
 * docs/WAL_FORMAT.md, terms by the manifest's history. Shares no code with wal/ but the names of files.
 *
 * Goes on where it stopped, and begins again where a new mastership has cut the log. Costs the node nothing: it looks at
 * the simulated disk from outside.
 */
import { crc32 } from 'node:zlib'
import type { SimDisk } from '../sim/sim-disk.ts'
import { DIRECTORY } from './sim-node.ts'

const HEADER_BYTES = 72
const KIND_ENTRIES = 1
const KIND_SEAL = 2
const KIND_MARK = 7

export interface ViewFrame {
  readonly channel: number
  readonly position: number
  readonly end: number
  readonly kind: number
  readonly epoch: number
  /** Name of the mastership that wrote it. */
  readonly term: string
  readonly crc: string
  /** Of a session: its number. */
  readonly session: number
  /** Of a seal. */
  readonly prev: number
  readonly participants: number
  /** Of a seal or MARK: below this position the channel says it is durable. 0 for others. */
  readonly durable: number
}

export interface ViewMastership {
  readonly name: string
  readonly number: number
  readonly baseEpoch: number
  readonly starts: readonly number[]
}

interface RawMastership {
  readonly term: { readonly number: string; readonly nodeId: string; readonly tag: number }
  readonly baseEpoch: string
  readonly starts: readonly number[]
}

export const termName = (term: { number: bigint | string; nodeId: string; tag: number }): string =>
  `${term.number} of ${term.nodeId.slice(0, 8)} #${term.tag}`

class ChannelView {
  readonly frames: ViewFrame[] = []
  end = 0
}

export class LogView {
  readonly #disk: () => SimDisk
  readonly #onFrame: (frame: ViewFrame) => void
  readonly #onCut: (frames: readonly ViewFrame[]) => void
  #manifest = ''
  #seedBytes: Buffer[] = []
  history: readonly ViewMastership[] = []
  channels: ChannelView[] = []
  /** Sessions in the log, whole epoch or not. A session that is there twice is in `doubles`, too. */
  sessions = new Map<number, ViewFrame>()
  doubles: ViewFrame[] = []
  /** Epoch -> its seals. */
  seals = new Map<number, ViewFrame[]>()
  #whole = new Set<number>([0])

  /** @param onCut is told what a new history takes away while the node runs */
  constructor(
    disk: () => SimDisk,
    onFrame: (frame: ViewFrame) => void,
    onCut: (frames: readonly ViewFrame[]) => void = () => undefined,
  ) {
    this.#disk = disk
    this.#onFrame = onFrame
    this.#onCut = onCut
  }

  /** Forgets everything: the next `advance` reads all files. */
  restart(): void {
    this.#manifest = ''
  }

  advance(): void {
    this.#readManifest()
    for (const [channel, view] of this.channels.entries()) this.#readChannel(channel, view)
  }

  /** By the definition: `prev` is whole, and every channel named in any of its seals holds its seal. */
  isWhole(epoch: number): boolean {
    const path: number[] = []
    for (let at = epoch; !this.#whole.has(at); ) {
      const seals = this.seals.get(at)
      if (seals === undefined) return false
      let named = 0
      let held = 0
      for (const seal of seals) {
        named |= seal.participants
        held |= 1 << seal.channel
      }
      if ((named & ~held) !== 0) return false
      path.push(at)
      at = seals[0]!.prev
    }
    for (const at of path) this.#whole.add(at)
    return true
  }

  /** Would this frame be there after every power loss? */
  isDurable(frame: ViewFrame): boolean {
    const disk = this.#disk()
    const folder = folderOf(frame.channel)
    const bases = basesOf(disk, folder)
    return bases.every((base, i) => {
      const next = bases[i + 1] ?? Number.MAX_SAFE_INTEGER
      const from = Math.max(frame.position, base)
      const to = Math.min(frame.end, next)
      return from >= to || disk.isCertain(`${folder}/${nameOf(base)}`, from - base, to - base)
    })
  }

  #readManifest(): void {
    const file = this.#disk().peek(`${DIRECTORY}/manifest`)
    if (file === undefined) return
    const bytes = Buffer.alloc(file.size)
    file.read(bytes, 0)
    const text = bytes.toString()
    if (text === this.#manifest) return
    const isFirst = this.#manifest === ''
    this.#manifest = text
    // written by the code under test; a wrong shape fails loudly below
    const manifest = JSON.parse(text.split('\n')[1]!) as {
      clusterId: string
      channels: number
      history: readonly RawMastership[]
    }
    const history = manifest.history.map(({ term, baseEpoch, starts }) => ({
      name: termName(term),
      number: Number(term.number),
      baseEpoch: Number(baseEpoch),
      starts,
    }))
    const id = Buffer.from(manifest.clusterId.replaceAll('-', ''), 'hex')
    this.#seedBytes = Array.from({ length: manifest.channels }, (_, c) =>
      Buffer.concat([id, Buffer.from([c, 0, 0, 0])]),
    )
    if (isFirst || this.channels.length === 0) this.#begin(history, manifest.channels)
    else this.#change(history)
  }

  #begin(history: readonly ViewMastership[], channels: number): void {
    this.history = history
    this.channels = Array.from({ length: channels }, () => new ChannelView())
    this.sessions = new Map()
    this.doubles = []
    this.seals = new Map()
    this.#whole = new Set([0])
  }

  /** What both histories say of a byte is the same up to where the first new or dropped mastership starts. */
  #change(history: readonly ViewMastership[]): void {
    let shared = 0
    while (history[shared] !== undefined && history[shared]!.name === this.history[shared]?.name) shared++
    const parts = [history[shared], this.history[shared]].filter((m) => m !== undefined)
    this.history = history
    if (parts.length === 0) return
    const gone: ViewFrame[] = []
    for (const [channel, view] of this.channels.entries()) {
      const cut = Math.min(...parts.map((m) => m.starts[channel] ?? 0))
      while (view.end > cut) {
        const frame = view.frames.pop()
        if (frame === undefined) break
        this.#forget(frame)
        gone.push(frame)
        view.end = frame.position
      }
    }
    this.#whole = new Set([0])
    this.#onCut(gone)
  }

  #forget(frame: ViewFrame): void {
    if (frame.kind === KIND_ENTRIES && this.sessions.get(frame.session) === frame) this.sessions.delete(frame.session)
    if (frame.kind !== KIND_SEAL) return
    const left = (this.seals.get(frame.epoch) ?? []).filter((seal) => seal !== frame)
    if (left.length > 0) this.seals.set(frame.epoch, left)
    else this.seals.delete(frame.epoch)
  }

  #readChannel(channel: number, view: ChannelView): void {
    const folder = folderOf(channel)
    const bases = basesOf(this.#disk(), folder)
    for (;;) {
      const head = this.#read(folder, bases, view.end, HEADER_BYTES)
      if (head === undefined || crc32(head.subarray(4), crc32(this.#seedBytes[channel]!)) !== head.readUInt32LE(0))
        return
      const body = this.#read(folder, bases, view.end + HEADER_BYTES, head.readUInt32LE(8))
      if (body === undefined || crc32(body) !== head.readUInt32LE(12)) return
      if (head.readBigUInt64LE(24) !== BigInt(view.end)) return
      const owner = this.history.findLast((m) => m.starts[channel]! <= view.end)
      const { number, tag } = { number: head.readBigUInt64LE(40), tag: head.readUInt32LE(20) }
      if (owner === undefined || owner.number !== Number(number) || !owner.name.endsWith(` #${tag}`)) return
      this.#take(view, frameOf(channel, view.end, owner.name, head, body))
    }
  }

  #take(view: ChannelView, frame: ViewFrame): void {
    view.frames.push(frame)
    view.end = frame.end
    if (frame.kind === KIND_ENTRIES) {
      if (this.sessions.has(frame.session)) this.doubles.push(frame)
      this.sessions.set(frame.session, frame)
    } else if (frame.kind === KIND_SEAL) {
      const seals = this.seals.get(frame.epoch)
      if (seals === undefined) this.seals.set(frame.epoch, [frame])
      else seals.push(frame)
      this.#whole.delete(frame.epoch)
    }
    this.#onFrame(frame)
  }

  #read(folder: string, bases: readonly number[], position: number, bytes: number): Buffer | undefined {
    const target = Buffer.alloc(bytes)
    let done = 0
    while (done < bytes) {
      const base = bases.findLast((b) => b <= position + done)
      if (base === undefined) return undefined
      const file = this.#disk().peek(`${folder}/${nameOf(base)}`)
      const got = file?.read(target.subarray(done), position + done - base) ?? 0
      if (got === 0) return undefined
      done += got
    }
    return target
  }
}

export const isSession = (frame: ViewFrame): boolean => frame.kind === KIND_ENTRIES

function frameOf(channel: number, position: number, term: string, head: Buffer, body: Buffer): ViewFrame {
  const kind = head[5]!
  return {
    channel,
    position,
    end: position + HEADER_BYTES + body.length,
    kind,
    epoch: Number(head.readBigUInt64LE(32)),
    term,
    crc: `${head.readUInt32LE(0)} ${head.readUInt32LE(12)}`,
    session: kind === KIND_ENTRIES ? body.readDoubleLE(17) : 0, // key of the first put
    prev: kind === KIND_SEAL ? Number(body.readBigUInt64LE(0)) : 0,
    participants: kind === KIND_SEAL ? Number(body.readBigUInt64LE(8)) : 0,
    durable: durableOf(kind, body),
  }
}

const durableOf = (kind: number, body: Buffer): number => {
  if (kind === KIND_SEAL) return Number(body.readBigUInt64LE(24))
  return kind === KIND_MARK ? Number(body.readBigUInt64LE(0)) : 0
}

export const folderOf = (channel: number): string => `${DIRECTORY}/channels/${channel < 10 ? '0' : ''}${channel}`
export const nameOf = (base: number): string => `${base.toString(16).padStart(16, '0')}.wal`
export const basesOf = (disk: SimDisk, folder: string): number[] =>
  disk
    .peekNames(folder)
    .filter((name) => /^[0-9a-f]{16}\.wal$/.test(name))
    .map((name) => Number.parseInt(name.slice(0, 16), 16))

/** Does a file of divergent/ hold this frame? Their names say from which position on: before-TERM-CHANNEL-POSITION.wal. */
export function isKept(disk: SimDisk, frame: ViewFrame): boolean {
  const folder = `${DIRECTORY}/divergent`
  return disk.peekNames(folder).some((name) => {
    const [, channel, from] = /^before-\d+-(\d{2})-([0-9a-f]{16})\.wal$/.exec(name) ?? []
    if (Number(channel) !== frame.channel || from === undefined) return false
    const offset = frame.position - Number.parseInt(from, 16)
    const head = Buffer.alloc(HEADER_BYTES)
    if (offset < 0 || disk.peek(`${folder}/${name}`)?.read(head, offset) !== HEADER_BYTES) return false
    return frame.crc === `${head.readUInt32LE(0)} ${head.readUInt32LE(12)}`
  })
}
