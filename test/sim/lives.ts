/**
 * Lives of a master on one disk: what was answered in any of them must be in the files of every later one.
 *
 * The checker of the crash tests. It restarts a node on what a crash has left, reads the files with the naive reader,
 * and holds them against the history of answers. Rules:
 *   - the node starts by itself
 *   - every answered session is there, once, in the epoch it was answered for
 *   - an epoch is all or nothing: of the sessions stamped in one epoch of one life, all or none are there
 *   - what was dropped once never comes back
 */
import { assert } from '../../protocol/assert.ts'
import type { Disk } from '../../wal/disk.ts'
import { committedBodies, readNaively } from './naive-reader.ts'
import { DIRECTORY, readSessionId, SimMaster } from './sim-master.ts'

export interface LifeHistory {
  /** Session id -> epoch it was answered for. */
  readonly answered: ReadonlyMap<number, bigint>
  /** Ids that a start has found missing: they must stay missing. */
  readonly dropped: ReadonlySet<number>
  /** Ids handed to a channel log in any life. */
  readonly written: ReadonlySet<number>
}

export const NO_HISTORY: LifeHistory = { answered: new Map(), dropped: new Set(), written: new Set() }

export interface Restarted {
  readonly master: SimMaster
  readonly history: LifeHistory
}

/** Restarts on `disk` and checks. @throws InvariantError, or what kept the node from starting */
export function restartAndCheck(disk: Disk, before: LifeHistory): Restarted {
  const master = new SimMaster(disk)
  const found = new Map<number, bigint>()
  for (const { body, epoch } of committedBodies(readNaively(disk, DIRECTORY))) {
    const id = readSessionId(body)
    assert(!found.has(id), 'no session is there twice', { id })
    found.set(id, epoch)
  }
  for (const [id, epoch] of before.answered) {
    assert(found.get(id) === epoch, 'an answered session is there, in its epoch', { id, epoch, found: found.get(id) })
  }
  for (const id of before.dropped) assert(!found.has(id), 'what was dropped stays dropped', { id })
  for (const id of found.keys()) assert(before.written.has(id), 'only what was written is there', { id })
  const dropped = new Set([...before.written].filter((id) => !found.has(id)))
  return { master, history: { answered: found, dropped, written: before.written } }
}

/** One step of a scripted life. */
export type Act =
  | { readonly do: 'write'; readonly channel: number; readonly bytes: number }
  | { readonly do: 'flush'; readonly channel: number }
  | { readonly do: 'mark'; readonly channel: number }

/** "w0 w1:500 f0 f1 m0": write (so many value bytes), flush, mark on a channel. */
export function parseActs(script: string): Act[] {
  return script.split(' ').map((word) => {
    const match = /^([wfm])(\d)(?::(\d+))?$/.exec(word)
    assert(match !== null, 'an act is w, f or m with a channel', { word })
    const channel = Number(match[2])
    if (match[1] === 'w') return { do: 'write', channel, bytes: Number(match[3] ?? 40) }
    return { do: match[1] === 'f' ? 'flush' : 'mark', channel }
  })
}

/** Plays a life; `history()` is what has been promised so far, at any moment in it. */
export class Life {
  readonly master: SimMaster
  readonly #before: LifeHistory
  readonly #written: Set<number>
  #nextId: number

  constructor(restarted: Restarted) {
    this.master = restarted.master
    this.#before = restarted.history
    this.#written = new Set(restarted.history.written)
    this.#nextId = this.#written.size + 1
  }

  play(acts: readonly Act[]): void {
    for (const act of acts) {
      if (act.do === 'flush') this.master.flush(act.channel)
      else if (act.do === 'mark') this.master.mark(act.channel)
      else {
        const id = this.#nextId++
        this.#written.add(id)
        this.master.write(act.channel, id, act.bytes)
      }
    }
  }

  history(): LifeHistory {
    return {
      answered: new Map([...this.#before.answered, ...this.master.answered]),
      dropped: this.#before.dropped,
      written: new Set(this.#written),
    }
  }
}
