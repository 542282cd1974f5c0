/**
 * A simulated disk behind the Disk door. It loses whatever was not made durable, and it can be told to fail.
 *
 * Faults that the code on top of it is entitled to survive, and is therefore tested with:
 *
 *   - power loss at any moment: of every file any subset of the unflushed sectors is kept, each as of any write since
 *     its last flush; an unflushed change of size is kept, lost or caught half-way; any subset of the unflushed changes
 *     of names is kept (sim-names.ts). A sector is never torn: use a small sector size to tear frames
 *   - the end of the process at any moment (`killProcess`): everything written stays, flushed or not
 *   - one failing operation (`fail`). After a failed flush the unflushed sectors look clean: a second flush succeeds and
 *     makes nothing durable, reads go on showing the new bytes until the power fails
 *   - a disk that is full (`setCapacity`): a write puts down what has room, then fails. What lies between the end of a
 *     file and a write beyond it is a hole: it reads as zeros, and takes room only when it is written
 *   - flushed sectors that rot: a flipped bit, zeros, an older content (`flipBit`, `zeroSector`, `loseSector`). One copy
 *     cannot survive that; it is entitled to notice it
 *
 * Not among them: writes that end in another file or place, a flush that lies without a word about sectors that nobody
 * damages on purpose, a rename of which one half survives, renames of directories from one directory to another.
 *
 * Deterministic: no clock, no random numbers; `units()` are in the order in which things became uncertain. Nothing here
 * reads the file system of the host.
 */
import { assert } from '../../protocol/assert.ts'
import type { Disk, DiskFile } from '../../wal/disk.ts'
import { type CrashChoice, CrashPlan, type CrashUnit } from './crash-plan.ts'
import { SimFile } from './sim-file.ts'
import { type HandleHost, type SimFault, SimHandle, type SimStep, type StepKind, simError } from './sim-handle.ts'
import { type NodeId, SimNames } from './sim-names.ts'

export interface SimDiskOptions {
  /** 512 if not said. Small ones (16, 64) tear frames. */
  readonly sectorBytes?: number
  /** Bytes that all files together may take; no limit if not said. */
  readonly capacityBytes?: number
}

