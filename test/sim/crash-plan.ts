/**
 * What a power loss can do to a simulated disk at one moment: the list of uncertain things, and the state that a choice
 * among them leaves.
 *
 * A unit is one thing that is kept or lost by itself: a change of names (lost or kept), the size of a file, one sector
 * of a file (each as of any write since its last flush). Units stand in the order in which they became uncertain.
 */
import { assert } from '../../protocol/assert.ts'
import type { SimFile, Versions } from './sim-file.ts'
import type { NodeId, SimNames } from './sim-names.ts'

export interface CrashUnit {
  readonly text: string
  /** 0 is what was durable before. */
  readonly options: number
  /** The option that loses nothing. */
  readonly latest: number
  /** Per option, when it came to be; one order over all units. */
  readonly stamps: readonly number[]
}

/** An option per unit; 'none' keeps nothing that was not durable, 'all' loses nothing. */
export type CrashChoice = 'none' | 'all' | readonly number[]

interface FileUnits {
  readonly file: SimFile
  size: number | undefined
  readonly sectors: Map<number, number>
}

export class CrashPlan {
  readonly units: readonly CrashUnit[]
  readonly #names: SimNames
  readonly #files = new Map<NodeId, FileUnits>()
  /** Per pending change of names, its unit. */
  readonly #changes: readonly number[]
  readonly #sectorBytes: number

  constructor(names: SimNames, files: ReadonlyMap<NodeId, SimFile>, sectorBytes: number) {
    this.#names = names
    this.#sectorBytes = sectorBytes
    const found: { unit: CrashUnit; place: (index: number) => void }[] = []
    const changes: number[] = []
    names.pending.forEach((change, at) => {
      const state = change.stuck ? ' (its directory flush failed)' : ''
      const unit = { text: `${change.text}${state}`, options: 2, latest: 1, stamps: [0, change.stamp] }
      found.push({ unit, place: (index) => (changes[at] = index) })
    })
    const paths = names.paths()
    for (const node of names.reachable()) {
      const file = files.get(node)
      if (file === undefined) continue
      const units: FileUnits = { file, size: undefined, sectors: new Map() }
      this.#files.set(node, units)
      const path = paths.get(node) ?? `unnamed file ${node}`
      const size = file.uncertainSize
      if (size !== undefined) found.push({ unit: unitOf(`${path} size`, size), place: (index) => (units.size = index) })
      for (const [sector, versions] of file.uncertainSectors) {
        const place = (index: number) => units.sectors.set(sector, index)
        found.push({ unit: unitOf(`${path} sector ${sector}`, versions), place })
      }
    }
    // Stable, so that equal stamps (the sectors of one write) stay in the order of their places.
    found.sort((a, b) => a.unit.stamps[1]! - b.unit.stamps[1]!)
    for (const [index, { place }] of found.entries()) place(index)
    this.units = found.map(({ unit }) => unit)
    this.#changes = changes
  }

  survive(choice: CrashChoice): { names: SimNames; files: Map<NodeId, SimFile> } {
    const options = this.#options(choice)
    const names = this.#names.survive((index) => options[this.#changes[index]!] === 1)
    const files = new Map<NodeId, SimFile>()
    for (const node of names.paths().keys()) {
      const units = this.#files.get(node)
      if (units === undefined) continue
      const survivor = units.file.survive({
        size: () => options[units.size!]!,
        sector: (index) => options[units.sectors.get(index)!]!,
      })
      files.set(node, survivor)
    }
    return { names, files }
  }

  key(choice: CrashChoice): string {
    const options = this.#options(choice)
    const names = this.#names.survive((index) => options[this.#changes[index]!] === 1)
    const parts: string[] = []
    for (const [node, path] of [...names.paths()].sort((a, b) => (a[1] < b[1] ? -1 : 1))) {
      const units = this.#files.get(node)
      if (units === undefined) {
        parts.push(`${path}/`)
        continue
      }
      const sizes = units.file.uncertainSize
      const size = sizes === undefined ? units.file.size : sizes.options[options[units.size!]!]!
      // A sector beyond the end is not there, whatever it holds.
      const kept = [...units.sectors].filter(([sector]) => sector * this.#sectorBytes < size)
      parts.push(`${path}#${node} ${size} ${kept.map(([sector, unit]) => `${sector}:${options[unit]}`).join(' ')}`)
    }
    return parts.join('\n')
  }

  describe(choice: CrashChoice): string[] {
    const options = this.#options(choice)
    return this.units.flatMap((unit, index) => {
      if (options[index] === unit.latest) return []
      const kept = options[index] === 0 ? 'lost' : `as of write ${options[index]} of ${unit.options - 1}`
      return [`${unit.text}: ${kept}`]
    })
  }

  #options(choice: CrashChoice): readonly number[] {
    if (choice === 'none') return this.units.map(() => 0)
    if (choice === 'all') return this.units.map((unit) => unit.latest)
    const fits = choice.length === this.units.length && choice.every((option, i) => option < this.units[i]!.options)
    assert(fits, 'a choice names an option per unit', { choice: choice.length, units: this.units.length })
    return choice
  }
}

function unitOf<T>(text: string, versions: Versions<T>): CrashUnit {
  return { text, options: versions.options.length, latest: versions.latest, stamps: [...versions.stamps] }
}
