/**
 * The bytes of one simulated file: what everybody sees (the page cache) and, sector by sector, what may be on the disk.
 *
 * Only sectors and sizes that are not certain are kept apart from the cache. Such a one has versions: version 0 is what
 * was last made durable, each further one is what a later write made of it. After a power loss it holds any of them.
 *
 * A failed flush leaves its sectors *clean but uncertain* (`dirty` false): a later flush passes them over, as Linux does
 * once the error was reported. Writing them again, with the same bytes too, makes them dirty again.
 *
 * Copies share the cache until one of them writes: an explorer makes thousands of copies and writes to few.
 */

/** What a thing may be on the disk. `options[0]` is durable; `latest` is what the cache shows. */
export interface Versions<T> {
  options: T[]
  /** Per option, when it came to be: a global counter, so that options of all files can be put in order. */
  stamps: number[]
  latest: number
  /** Will the next flush make `latest` durable? */
  dirty: boolean
}

interface Range {
  readonly from: number
  readonly to: number
}

/** What a power loss leaves of one file: an option per uncertain thing. */
export interface FileChoice {
  size(options: Versions<number>): number
  sector(index: number, options: Versions<Uint8Array>): number
}

export class SimFile {
  readonly sectorBytes: number
  #cache: Buffer = Buffer.alloc(0)
  #cacheShared = false
  /** Bytes of the cache from here on are zero. */
  #size = 0
  /** Ranges below the size that were never written: they read as zeros and take no room. Ascending. */
  #holes: readonly Range[] = []
  #sizes: Versions<number> | undefined
  #sectors = new Map<number, Versions<Uint8Array>>()
  /** What the last flush has made certain. */
  #flushed = new Map<number, Versions<Uint8Array>>()
  /** What a sector held before it was last flushed, for `loseSector`. */
  #replaced = new Map<number, Uint8Array>()
  #replacedShared = false

  constructor(sectorBytes: number) {
    this.sectorBytes = sectorBytes
  }

  get size(): number {
    return this.#size
  }

  /** What it takes of the disk: without its holes. */
  get usedBytes(): number {
    return this.#holes.reduce((bytes, hole) => bytes - (hole.to - hole.from), this.#size)
  }

  get uncertainSize(): Versions<number> | undefined {
    return this.#sizes
  }

  get uncertainSectors(): ReadonlyMap<number, Versions<Uint8Array>> {
    return this.#sectors
  }