export class SimDisk implements Disk {
  readonly sectorBytes: number
  /** Called before each operation. The disk may be copied or crashed in it; what it throws, the operation throws. */
  onStep: ((step: SimStep) => void) | undefined
  /** Called after each flush of a file: what it has done may be undone for as long as it would take. */
  onFlushed: ((file: SimFile) => void) | undefined
  #capacityBytes: number
  #files = new Map<NodeId, SimFile>()
  #names = new SimNames()
  #nodesMade = 0
  #steps = 0
  #changes = 0
  #faults: { readonly fault: SimFault; seen: number }[] = []
  #plan: CrashPlan | undefined
  readonly #host: HandleHost = {
    begin: (step) => this.#begin(step),
    flushed: (file) => this.onFlushed?.(file),
    stamp: () => this.#stamp(),
    room: () => this.#capacityBytes - this.#usedBytes(),
  }

  constructor(options: SimDiskOptions = {}) {
    this.sectorBytes = options.sectorBytes ?? 512
    this.#capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
    assert(Number.isSafeInteger(this.sectorBytes) && this.sectorBytes >= 1, 'a sector has bytes')
  }

  // --- the Disk door ---

  open(path: string, access: 'read' | 'write'): DiskFile {
    this.#beginOrFail('open', path)
    const node = this.#find('open', path)
    const file = this.#files.get(node)
    if (file === undefined) throw simError('open', 'EISDIR', path)
    return new SimHandle(path, file, access, this.#host)
  }

  create(path: string): DiskFile {
    this.#beginOrFail('create', path)
    const { directory, name } = this.#parent('create', path)
    const known = this.#names.namesIn(directory).get(name)
    if (known !== undefined && this.#names.isDirectory(known)) throw simError('create', 'EISDIR', path)
    const file = (known === undefined ? undefined : this.#files.get(known)) ?? new SimFile(this.sectorBytes)
    if (known !== undefined) file.truncate(this.#stamp())
    else {
      this.#nodesMade += 1
      this.#files.set(this.#nodesMade, file)
      this.#names.change(`create ${path}`, this.#stamp(), [{ directory, name, node: this.#nodesMade }])
    }
    return new SimHandle(path, file, 'write', this.#host)
  }

  rename(from: string, to: string): void {
    this.#beginOrFail('rename', from)
    const source = this.#parent('rename', from)
    const node = this.#find('rename', from)
    const target = this.#parent('rename', to, from)
    const there = this.#names.namesIn(target.directory).get(target.name)
    if (there === node) return
    if (there !== undefined && this.#names.isDirectory(there)) throw simError('rename', 'EISDIR', from)
    if (this.#names.isDirectory(node)) {
      if (there !== undefined) throw simError('rename', 'ENOTDIR', from)
      assert(source.directory === target.directory, 'a directory keeps its parent', { from, to })
    }
    this.#names.change(`rename ${from} to ${to}`, this.#stamp(), [
      { ...source, node: undefined },
      { ...target, node },
    ])
  }

  unlink(path: string): void {
    this.#beginOrFail('unlink', path)
    const node = this.#find('unlink', path)
    if (this.#names.isDirectory(node)) throw simError('unlink', 'EISDIR', path)
    const place = this.#parent('unlink', path)
    this.#names.change(`unlink ${path}`, this.#stamp(), [{ ...place, node: undefined }])
  }

  makeDirectory(path: string): void {
    this.#beginOrFail('makeDirectory', path)
    const place = this.#parent('makeDirectory', path)
    const known = this.#names.namesIn(place.directory).get(place.name)
    if (known !== undefined) {
      if (!this.#names.isDirectory(known)) throw simError('makeDirectory', 'EEXIST', path)
      return
    }
    this.#nodesMade += 1
    this.#names.addDirectory(this.#nodesMade)
    this.#names.change(`make directory ${path}`, this.#stamp(), [{ ...place, node: this.#nodesMade }])
  }

  list(path: string): string[] {
    this.#beginOrFail('list', path)
    return [...this.#names.namesIn(this.#directory('list', path)).keys()].sort()
  }

  exists(path: string): boolean {
    this.#beginOrFail('exists', path)
    const node = this.#names.find(partsOf(path))
    // Like the real one: a path through a file is a mistake, not a "no".
    if (node === 'ENOTDIR') throw simError('exists', node, path)
    return node !== 'ENOENT'
  }

  syncDirectory(path: string): void {
    const fault = this.#begin({ kind: 'syncDirectory', path })
    const directory = this.#directory('syncDirectory', path)
    this.#stamp()
    this.#names.syncDirectory(directory, fault !== undefined)
    if (fault !== undefined) throw simError('syncDirectory', fault.errno ?? 'EIO', path)
  }

  freeBytes(path: string): number {
    this.#beginOrFail('freeBytes', path)
    this.#find('freeBytes', path)
    return Math.min(Math.max(0, this.#host.room()), Number.MAX_SAFE_INTEGER)
  }

  // --- faults ---

  /** Lets an operation fail. Several faults may be armed; each counts by itself. */
  fail(fault: SimFault): void {
    this.#faults.push({ fault, seen: 0 })
  }

  /** Nothing fails any more. */
  mend(): void {
    this.#faults = []
    this.#capacityBytes = Number.POSITIVE_INFINITY
  }

  setCapacity(bytes: number): void {
    this.#capacityBytes = bytes
  }

  flipBit(path: string, offset: number, bit = 0): void {
    this.#damage(path, offset, (sector, at) => {
      sector[at] = sector[at]! ^ (1 << bit)
    })
  }

  /** Zeros the sector that holds this byte. */
  zeroSector(path: string, offset: number): void {
    this.#damage(path, offset, (sector) => sector.fill(0))
  }

  /** Brings back what the sector of this byte held before its last flush. */
  loseSector(path: string, offset: number): void {
    const index = this.#flushedSector(path, offset)
    const had = this.#fileAt(path).loseSector(index)
    assert(had, 'a sector that was flushed over an older content is lost', { path, offset })
    this.#stamp()
  }

  // --- for checkers: no operation of the code under test, and never refused ---

  /** The power goes while this flush is under way. */
  undoFlush(file: SimFile): void {
    file.undoFlush()
    this.#stamp()
  }

  /** The file as everybody sees it. */
  peek(path: string): SimFile | undefined {
    const node = this.#names.find(partsOf(path))
    return typeof node === 'string' ? undefined : this.#files.get(node)
  }

  peekNames(path: string): string[] {
    const node = this.#names.find(partsOf(path))
    return typeof node === 'string' ? [] : [...this.#names.namesIn(node).keys()].sort()
  }

  /** Do bytes `from` to `to` of the file survive every power loss, name and all? */
  isCertain(path: string, from: number, to: number): boolean {
    return this.#names.isCertain(partsOf(path)) && this.peek(path)?.isCertain(from, to) === true
  }

  // --- lives ---

  /** Operations so far. */
  get steps(): number {
    return this.#steps
  }

  /** Grows with everything that may change what a crash leaves. */
  get changes(): number {
    return this.#changes
  }

  /** A deep copy with its unflushed state and armed faults; open files stay with the original, and so does the hook. */
  fork(): SimDisk {
    const twin = this.killProcess()
    twin.#steps = this.#steps
    twin.#faults = this.#faults.map((armed) => ({ ...armed }))
    return twin
  }

  /** The process ends, the machine goes on: everything written is still there, and still as uncertain. */
  killProcess(): SimDisk {
    const twin = this.#successor(this.#names.copy())
    for (const node of this.#names.reachable()) {
      const file = this.#files.get(node)
      if (file !== undefined) twin.#files.set(node, file.copy())
    }
    return twin
  }

  /** What a power loss may or may not keep. `crash` takes an option per unit. */
  units(): readonly CrashUnit[] {
    return this.#crashPlan().units
  }

  /** Equal for choices that leave the same state. */
  crashKey(choice: CrashChoice): string {
    return this.#crashPlan().key(choice)
  }

  /** What a choice takes away or changes, for people. Empty if nothing is lost. */
  describe(choice: CrashChoice): string[] {
    return this.#crashPlan().describe(choice)
  }

  /** The disk after a power loss. Everything on it is durable; this one goes on as if nothing had happened. */
  crash(choice: CrashChoice): SimDisk {
    const { names, files } = this.#crashPlan().survive(choice)
    const twin = this.#successor(names)
    twin.#files = files
    return twin
  }

  #crashPlan(): CrashPlan {
    this.#plan ??= new CrashPlan(this.#names, this.#files, this.sectorBytes)
    return this.#plan
  }

  #successor(names: SimNames): SimDisk {
    const twin = new SimDisk({ sectorBytes: this.sectorBytes, capacityBytes: this.#capacityBytes })
    twin.#names = names
    twin.#nodesMade = this.#nodesMade
    twin.#changes = this.#changes
    return twin
  }

  #beginOrFail(kind: StepKind, path: string): void {
    const fault = this.#begin({ kind, path })
    if (fault !== undefined) throw simError(kind, fault.errno ?? 'EIO', path)
  }

  #begin(step: Omit<SimStep, 'index'>): SimFault | undefined {
    this.#steps += 1
    this.onStep?.({ index: this.#steps, ...step })
    let hit: SimFault | undefined
    for (const armed of this.#faults) {
      if (armed.fault.kind !== step.kind || !step.path.endsWith(armed.fault.path ?? '')) continue
      armed.seen += 1
      const nth = armed.fault.nth ?? 1
      if (armed.seen === nth || (armed.seen > nth && armed.fault.forEver === true)) hit = armed.fault
    }
    return hit
  }

  /** Of each change and flush; what was worked out about a crash is old from here on. */
  #stamp(): number {
    this.#plan = undefined
    this.#changes += 1
    return this.#changes
  }

  #usedBytes(): number {
    let bytes = 0
    for (const node of this.#names.paths().keys()) bytes += this.#files.get(node)?.usedBytes ?? 0
    return bytes
  }

  #damage(path: string, offset: number, change: (sector: Uint8Array, at: number) => void): void {
    const index = this.#flushedSector(path, offset)
    this.#fileAt(path).damage(index, (sector) => change(sector, offset % this.sectorBytes))
    this.#stamp()
  }

  #flushedSector(path: string, offset: number): number {
    const index = Math.floor(offset / this.sectorBytes)
    const file = this.#fileAt(path)
    const flushed = offset < file.size && !file.uncertainSectors.has(index)
    assert(flushed, 'only a flushed sector can rot', { path, offset })
    return index
  }

  #fileAt(path: string): SimFile {
    const file = this.#files.get(this.#find('open', path))
    assert(file !== undefined, 'a file is damaged, not a directory', { path })
    return file
  }

  #find(kind: StepKind, path: string): NodeId {
    const node = this.#names.find(partsOf(path))
    if (typeof node === 'string') throw simError(kind, node, path)
    return node
  }

  #directory(kind: StepKind, path: string): NodeId {
    const node = this.#find(kind, path)
    if (!this.#names.isDirectory(node)) throw simError(kind, 'ENOTDIR', path)
    return node
  }

  /** Errors name `told`: of a rename it is the source, as on the real disk. */
  #parent(kind: StepKind, path: string, told = path): { directory: NodeId; name: string } {
    const parts = partsOf(path)
    const name = parts.pop()
    assert(name !== undefined, 'the root has no name', { path })
    const directory = this.#names.find(parts)
    if (typeof directory === 'string') throw simError(kind, directory, told)
    if (!this.#names.isDirectory(directory)) throw simError(kind, 'ENOTDIR', told)
    return { directory, name }
  }
}

function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  assert(!parts.includes('..'), 'a path of the simulated disk goes down only', { path })
  return parts
}
