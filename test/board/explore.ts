/**
 * Visits every state of a world, breadth first, judges each step, and asks in the end from which states the completion
 * of all sessions cannot be reached any more: property (f). Exhaustive; nothing is drawn at random.
 *
 * The first fault ends the exploration; its trace is a shortest one.
 */
import { ENDLESS } from './configuration.ts'
import { Judge } from './judge.ts'
import type { RecoveryRule } from './recovery-rule.ts'
import { NumberList, StateStore } from './state-store.ts'
import { stateText } from './state-text.ts'
import type { World } from './world.ts'

export interface Exploration {
  readonly states: number
  readonly transitions: number
  /** Remains of crashes on which the recovery rule was run. */
  readonly remains: number
  readonly completions: number
  readonly seconds: number
  readonly fault: Fault | undefined
  /** All states met. */
  readonly store: StateStore
}

export interface Fault {
  /** Begins with the letter of the property, like `(a)`. */
  readonly text: string
  readonly trace: string
}

export interface ExploreOptions {
  readonly recoveryRule?: RecoveryRule
  readonly onProgress?: (visited: number, met: number) => void
  /** Gives up beyond, with an error: a configuration that is too large for its place. */
  readonly statesMax?: number
}

const STATES_MAX = 100_000_000
const TRACE_LINES_MAX = 150
const PROGRESS_STATES = 1_000_000

export function explore(world: World, options: ExploreOptions = {}): Exploration {
  return new Explorer(world, options).run()
}

class Explorer {
  readonly #world: World
  readonly #judge: Judge
  readonly #statesMax: number
  readonly #onProgress: ExploreOptions['onProgress']
  readonly #store: StateStore
  readonly #parents = new NumberList()
  /** Successors of all states, one state behind the other; `#ends` says where each one's end. */
  readonly #successors = new NumberList()
  readonly #ends = new NumberList()
  readonly #complete: number[] = []
  /** Then all must be answered also if no more sessions come: arrivals do not count as a way to completion. */
  readonly #endless: boolean
  #transitions = 0
  #fault: Fault | undefined

  constructor(world: World, options: ExploreOptions) {
    this.#world = world
    this.#judge = new Judge(world.layout, options.recoveryRule)
    this.#endless = world.config.sessions.includes(ENDLESS)
    this.#onProgress = options.onProgress
    this.#statesMax = options.statesMax ?? STATES_MAX
    this.#store = new StateStore(world.layout.bytes)
  }

  run(): Exploration {
    const started = performance.now()
    this.#add(this.#world.initial(), -1)
    for (let state = 0; state < this.#store.size && this.#fault === undefined; state++) {
      this.#expand(state)
      if (state % PROGRESS_STATES === 0) this.#onProgress?.(state, this.#store.size)
    }
    if (this.#fault === undefined) this.#checkLiveness()
    return {
      states: this.#store.size,
      transitions: this.#transitions,
      remains: this.#judge.remains,
      completions: this.#complete.length,
      seconds: (performance.now() - started) / 1000,
      fault: this.#fault,
      store: this.#store,
    }
  }

  #expand(state: number): void {
    const before = this.#store.get(state)
    const had = this.#successors.length
    this.#world.successors(before, (after, fault) => {
      if (this.#fault !== undefined) return
      const found = fault ?? this.#judge.fault(before, after, this.#world.shift)
      if (found !== undefined) {
        this.#fault = {
          text: found,
          trace: this.#trace(state, [`  ${this.#world.label}`, stateText(this.#world.layout, after)]),
        }
        return
      }
      const next = this.#add(after, state)
      this.#transitions++
      if (!this.#endless || !this.#world.isArrival) this.#successors.push(next)
    })
    this.#ends.push(this.#successors.length)
    if (this.#fault !== undefined || this.#successors.length > had || this.#world.isComplete(before)) return
    this.#fault = { text: '(f) nothing can happen any more, and not all is answered', trace: this.#trace(state, []) }
  }

  #add(vector: Uint8Array, parent: number): number {
    const state = this.#store.add(vector)
    if (state < this.#parents.length) return state
    this.#parents.push(parent)
    if (state >= this.#statesMax) throw new Error(`more than ${this.#statesMax} states`)
    if (this.#world.isComplete(vector)) {
      this.#complete.push(state)
      const fault = this.#judge.completion(vector)
      if (fault !== undefined) this.#fault ??= { text: fault, trace: this.#trace(state, []) }
    }
    return state
  }

  /** Backward reachability by sweeps: most successors are younger than their state, so a few sweeps settle it. */
  #checkLiveness(): void {
    const reaches = new Uint8Array(this.#store.size)
    for (const state of this.#complete) reaches[state] = 1
    for (let changed = true; changed; ) {
      changed = false
      for (let state = this.#store.size - 1; state >= 0; state--) {
        if (reaches[state] === 1) continue
        const end = this.#ends.at(state)
        for (let edge = state === 0 ? 0 : this.#ends.at(state - 1); edge < end; edge++) {
          if (reaches[this.#successors.at(edge)] === 0) continue
          reaches[state] = 1
          changed = true
          break
        }
      }
    }
    const stuck = reaches.indexOf(0)
    if (stuck < 0) return
    this.#fault = { text: '(f) from here completion cannot be reached any more', trace: this.#trace(stuck, []) }
  }

  #trace(state: number, tail: readonly string[]): string {
    const path = [state]
    for (let at = this.#parents.at(state); at >= 0; at = this.#parents.at(at)) path.push(at)
    path.reverse()
    const lines: string[] = []
    for (let i = 0; i + 1 < path.length; i++) lines.push(`  ${this.#labelBetween(path[i]!, path[i + 1]!)}`)
    if (lines.length > TRACE_LINES_MAX)
      lines.splice(0, lines.length - TRACE_LINES_MAX, `  (${lines.length - TRACE_LINES_MAX} steps before)`)
    return [...lines, stateText(this.#world.layout, this.#store.get(state)), ...tail].join('\n')
  }

  #labelBetween(from: number, to: number): string {
    const wanted = Buffer.from(this.#store.get(to))
    let label = '?'
    this.#world.successors(this.#store.get(from), (after) => {
      if (label === '?' && wanted.equals(after)) label = this.#world.label
    })
    return label
  }
}