  read(target: Uint8Array, offset: number): number {
    const end = Math.min(this.#size, offset + target.length)
    if (end <= offset) return 0
    return this.#cache.copy(target, 0, offset, end)
  }

  /** Are bytes `from` to `to` the same in whatever a power loss may leave? */
  isCertain(from: number, to: number): boolean {
    if (to > this.#size || this.#sizes?.options.some((size) => size < to) === true) return false
    for (let index = Math.floor(from / this.sectorBytes); index * this.sectorBytes < to; index++) {
      const versions = this.#sectors.get(index)
      if (versions === undefined) continue
      const start = index * this.sectorBytes
      const part = (sector: Uint8Array): Uint8Array => sector.subarray(Math.max(0, from - start), to - start)
      const first = part(versions.options[0]!)
      if (!versions.options.every((option) => sameBytes(part(option), first))) return false
    }
    return true
  }

  /** How many of `bytes` bytes from `offset` on can be written where there is room for so many new ones. */
  bytesThatFit(offset: number, bytes: number, room: number): number {
    let left = room
    for (let at = offset; at < offset + bytes; ) {
      const hole = this.#holes.find(({ to }) => at < to)
      const isHole = hole !== undefined && hole.from <= at
      const rangeEnd = at >= this.#size ? offset + bytes : isHole ? hole.to : (hole?.from ?? this.#size)
      const end = Math.min(rangeEnd, offset + bytes)
      if (isHole || at >= this.#size) {
        if (end - at > left) return at + left - offset
        left -= end - at
      }
      at = end
    }
    return bytes
  }

  write(bytes: Uint8Array, offset: number, stamp: number): void {
    if (bytes.length === 0) return
    const end = offset + bytes.length
    if (offset > this.#size) this.#holes = [...this.#holes, { from: this.#size, to: offset }]
    this.#fillHoles(offset, end)
    this.#ownCache(end)
    this.#change(offset, end, stamp, () => this.#cache.set(bytes, offset))
    if (end > this.#size) this.#setSize(end, stamp)
  }

  /** O_TRUNC. On the disk, the old bytes may outlive it. */
  truncate(stamp: number): void {
    if (this.#size === 0) return
    this.#ownCache(this.#size)
    this.#change(0, this.#size, stamp, () => this.#cache.fill(0))
    this.#setSize(0, stamp)
    this.#holes = []
  }

  syncData(failed: boolean): void {
    this.#flushed = new Map()
    for (const [index, versions] of this.#sectors) {
      if (!versions.dirty) continue
      if (failed) versions.dirty = false
      else {
        this.#flushed.set(index, versions)
        if (versions.latest !== 0) this.#ownReplaced().set(index, versions.options[0]!)
        this.#sectors.delete(index)
      }
    }
    if (this.#sizes?.dirty !== true) return
    if (failed) this.#sizes.dirty = false
    else this.#sizes = undefined
  }

  /** The last flush was still under way: what it had to do may be done or not, sector by sector. */
  undoFlush(): void {
    for (const [index, versions] of this.#flushed) if (!this.#sectors.has(index)) this.#sectors.set(index, versions)
    this.#flushed = new Map()
  }

  /** A copy that lives on by itself, unflushed state included. */
  copy(): SimFile {
    const twin = this.#clean(this.#size)
    twin.#sizes = this.#sizes && copyVersions(this.#sizes)
    twin.#sectors = new Map([...this.#sectors].map(([index, versions]) => [index, copyVersions(versions)]))
    return twin
  }

  /** What a power loss leaves. All of it is durable. */
  survive(choice: FileChoice): SimFile {
    const size = this.#sizes === undefined ? this.#size : this.#sizes.options[choice.size(this.#sizes)]!
    const twin = this.#clean(size)
    for (const [index, versions] of this.#sectors) {
      const option = choice.sector(index, versions)
      if (option === versions.latest || index * this.sectorBytes >= size) continue
      twin.#ownCache(size)
      twin.#cache.set(versions.options[option]!, index * this.sectorBytes)
    }
    // Beyond the end a file has no bytes: if it grows again, zeros are there.
    if (!twin.#cacheShared || this.#size > size) {
      twin.#ownCache(size)
      twin.#cache.fill(0, size)
    }
    return twin
  }

  /** The disk forgets that a flushed sector was flushed: what was there before comes back. @returns was there such? */
  loseSector(index: number): boolean {
    const before = this.#replaced.get(index)
    if (before === undefined) return false
    this.damage(index, (sector) => sector.set(before))
    return true
  }

  /** Changes a flushed sector on the disk and in the cache, as after a restart with a worn disk. */
  damage(index: number, change: (sector: Uint8Array) => void): void {
    const start = index * this.sectorBytes
    this.#ownCache(start + this.sectorBytes)
    const sector = this.#sectorOf(index)
    change(sector)
    this.#cache.set(sector, start)
    this.#cache.fill(0, this.#size)
  }

  #clean(size: number): SimFile {
    const twin = new SimFile(this.sectorBytes)
    twin.#cache = this.#cache
    twin.#cacheShared = true
    this.#cacheShared = true
    twin.#size = size
    twin.#holes = this.#holes
    twin.#fillHoles(size, Number.POSITIVE_INFINITY) // beyond the end a file has none
    twin.#replaced = this.#replaced
    twin.#replacedShared = true
    this.#replacedShared = true
    return twin
  }

  #fillHoles(from: number, to: number): void {
    if (this.#holes.length === 0) return
    this.#holes = this.#holes
      .flatMap((hole) => [
        { from: hole.from, to: Math.min(hole.to, from) },
        { from: Math.max(hole.from, to), to: hole.to },
      ])
      .filter((hole) => hole.from < hole.to)
  }

  /** Remembers what the sectors of a range may be on the disk, around a change of the cache. */
  #change(start: number, end: number, stamp: number, act: () => void): void {
    const first = Math.floor(start / this.sectorBytes)
    const last = Math.floor((end - 1) / this.sectorBytes)
    const old: Uint8Array[] = []
    for (let index = first; index <= last; index++) old.push(this.#sectorOf(index))
    act()
    for (let index = first; index <= last; index++) {
      const before = old[index - first]!
      const now = this.#sectorOf(index)
      const known = this.#sectors.get(index)
      if (known !== undefined) addVersion(known, now, stamp, sameBytes)
      else if (!sameBytes(before, now)) this.#sectors.set(index, newVersions(before, now, stamp))
    }
  }

  #setSize(size: number, stamp: number): void {
    const versions = this.#sizes ?? { options: [this.#size], stamps: [0], latest: 0, dirty: true }
    // A file may be caught half grown: one place between stands for all of them.
    const middle = Math.floor((this.#size + size) / 2 / this.sectorBytes) * this.sectorBytes
    if (size > this.#size && middle > this.#size) addVersion(versions, middle, stamp, Object.is)
    addVersion(versions, size, stamp, Object.is)
    this.#size = size
    this.#sizes = versions
  }

  /** A copy of one sector of the cache, padded with zeros. */
  #sectorOf(index: number): Uint8Array {
    const sector = new Uint8Array(this.sectorBytes)
    const start = index * this.sectorBytes
    if (start < this.#cache.length) sector.set(this.#cache.subarray(start, start + this.sectorBytes))
    return sector
  }

  #ownReplaced(): Map<number, Uint8Array> {
    if (this.#replacedShared) this.#replaced = new Map(this.#replaced)
    this.#replacedShared = false
    return this.#replaced
  }

  #ownCache(end: number): void {
    if (!this.#cacheShared && end <= this.#cache.length) return
    const length = Math.ceil(Math.max(end, this.#cache.length) / this.sectorBytes) * this.sectorBytes
    const own = Buffer.alloc(end > this.#cache.length ? Math.max(length, this.#cache.length * 2) : length)
    this.#cache.copy(own)
    this.#cache = own
    this.#cacheShared = false
  }
}

function newVersions<T>(durable: T, now: T, stamp: number): Versions<T> {
  return { options: [durable, now], stamps: [0, stamp], latest: 1, dirty: true }
}

/** Each option is there once: equal ones would only multiply the choices. */
function addVersion<T>(versions: Versions<T>, now: T, stamp: number, same: (a: T, b: T) => boolean): void {
  versions.dirty = true
  const at = versions.options.findIndex((option) => same(option, now))
  if (at === 0) {
    versions.latest = 0
    return
  }
  if (at > 0) {
    versions.options.splice(at, 1)
    versions.stamps.splice(at, 1)
  }
  versions.options.push(now)
  versions.stamps.push(stamp)
  versions.latest = versions.options.length - 1
}

function copyVersions<T>(versions: Versions<T>): Versions<T> {
  return { ...versions, options: [...versions.options], stamps: [...versions.stamps] }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
