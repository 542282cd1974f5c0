/**
 * The names of a simulated disk: what everybody sees, what is durable, and the changes in between.
 *
 * A change (create, mkdir, unlink, rename) is pending until its directory was flushed. A power loss keeps any subset of
 * the pending changes; what is kept happens in the order in which it was done, so for one name the last kept change
 * counts. A rename is one change: both of its names or neither. Between two directories it is certain only after both
 * were flushed.
 *
 * After a failed directory flush its pending changes are *stuck*: a later flush passes them over. A later change of
 * the same name that is flushed puts an end to the doubt.
 */
import { assert } from '../../protocol/assert.ts'

export type NodeId = number

/** `directory/name` becomes `node`, or goes away. */
export interface NameSet {
  readonly directory: NodeId
  readonly name: string
  readonly node: NodeId | undefined
}

export interface PendingChange {
  readonly stamp: number
  readonly text: string
  readonly sets: readonly NameSet[]
  /** Directories that have to be flushed before the change is certain. */
  readonly unflushed: ReadonlySet<NodeId>
  readonly stuck: boolean
}

type Names = Map<NodeId, Map<string, NodeId>>

const ROOT: NodeId = 0

export class SimNames {
  #visible: Names = new Map([[ROOT, new Map()]])
  #durable: Names = new Map([[ROOT, new Map()]])
  /** In the order in which they were made. Never changed in place: copies share them. */
  #pending: readonly PendingChange[] = []

  get pending(): readonly PendingChange[] {
    return this.#pending
  }

  isDirectory(node: NodeId): boolean {
    return this.#visible.has(node)
  }

  namesIn(directory: NodeId): ReadonlyMap<string, NodeId> {
    const names = this.#visible.get(directory)
    assert(names !== undefined, 'a directory is asked for its names', { directory })
    return names
  }

  /** @returns the node that a path names, or as which errno the system would refuse it. */
  find(parts: readonly string[]): NodeId | 'ENOENT' | 'ENOTDIR' {
    let node: NodeId = ROOT
    for (const part of parts) {
      const names = this.#visible.get(node)
      if (names === undefined) return 'ENOTDIR'
      const next = names.get(part)
      if (next === undefined) return 'ENOENT'
      node = next
    }
    return node
  }

  /** Does this path name what it names now after every power loss? */
  isCertain(parts: readonly string[]): boolean {
    let node: NodeId = ROOT
    for (const name of parts) {
      const now = this.#visible.get(node)?.get(name)
      if (now === undefined || this.#durable.get(node)?.get(name) !== now) return false
      const directory = node
      const isDoubtful = (set: NameSet): boolean => set.directory === directory && set.name === name && set.node !== now
      if (this.#pending.some((change) => change.sets.some(isDoubtful))) return false
      node = now
    }
    return true
  }

  addDirectory(node: NodeId): void {
    this.#visible.set(node, new Map())
    this.#durable.set(node, new Map())
  }

  change(text: string, stamp: number, sets: readonly NameSet[]): void {
    for (const set of sets) applySet(this.#visible, set)
    const unflushed = new Set(sets.map((set) => set.directory))
    this.#pending = [...this.#pending, { stamp, text, sets, unflushed, stuck: false }]
  }

  syncDirectory(directory: NodeId, failed: boolean): void {
    let kept: PendingChange[] = []
    for (const change of this.#pending) {
      if (change.stuck || !change.unflushed.has(directory)) kept.push(change)
      else if (failed) kept.push({ ...change, stuck: true })
      else {
        const unflushed = new Set([...change.unflushed].filter((other) => other !== directory))
        if (unflushed.size > 0) kept.push({ ...change, unflushed })
        else {
          for (const set of change.sets) applySet(this.#durable, set)
          kept = kept.map((older) => withoutNames(older, change.sets)).filter((older) => older.sets.length > 0)
        }
      }
    }
    this.#pending = kept
  }

  copy(): SimNames {
    const twin = new SimNames()
    twin.#visible = copyNames(this.#visible)
    twin.#durable = copyNames(this.#durable)
    twin.#pending = this.#pending
    return twin
  }

  /** What a power loss leaves when `keep` says which pending changes survive. All of it is durable. */
  survive(keep: (index: number) => boolean): SimNames {
    const twin = new SimNames()
    twin.#durable = copyNames(this.#durable)
    this.#pending.forEach((change, index) => {
      if (keep(index)) for (const set of change.sets) applySet(twin.#durable, set)
    })
    const reachable = twin.#reach([twin.#durable])
    for (const node of twin.#durable.keys()) if (!reachable.has(node)) twin.#durable.delete(node)
    twin.#visible = copyNames(twin.#durable)
    return twin
  }

  /** Nodes that have a name now, or may have one after a power loss. */
  reachable(): Set<NodeId> {
    const nodes = this.#reach([this.#visible, this.#durable])
    for (const change of this.#pending) {
      for (const set of change.sets)
        if (set.node !== undefined) this.#collect(set.node, [this.#visible, this.#durable], nodes)
    }
    return nodes
  }

  /** Nodes that have a name now, with one of their paths. */
  paths(): Map<NodeId, string> {
    const paths = new Map<NodeId, string>()
    const walk = (directory: NodeId, prefix: string): void => {
      for (const [name, node] of this.namesIn(directory)) {
        paths.set(node, `${prefix}/${name}`)
        if (this.isDirectory(node)) walk(node, `${prefix}/${name}`)
      }
    }
    walk(ROOT, '')
    return paths
  }

  #reach(worlds: readonly Names[]): Set<NodeId> {
    const nodes = new Set<NodeId>()
    this.#collect(ROOT, worlds, nodes)
    return nodes
  }

  #collect(node: NodeId, worlds: readonly Names[], into: Set<NodeId>): void {
    if (into.has(node)) return
    into.add(node)
    for (const world of worlds) for (const child of world.get(node)?.values() ?? []) this.#collect(child, worlds, into)
  }
}

function applySet(names: Names, set: NameSet): void {
  const directory = names.get(set.directory)
  assert(directory !== undefined, 'a name is changed in a directory', { directory: set.directory })
  if (set.node === undefined) directory.delete(set.name)
  else directory.set(set.name, set.node)
}

/** The change without the names that a later, durable change has decided. */
function withoutNames(change: PendingChange, decided: readonly NameSet[]): PendingChange {
  const isDecided = (set: NameSet) => decided.some((d) => d.directory === set.directory && d.name === set.name)
  return { ...change, sets: change.sets.filter((set) => !isDecided(set)) }
}

function copyNames(names: Names): Names {
  return new Map([...names].map(([node, children]) => [node, new Map(children)]))
}
